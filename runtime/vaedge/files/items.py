"""What the command line reads and writes: .npy, .npz, pictures, folders of pictures. Writing is atomic."""

import io
import os
import secrets
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge.arrays import FloatArray
from vaedge.errors import InputError

# What numpy.load raises of a file that is damaged, or that holds pickled objects.
UNREADABLE = (
    *(ValueError, OSError, EOFError, KeyError, TypeError, RuntimeError, NotImplementedError, SyntaxError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)


def read_items(path: Path, shape: tuple[int, ...], key: str = "x", resize: bool = False) -> FloatArray:
    """Read a batch of items.

    Args:
        path: a .npy array (n, *shape) or of one item; a .npz archive with the array `key`, or with one array; a
            picture; or a folder of pictures, with its subfolders, in the order of their names.
        shape: of one item.
        key: the array's name in an archive.
        resize: bring pictures of another size to the one that the shape asks for.

    Returns:
        The array as it was stored, or (n, *shape) float32 in [0, 1] from pictures.

    Raises:
        InputError: nothing there, or nothing that can be used; the message names the file.
    """
    if path.is_dir():
        from vaedge.files.pictures import PICTURE_SUFFIXES, read_picture

        names = sorted(name for name in path.rglob("*") if name.suffix.lower() in PICTURE_SUFFIXES)
        if not names:
            raise InputError(f"{path} holds no pictures ({', '.join(sorted(PICTURE_SUFFIXES))})")
        return np.stack([read_picture(name, shape, resize) for name in names])
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if path.suffix.lower() in (".npy", ".npz"):
        array = read_array(path, key)
        return array[None] if array.shape == shape else array
    from vaedge.files.pictures import read_picture

    return read_picture(path, shape, resize)[None]


def write_items(path: Path, items: FloatArray, columns: int | None = None) -> None:
    """Write a batch as a .npy array or as a .png grid, whole or not at all.

    Args:
        path: ends in .npy or .png.
        items: (n, ...) float32; for .png (n, 1 or 3, height, width).
        columns: pictures per row of the grid; None makes it about square.

    Raises:
        InputError: another ending, or items that cannot be shown.
        OSError: the file cannot be written.
    """
    require_suffix(path, ".npy", ".png")
    if path.suffix.lower() == ".png":
        from vaedge.files.pictures import grid_png

        write_atomically(path, grid_png(items, columns))
    else:
        write_atomically(path, *npy_parts(items))


def require_suffix(path: Path, *suffixes: str) -> None:
    """Raise InputError unless the path ends in one of the suffixes: asked before the work, not after it."""
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: the name of the output must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a folder; make it first")


def require_output(path: Path, *suffixes: str) -> None:
    """Raise InputError unless the path ends in one of the suffixes, or in none, which means a folder of shards."""
    if path.suffix:
        require_suffix(path, *suffixes)
    elif not path.absolute().parent.is_dir():
        raise InputError(f"{path.parent} is not a folder; make it first")


def npy_parts(array: npt.NDArray[Any]) -> tuple[bytes, memoryview]:
    """Return the content of a .npy file in two parts, the second of which is the array's own memory."""
    header = io.BytesIO()
    contiguous = np.ascontiguousarray(array)
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(contiguous))
    return header.getvalue(), contiguous.data


def write_atomically(path: Path, *content: bytes | memoryview) -> None:
    """Write beside the destination, then rename: a reader sees the old file or the new one, never a part.

    Raises:
        OSError: the disk is full, or the place cannot be written to; the error names the file, and nothing is
            left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            for part in content:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # a failed write does not say where
    finally:
        temporary.unlink(missing_ok=True)


def read_array(path: Path, key: str) -> FloatArray:
    """Read a .npy array, or the array `key` of a .npz archive, or its only one.

    Raises:
        InputError: it cannot be read as an array, or the archive has others.
    """
    try:
        # An array by itself is mapped, not read: it may be larger than memory.
        loaded = np.load(path, mmap_mode="r" if path.suffix.lower() == ".npy" else None, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            if key in names or len(names) == 1:
                chosen: FloatArray = loaded[key if key in names else names[0]]
                return chosen
    except UNREADABLE as error:
        said = "it is no array, or holds Python objects" if "pickle" in str(error) else error
        raise InputError(f"{path} cannot be read as an array: {said}") from error
    raise InputError(f"{path} has no array {key!r}; it has {', '.join(names) or 'none at all'}")
