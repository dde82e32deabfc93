"""The picture grids of a run."""

import io

import torch
from torch import Tensor

from vaedge_train.torchvision_data import import_torchvision

_COLUMNS = 16


def grid_png(items: Tensor, columns: int) -> bytes:
    """Lay pictures out in rows and encode the sheet as PNG.

    Args:
        items: (n, 1 or 3, height, width) in [0, 1].
        columns: pictures per row.
    """
    import_torchvision()
    from torchvision.utils import save_image

    content = io.BytesIO()
    save_image(items, content, format="png", nrow=columns, pad_value=0.25)
    return content.getvalue()


def reconstructions_png(originals: Tensor, reconstructions: Tensor) -> bytes:
    """Encode a sheet with each row of originals above the row of their reconstructions, each (n, 1 or 3, h, w)."""
    rows = zip(originals.split(_COLUMNS), reconstructions.split(_COLUMNS), strict=True)
    return grid_png(torch.cat([row for pair in rows for row in pair]), _COLUMNS)
