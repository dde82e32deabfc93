"""Write a file completely or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vaedge.errors import InputError


def require_parent(path: Path) -> None:
    """Raise InputError if the folder of `path` does not exist."""
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path.parent} is not a folder; create it first")


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file in the folder of `path`, and rename it to `path` when the `with` block succeeds.

    Other processes see the old file or the complete new file. The content is flushed to the disk before the renaming.

    Raises:
        OSError: The disk is full, or the folder cannot be written to. The error names `path`. The temporary file is
            removed.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(
            error.errno, error.strerror, str(path)
        ) from error  # the error of a failed write does not name the file
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, *content: bytes | memoryview) -> None:
    """Write a file whose content is given in parts. `atomic_file` documents the guarantees and errors."""
    with atomic_file(path) as file:
        for part in content:
            file.write(part)
