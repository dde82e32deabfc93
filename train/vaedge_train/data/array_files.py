"""Data sets of images or tables from .npy and .npz files."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vaedge.errors import InputError
from vaedge.files.arrays import LABEL_NAMES, Part, read_parts
from vaedge_train.data.column_warnings import warn_about_precision
from vaedge_train.data.examples import Examples, Source, numbered_classes, with_test_part
from vaedge_train.errors import DataError


def load_arrays(path: Path) -> Source:
    """Read a data set from a .npy or .npz file.

    A .npy file is memory-mapped, so it may be larger than memory. uint8 values are pixels from 0 to 255. A uint8 array
    of shape (n, height, width) holds gray images. Floating-point values are not scaled; training converts each batch to
    float32. One warning names the columns that lose digits by this conversion.

    Args:
        path: A .npy file or a .npz archive. An archive has the arrays `train` and `test`, or the array `x`, or only one
            array of any name. It may also have the class of each example, as an integer from 0. The classes are in the
            arrays `train_labels` and `test_labels`, or in `y` if the examples are in `x`.

    Returns:
        Train and test examples, uint8 or floating-point. If the file has no test part, a tenth of the examples
        becomes the test part.

    Raises:
        DataError: The file cannot be read, or its arrays cannot be used for training.
    """
    try:
        parts = read_parts(path)
    except InputError as error:
        raise DataError(str(error)) from error
    examples = [_examples(part, path) for part in parts]
    if not examples[0].is_8_bit:
        warn_about_precision(chunk.stored.numpy() for chunk in examples[0].chunks("examining columns"))
    classes = numbered_classes(*examples)
    if len(examples) == 1:
        return with_test_part(examples[0], classes)
    train, test = examples
    return Source(train, test, classes)


def _examples(part: Part, path: Path) -> Examples:
    """Validate the training part or the test part of a file, and return its examples."""
    x, y = _tensor(part.x, f"{path}: {part.name}"), part.labels
    if y is None:
        return Examples(x)
    if y.dtype.kind not in "iu" or y.shape != (len(x),) or int(y.min()) < 0:
        raise DataError(
            f"{path}: {part.labels_name} is an array of {y.dtype} with shape {y.shape}; expected integers from 0, one "
            f"for each of the {len(x)} examples. A .npz file stores labels as {LABEL_NAMES}"
        )
    return Examples(x, torch.from_numpy(y.astype(np.int64)))


def _tensor(array: npt.NDArray[np.generic], name: str) -> Tensor:
    """Validate an array of examples, and return it as a tensor (n, *input_shape), uint8 or floating-point.

    The tensor shares the memory of the array. If torch does not support the type of the array, the tensor is a copy.
    """
    if array.dtype != np.uint8:
        if array.dtype.kind != "f":
            raise DataError(f"{name} is an array of {array.dtype}; expected uint8 pixels, or floating-point numbers")
    elif array.ndim == 3:
        array = array[:, None]
    if array.ndim == 4 and array.shape[-1] in (1, 3) and array.shape[1] not in (1, 3):
        raise DataError(
            f"{name} has shape {array.shape}; expected images as (n, channels, height, width): use "
            "x.transpose(0, 3, 1, 2)"
        )
    if array.ndim < 2 or len(array) < 2 or 0 in array.shape:
        raise DataError(
            f"{name} has shape {array.shape}; expected (n, ...) with at least 2 examples and no axis of size 0"
        )
    if not array.dtype.isnative or array.dtype.itemsize > 8:  # torch does not support such types
        array = array.astype(np.float64)
    return torch.from_numpy(array)
