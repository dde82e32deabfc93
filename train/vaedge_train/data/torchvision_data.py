"""torchvision's data sets by name, and the import of torchvision itself."""

import inspect
import io
import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedge_train.data.examples import Items, Source
from vaedge_train.errors import DataError


def import_torchvision() -> ModuleType:
    """Import torchvision, also a CUDA build of it beside a CPU build of torch.

    That pair cannot load torchvision's compiled operators, and its import then fails with "operator
    torchvision::nms does not exist". Data sets and picture grids need none of them: declaring the two schemas
    that the import looks for is enough.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in ("nms", "qnms"):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", schema)
        import torchvision
    module: ModuleType = torchvision
    return module


def load_torchvision(name: str, data_dir: str) -> Source:
    """Load, and where it is not there yet download, one of torchvision's data sets.

    Args:
        name: the class's name in lower case, hyphens as you like: mnist, fashion-mnist, cifar10, svhn, ...
        data_dir: the folder that torchvision calls root.

    Returns:
        Train and test pictures, each (n, channels, height, width) uint8, with the labels that torchvision has.

    Raises:
        DataError: there is no such data set, it has no train and test part of equal pictures, or it could
            neither be found nor downloaded.
    """
    chosen = _classes().get(_plain(name))
    if chosen is None:
        raise DataError(
            f"unknown data set {name!r}: neither mnist-sample, nor a folder of pictures, nor a .npy or .npz, nor one "
            "of torchvision's (mnist, fashion-mnist, kmnist, cifar10, svhn, ...)"
        )
    takes = inspect.signature(chosen).parameters
    if "train" in takes:
        parts: list[dict[str, Any]] = [{"train": True}, {"train": False}]
    elif "split" in takes:
        parts = [{"split": "train"}, {"split": "test"}]
    else:
        raise DataError(f"{name!r} has no train and test part in torchvision; give a folder of its pictures instead")
    if "download" in takes:
        parts = [{**part, "download": True} for part in parts]
    try:
        with redirect_stdout(io.StringIO()):
            train, test = (chosen(data_dir, **part) for part in parts)
    except (OSError, RuntimeError, ValueError, TypeError, ImportError) as error:
        raise DataError(f"torchvision could not find {name!r} in {data_dir!r} or download it there: {error}") from error
    first, second = (Items(_pictures(part, name), _labels(part)) for part in (train, test))
    return Source(first, second, _class_names(train, (first, second)))


def is_torchvision(name: str) -> bool:
    """Say whether torchvision has a data set of this name; a path, such as ./mnist, is none."""
    return "/" not in name and _plain(name) in _classes()


def _classes() -> dict[str, Any]:
    import_torchvision()
    from torchvision import datasets

    return {_plain(known): getattr(datasets, known) for known in datasets.__all__}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _labels(dataset: Any) -> Tensor | None:
    """Return the numbers of the classes, which torchvision calls targets, or labels; None where there are none."""
    labels = getattr(dataset, "targets", getattr(dataset, "labels", None))
    if labels is None or len(labels) != len(dataset):
        return None
    array = np.asarray(labels)
    return torch.from_numpy(array.astype(np.int64)) if array.ndim == 1 and array.dtype.kind in "iu" else None


def _class_names(dataset: Any, parts: Sequence[Items]) -> tuple[str, ...]:
    labels = [int(part.y.max()) for part in parts if part.y is not None]
    if len(labels) < len(parts):
        return ()
    names = getattr(dataset, "classes", ())
    count = max(labels) + 1
    return tuple(map(str, names)) if len(names) == count else tuple(map(str, range(count)))


def _pictures(dataset: Any, name: str) -> Tensor:
    """Gather a data set's pictures in one tensor; those that torchvision keeps in memory are taken whole."""
    if hasattr(dataset, "data") and len(dataset.data) == len(dataset):
        array = np.asarray(dataset.data)
        if array.ndim == 3:
            array = array[:, None]
        elif array.shape[-1] in (1, 3):
            array = array.transpose(0, 3, 1, 2)
    else:
        pictures = [np.atleast_3d(np.asarray(dataset[index][0])) for index in range(len(dataset))]
        if len({picture.shape for picture in pictures}) != 1:
            raise DataError(f"the pictures of {name!r} differ in size; give them as a folder, with an image size")
        array = np.stack(pictures).transpose(0, 3, 1, 2)
    if array.dtype != np.uint8 or array.ndim != 4:
        raise DataError(f"{name!r} holds {array.dtype} arrays of shape {array.shape[1:]}, not 8-bit pictures")
    return torch.from_numpy(np.ascontiguousarray(array))
