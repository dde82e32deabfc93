"""Anybody's arrays: .npy and .npz files, of pictures or of tables."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vaedge_train.data.examples import Items, Source, without_test_part
from vaedge_train.errors import DataError


def load_arrays(path: Path) -> Source:
    """Read a data set from a file.

    Args:
        path: .npy, or .npz with `train` and `test`, with `x`, or with one array. uint8 is taken for pixels of 0..255,
            and (n, height, width) of them for grey pictures; floating numbers are taken as they are. Labels are whole
            numbers from 0, one per item: `train_labels` and `test_labels`, or `y`.

    Returns:
        Train and test items, uint8 or float32. Without a test part one item in ten is held out.

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
        said = "it is no array, or holds Python objects" if "pickle" in str(error) else error
        raise DataError(f"{path} cannot be read as an array: {said}") from error
    if {"train", "test"} <= arrays.keys():
        train, test = (_labelled(arrays, part, f"{part}_labels", path) for part in ("train", "test"))
        return Source(train, test, _classes(train, test))
    if "x" not in arrays and len(arrays) != 1:
        raise DataError(f"{path} has the arrays {', '.join(arrays) or 'none'}; expected train and test, or x")
    items = _labelled(arrays, "x" if "x" in arrays else next(iter(arrays)), "y", path)
    return without_test_part(items, _classes(items))


def _labelled(arrays: dict[str, npt.NDArray[np.generic]], name: str, labels: str, path: Path) -> Items:
    x = _tensor(arrays[name], f"{path}: {name}")
    if labels not in arrays:
        return Items(x)
    y = arrays[labels]
    if y.dtype.kind not in "iu" or y.shape != (len(x),) or int(y.min()) < 0:
        raise DataError(
            f"{path}: {labels} is an array of {y.dtype}, shape {y.shape}; expected whole numbers from 0, one for each "
            f"of the {len(x)} items"
        )
    return Items(x, torch.from_numpy(y.astype(np.int64)))


def _classes(*parts: Items) -> tuple[str, ...]:
    labels = [int(part.y.max()) for part in parts if part.y is not None]
    return tuple(map(str, range(max(labels) + 1))) if len(labels) == len(parts) else ()


def _tensor(array: npt.NDArray[np.generic], name: str) -> Tensor:
    if array.dtype != np.uint8:
        if array.dtype.kind != "f":
            raise DataError(f"{name} is an array of {array.dtype}; expected uint8 pixels, or floating numbers")
        array = array.astype(np.float32)
    elif array.ndim == 3:
        array = array[:, None]
    if array.ndim < 2 or len(array) < 2 or 0 in array.shape:
        raise DataError(f"{name} has shape {array.shape}; expected (n, ...) with at least 2 items")
    return torch.from_numpy(np.ascontiguousarray(array))
