"""Write a folder whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaedge_export.errors import ExportError


def require_absent(destination: Path) -> None:
    """Raise ExportError if something is at the destination: asked before the work, and again after it."""
    if destination.exists() or destination.is_symlink():
        raise ExportError(f"{destination} exists already: name another folder, or remove it first")


@contextmanager
def new_folder(destination: Path) -> Iterator[Path]:
    """Give a folder beside the destination to write into; rename it into place when the block has succeeded.

    Raises:
        ExportError: the destination exists, or could not be written (a full disk, no permission); whatever
            the block raises passes through. In every case nothing is left behind.
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
    """Have the file's or folder's content on the disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
