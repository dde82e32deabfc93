"""Load the data sets of torchvision by name."""

import inspect
import io
import re
from contextlib import redirect_stdout
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedge_train.data.examples import Examples, Source, numbered_classes
from vaedge_train.errors import DataError


def import_torchvision() -> ModuleType:
    """Import torchvision, even if torchvision was built for CUDA and torch for the CPU only.

    With these two builds, torchvision cannot load its compiled operators, and the import fails with "operator
    torchvision::nms does not exist". Data sets do not need the operators. This function therefore declares the
    schemas of the operators that the import looks for, and imports torchvision again.

    Returns:
        The module `torchvision`.
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
    """Load a data set of torchvision, and download it first if it is missing.

    Args:
        name: Name of a data set: mnist, fashion-mnist, cifar10, svhn, ... It is the name of a class in
            `torchvision.datasets`. Case and hyphens are ignored.
        data_dir: The folder that contains the files. torchvision calls this folder `root`.

    Returns:
        Train and test images, each (n, channels, height, width) uint8, with the classes that torchvision provides.

    Raises:
        DataError: The data set is unknown, cannot be found or downloaded, is not divided into a train part and a test
            part, or does not consist of 8-bit images of one size.
    """
    dataset = _classes().get(_normalized(name))
    if dataset is None:
        raise DataError(
            f"unknown data set {name!r}; expected mnist-sample, a folder of images, a .npy, .npz or .csv file, or a "
            "data set of torchvision (mnist, fashion-mnist, kmnist, cifar10, svhn, ...)"
        )
    arguments = inspect.signature(dataset).parameters
    if "train" in arguments:
        parts: list[dict[str, Any]] = [{"train": True}, {"train": False}]
    elif "split" in arguments:
        parts = [{"split": "train"}, {"split": "test"}]
    else:
        raise DataError(f"{name!r} has no train and test part in torchvision; give a folder of its images instead")
    if "download" in arguments:
        parts = [{**part, "download": True} for part in parts]
    try:
        with redirect_stdout(io.StringIO()):
            train, test = (dataset(data_dir, **part) for part in parts)
    except (OSError, RuntimeError, ValueError, TypeError, ImportError) as error:
        raise DataError(f"torchvision could not find {name!r} in {data_dir!r} or download it there: {error}") from error
    train_part, test_part = (Examples(_images(part, name), _labels(part)) for part in (train, test))
    numbers = numbered_classes(train_part, test_part)
    names = tuple(map(str, getattr(train, "classes", ())))
    return Source(train_part, test_part, names if len(names) == len(numbers) else numbers)


def is_torchvision(name: str) -> bool:
    """Return whether torchvision has a data set of this name. Return False for a path, which contains a slash."""
    return "/" not in name and _normalized(name) in _classes()


def _classes() -> dict[str, Any]:
    """Return a dict from the normalized name of each data set of torchvision to its Python class."""
    import_torchvision()
    from torchvision import datasets

    return {_normalized(known): getattr(datasets, known) for known in datasets.__all__}


def _normalized(name: str) -> str:
    """Return the name in lower case, with only letters and digits."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _labels(dataset: Any) -> Tensor | None:
    """Return the class of each example, (n,) int64, or None if the data set has no classes.

    torchvision calls the classes `targets` or `labels`.
    """
    labels = getattr(dataset, "targets", getattr(dataset, "labels", None))
    if labels is None or len(labels) != len(dataset):
        return None
    array = np.asarray(labels)
    return torch.from_numpy(array.astype(np.int64)) if array.ndim == 1 and array.dtype.kind in "iu" else None


def _images(dataset: Any, name: str) -> Tensor:
    """Return all images of a data set as one tensor, (n, channels, height, width) uint8."""
    if hasattr(dataset, "data") and len(dataset.data) == len(dataset):
        array = np.asarray(dataset.data)
        if array.ndim == 3:
            array = array[:, None]
        elif array.shape[-1] in (1, 3):
            array = array.transpose(0, 3, 1, 2)
    else:
        images = [np.atleast_3d(np.asarray(dataset[index][0])) for index in range(len(dataset))]
        if len({image.shape for image in images}) != 1:
            raise DataError(
                f"the images of {name!r} differ in size; give them as a folder, with --image-size HEIGHT WIDTH"
            )
        array = np.stack(images).transpose(0, 3, 1, 2)
    if array.dtype != np.uint8 or array.ndim != 4:
        raise DataError(f"{name!r} holds {array.dtype} arrays of shape {array.shape[1:]}; expected 8-bit images")
    return torch.from_numpy(np.ascontiguousarray(array))
