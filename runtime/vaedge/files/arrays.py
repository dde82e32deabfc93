"""Read and write .npy and .npz files."""

import io
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray
from vaedge.errors import InputError, VaedgeError

ARRAY_SUFFIXES = (".npy", ".npz")
SPLITS = ("train", "test")
LABEL_NAMES = "the arrays train_labels and test_labels, or the array y beside x"
# The exceptions that numpy.load raises for a file that is damaged, or that holds pickled objects.
UNREADABLE = (
    *(ValueError, OSError, EOFError, KeyError, TypeError, RuntimeError, NotImplementedError, SyntaxError, MemoryError),
    *(OverflowError, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)


def unreadable_reason(error: BaseException) -> str:
    """Return the reason why numpy.load failed. The advice of numpy to allow pickled objects is left out."""
    reason = str(error)
    is_object = "pickle" in reason or "Python objects" in reason
    return "it is not an array, or it holds Python objects" if is_object else reason


def read_array(path: Path, key: str) -> FloatArray:
    """Read a .npy file, or one array of a .npz file.

    A .npy file is memory-mapped, because it may be larger than memory. In a .npz file, `key` names the array. If the
    file holds only one array, that array may have any name.

    Raises:
        InputError: The file cannot be read, or it is a .npz file without a suitable array.
    """
    with _opened(path) as loaded:
        if isinstance(loaded, np.ndarray):
            return loaded
        names = loaded.files
        if key in names or len(names) == 1:
            chosen: FloatArray = loaded[key if key in names else names[0]]
            return chosen
    raise InputError(f"{path} has no array {key!r}; it has {', '.join(names) or 'no arrays'}")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a .npy file as a memory-mapped array, or a .npz file as an archive, for a `with` block.

    Raises:
        InputError: The file does not exist or is damaged, or an array that the block reads is damaged.
    """
    try:
        # torch takes only writable arrays. An array in mode "c" is writable, and writes never change the file.
        loaded = np.load(path, mmap_mode="c" if path.suffix.lower() == ".npy" else None, allow_pickle=False)
        with nullcontext(loaded) if isinstance(loaded, np.ndarray) else loaded:
            yield loaded
    except VaedgeError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except UNREADABLE as error:
        raise InputError(f"{path} cannot be read as an array: {unreadable_reason(error)}") from error


class Part(NamedTuple):
    """Examples and their labels, as a file stores them.

    Attributes:
        name: Name of the array of examples in the file.
        x: The examples, shape (n, ...).
        labels_name: Name of the array of labels in the file. The file may lack this array.
        labels: Array of the classes, or None if the file has no labels.
    """

    name: str
    x: npt.NDArray[Any]
    labels_name: str
    labels: npt.NDArray[Any] | None


def read_parts(path: Path, splits: Sequence[str] = SPLITS, *, required: bool = False) -> list[Part]:
    """Read the examples of a .npy or .npz file, with their labels.

    Args:
        path: A .npy file, which is memory-mapped, or a .npz archive. The archive holds the arrays `train` and `test`,
            or the array `x`, or only one array. Labels are the arrays `train_labels` and `test_labels`, or `y`.
        splits: The parts to read from an archive with `train` and `test`.
        required: Whether a file without the arrays in `splits` is an error.

    Returns:
        One part for each of `splits`, or the only part of a file without `train` and `test`.

    Raises:
        InputError: The file cannot be read, or does not have the expected arrays.
    """
    with _opened(path) as loaded:
        if not isinstance(loaded, np.ndarray):
            return [
                Part(name, loaded[name], labels, loaded[labels] if labels in loaded.files else None)
                for name, labels in _part_names(loaded.files, path, splits, required)
            ]
    if required:
        raise InputError(
            f"--split {splits[0]} needs a .npz file with the arrays train and test; {path} is not a .npz file"
        )
    return [Part("x", loaded, "y", None)]


def _part_names(names: Sequence[str], path: Path, splits: Sequence[str], required: bool) -> list[tuple[str, str]]:
    """Return one pair for each part to read: the name of the array of examples, and the name of the array of labels."""
    held = f"{path} has the arrays {', '.join(names) or '(none)'}"
    if required or set(SPLITS) <= set(names):
        missing = [split for split in splits if split not in names]
        if missing:
            raise InputError(f"{held}, but not the array {missing[0]!r}, which --split asks for")
        return [(split, f"{split}_labels") for split in splits]
    if "x" in names:
        return [("x", "y")]
    if len(names) != 1:
        alone = [split for split in SPLITS if split in names]
        hint = (
            f". To train on the array {alone[0]!r}, rename it to x. Commands with the option --split can read it "
            "without a new name"
            if alone
            else ""
        )
        raise InputError(f"{held}; expected train and test, or x. Labels are stored as {LABEL_NAMES}{hint}")
    return [(names[0], "y")]


def npy_parts(array: npt.NDArray[Any]) -> tuple[bytes, memoryview]:
    """Return the header and the data of a .npy file. The data of a C-contiguous array is not copied."""
    header = io.BytesIO()
    contiguous = np.ascontiguousarray(array)
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(contiguous))
    return header.getvalue(), contiguous.data


def npz_content(**arrays: npt.NDArray[Any]) -> memoryview:
    """Return the content of a .npz file."""
    content = io.BytesIO()
    named: dict[str, Any] = arrays
    np.savez(content, **named)
    return content.getbuffer()
