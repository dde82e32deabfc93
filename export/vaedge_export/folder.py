"""Write a folder as a whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaedge_export.errors import ExportError


def require_absent(destination: Path) -> None:
    """Raise ExportError if the destination exists. Call it before the work; `new_folder` calls it again afterwards."""
    if destination.exists() or destination.is_symlink():
        raise ExportError(f"{destination} exists already: name another folder, or remove it first")


@contextmanager
def new_folder(destination: Path) -> Iterator[Path]:
    """Create a folder next to the destination to write into, and rename it when the block succeeds.

    Args:
        destination: The folder, which must not exist.

    Yields:
        The temporary folder.

    Raises:
        ExportError: The destination exists, or cannot be written (a full disk, no permission). Exceptions of the block
            pass through. In every case nothing is left behind.
    """
    require_absent(destination)
    temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for path in (*temporary.iterdir(), temporary):
            _flush(path)
        require_absent(destination)
        temporary.rename(destination)
        _flush(destination.parent)
    except OSError as error:
        raise ExportError(f"cannot write {destination}: {error.strerror or error}; nothing was left behind") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _flush(path: Path) -> None:
    """Wait until the content of a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
