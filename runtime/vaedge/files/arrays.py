"""Read and write .npy and .npz files."""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray
from vaedge.errors import InputError

ARRAY_SUFFIXES = (".npy", ".npz")
# The exceptions that numpy.load raises for damaged files and for files with pickled objects.
UNREADABLE = (
    *(ValueError, OSError, EOFError, KeyError, TypeError, RuntimeError, NotImplementedError, SyntaxError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)


def unreadable_reason(error: BaseException) -> str:
    """Return the reason why numpy.load failed. Leave out numpy's advice to allow pickled objects."""
    return "it is not an array, or it holds Python objects" if "pickle" in str(error) else str(error)


def read_array(path: Path, key: str) -> FloatArray:
    """Read a .npy file, or one array of a .npz file.

    A .npy file is memory-mapped, because it may be larger than memory. In a .npz file, `key` names the array. If the
    file holds only one array, that array may have any name.

    Raises:
        InputError: The file cannot be read, or holds no array with the name `key` but several others.
    """
    try:
        loaded = np.load(path, mmap_mode="r" if path.suffix.lower() == ".npy" else None, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            if key in names or len(names) == 1:
                chosen: FloatArray = loaded[key if key in names else names[0]]
                return chosen
    except UNREADABLE as error:
        raise InputError(f"{path} cannot be read as an array: {unreadable_reason(error)}") from error
    raise InputError(f"{path} has no array {key!r}; it has {', '.join(names) or 'no arrays'}")


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
