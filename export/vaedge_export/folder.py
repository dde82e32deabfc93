"""Write a folder completely, or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaedge_export.errors import ExportError


def require_absent(destination: Path) -> None:
    """Raise ExportError if the destination exists.

    Call this function before a long export, so that the export fails early. `new_folder` calls this function again.
    """
    if destination.exists() or destination.is_symlink():
        raise ExportError(f"{destination} exists already: name another folder, or remove it first")


@contextmanager
def new_folder(destination: Path) -> Iterator[Path]:
    """Create a temporary folder next to the destination. If the `with` block succeeds, rename the temporary folder.

    Args:
        destination: The folder, which must not exist.

    Yields:
        The temporary folder.

    Raises:
        ExportError: The destination exists, or an OSError occurs, such as a full disk. Other exceptions of the block
            are raised unchanged. After any exception, the temporary folder is removed.
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
