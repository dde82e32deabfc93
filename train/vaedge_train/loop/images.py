"""The picture grids of a run."""

import io
from collections.abc import Sequence

import torch
from torch import Tensor

from vaedge_train.data.torchvision_data import import_torchvision

_COLUMNS = 16
_GREY = 0.25  # between the pictures, and where there is none


def is_picture_shape(shape: Sequence[int]) -> bool:
    """Say whether items of this shape can be shown: (1 or 3, height, width)."""
    return len(shape) == 3 and shape[0] in (1, 3)


def grid_png(items: Tensor, columns: int) -> bytes:
    """Lay pictures out in rows and encode the sheet as PNG.

    Args:
        items: (n, 1 or 3, height, width) in [0, 1].
        columns: pictures per row.
    """
    import_torchvision()
    from torchvision.utils import save_image

    content = io.BytesIO()
    save_image(items, content, format="png", nrow=columns, pad_value=_GREY)
    return content.getvalue()


def reconstructions_png(originals: Tensor, reconstructions: Tensor) -> bytes:
    """Encode a sheet with each row of originals above the row of their reconstructions.

    Args:
        originals: (n, 1 or 3, height, width) in [0, 1].
        reconstructions: the same, in the same order.
    """
    columns = min(_COLUMNS, len(originals))
    missing = -len(originals) % columns
    filled = [
        torch.cat([batch, torch.full((missing, *batch.shape[1:]), _GREY)]) for batch in (originals, reconstructions)
    ]
    rows = zip(*(batch.split(columns) for batch in filled), strict=True)
    return grid_png(torch.cat([row for pair in rows for row in pair]), columns)
