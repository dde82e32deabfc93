"""Anybody's arrays: .npy and .npz files, of pictures or of tables."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vaedge_train.errors import DataError
from vaedge_train.picture_folder import hold_out_test


def load_arrays(path: Path) -> tuple[Tensor, Tensor]:
    """Read a data set from a file.

    Args:
        path: .npy, or .npz with `train` and `test`, with `x`, or with one array. uint8 is taken for pixels of 0..255,
            and (n, height, width) of them for grey pictures; floating numbers are taken as they are.

    Returns:
        Train and test items, each (n, *item), uint8 or float32. Without a test part one item in ten is held out.

    Raises:
        DataError: the file cannot be read, or holds no items that can be trained on.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            arrays = {"x": loaded}
        else:
            with loaded:
                arrays = {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read as an array: {error}") from error
    if {"train", "test"} <= arrays.keys():
        return _items(arrays["train"], f"{path}: train"), _items(arrays["test"], f"{path}: test")
    if "x" not in arrays and len(arrays) != 1:
        raise DataError(f"{path} has the arrays {', '.join(arrays) or 'none'}; expected train and test, or x")
    return hold_out_test(_items(arrays.get("x", next(iter(arrays.values()))), str(path)))


def _items(array: npt.NDArray[np.generic], name: str) -> Tensor:
    if array.dtype != np.uint8:
        if array.dtype.kind != "f":
            raise DataError(f"{name} is an array of {array.dtype}; expected uint8 pixels, or floating numbers")
        array = array.astype(np.float32)
    elif array.ndim == 3:
        array = array[:, None]
    if array.ndim < 2 or len(array) < 2 or 0 in array.shape:
        raise DataError(f"{name} has shape {array.shape}; expected (n, ...) with at least 2 items")
    return torch.from_numpy(np.ascontiguousarray(array))
