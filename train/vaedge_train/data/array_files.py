"""Data sets from .npy and .npz files, of images or of tables."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vaedge.files.arrays import UNREADABLE, unreadable_reason
from vaedge_train.data.examples import Examples, Source, numbered_classes, with_test_part
from vaedge_train.errors import DataError

_Arrays = Mapping[str, npt.NDArray[np.generic]]


def load_arrays(path: Path) -> Source:
    """Read a data set from a .npy or .npz file.

    uint8 values are pixels from 0 to 255. A uint8 array (n, height, width) holds gray images. Floating-point values
    are not scaled.

    Args:
        path: A .npy file or a .npz archive. An archive has the arrays `train` and `test`, or the array `x`, or only one
            array of any name. It may also have the class of each example, an integer from 0. The arrays of the classes
            are `train_labels` and `test_labels`, or `y` if the examples are in `x`.

    Returns:
        Train and test examples, uint8 or float32. If the file has no test part, a tenth of the examples is held out.

    Raises:
        DataError: The file cannot be read, or its arrays cannot be used for training.
    """
    arrays = _read(path)
    if {"train", "test"} <= arrays.keys():
        train, test = (_examples(arrays, part, f"{part}_labels", path) for part in ("train", "test"))
        return Source(train, test, numbered_classes(train, test))
    if "x" not in arrays and len(arrays) != 1:
        raise DataError(f"{path} has the arrays {', '.join(arrays) or '(none)'}; expected train and test, or x")
    examples = _examples(arrays, "x" if "x" in arrays else next(iter(arrays)), "y", path)
    return with_test_part(examples, numbered_classes(examples))


def _read(path: Path) -> _Arrays:
    """Return a dict from name to array, for all arrays of a file. The array of a .npy file has the name "x"."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"x": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read as an array: {unreadable_reason(error)}") from error


def _examples(arrays: _Arrays, name: str, labels: str, path: Path) -> Examples:
    x = _tensor(arrays[name], f"{path}: {name}")
    if labels not in arrays:
        return Examples(x)
    y = arrays[labels]
    if y.dtype.kind not in "iu" or y.shape != (len(x),) or int(y.min()) < 0:
        raise DataError(
            f"{path}: {labels} is an array of {y.dtype} with shape {y.shape}; expected integers from 0, one for each "
            f"of the {len(x)} examples"
        )
    return Examples(x, torch.from_numpy(y.astype(np.int64)))


def _tensor(array: npt.NDArray[np.generic], name: str) -> Tensor:
    if array.dtype != np.uint8:
        if array.dtype.kind != "f":
            raise DataError(f"{name} is an array of {array.dtype}; expected uint8 pixels, or floating-point numbers")
        array = array.astype(np.float32)
    elif array.ndim == 3:
        array = array[:, None]
    if array.ndim < 2 or len(array) < 2 or 0 in array.shape:
        raise DataError(
            f"{name} has shape {array.shape}; expected (n, ...) with at least 2 examples and no axis of size 0"
        )
    return torch.from_numpy(np.ascontiguousarray(array))
