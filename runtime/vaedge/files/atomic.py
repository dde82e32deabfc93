"""Write a file whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside the destination, and rename it when the block succeeds.

    A reader sees the old file or the new one, never a part, and the content is on the disk before the name.

    Raises:
        OSError: The disk is full, or the folder cannot be written to. The error names the destination, and nothing is
            left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # a failed write does not name the file
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, *content: bytes | memoryview) -> None:
    """Write the parts of a file's content; `atomic_file` documents the guarantees and errors."""
    with atomic_file(path) as file:
        for part in content:
            file.write(part)
