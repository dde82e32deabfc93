"""Results larger than memory: computed some rows at a time, and written as one file or as a folder of shards.

A folder of shards can be resumed after any interruption: a shard exists as a whole or not at all, and `job.json`
describes what the folder holds.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vaedge.errors import InputError
from vaedge.files.arrays import UNREADABLE, npy_parts, npz_content
from vaedge.files.atomic import atomic_file, write_atomically

JOB = "job.json"
_SHARD_BYTES = 64 * 2**20
_ROW_MULTIPLE = 512  # shards hold a multiple of it, so that a graph runs on the same chunks as in a single call

Arrays = dict[str, npt.NDArray[Any]]


class Source(Protocol):
    """Rows that are computed in order.

    Attributes:
        n: Number of rows.
        row_bytes: Size of one row of all arrays, in bytes.
    """

    n: int
    row_bytes: int

    def take(self, count: int) -> Arrays:
        """Compute the next rows. Each array is (count, ...), and stays unchanged until the second call from now."""

    def skip(self, count: int) -> None:
        """Skip the next rows."""


def write_file(path: Path, source: Source, progress: Callable[[int], object]) -> None:
    """Write the one array of a source as .npy, whole or not at all, some rows at a time.

    Raises:
        OSError: The disk is full, or the folder cannot be written to; nothing is left behind.
    """
    size = _rows_per_shard(source)
    with atomic_file(path) as file, _background_writer() as write:
        for start in range(0, source.n, size):
            (array,) = source.take(min(size, source.n - start)).values()
            if start == 0:
                header = {"descr": array.dtype.str, "fortran_order": False, "shape": (source.n, *array.shape[1:])}
                np.lib.format.write_array_header_1_0(file, header)
            write(file.write, np.ascontiguousarray(array).data)
            progress(len(array))


def write_shards(folder: Path, source: Source, job: Mapping[str, Any], progress: Callable[[int], object]) -> int:
    """Write a source as a folder of shards, 000000.npy and so on, and continue where an earlier call was stopped.

    Args:
        folder: Created if it does not exist.
        source: What to write; one array becomes .npy files, several arrays become .npz files.
        job: Description of the folder's content, as JSON; a folder of another job is refused.
        progress: Called with the number of rows that have been written, or existed already.

    Returns:
        Number of shards that existed already.

    Raises:
        InputError: The folder holds something else.
        OSError: The disk is full, or the folder cannot be written to; earlier shards are whole.
    """
    size = _rows_per_shard(source)
    description = json.dumps({**job, "rows": source.n, "rows_per_shard": size}, indent=2) + "\n"
    if folder.exists():
        if not (folder / JOB).is_file():
            raise InputError(f"{folder} exists and is not a folder of shards (it has no {JOB}): name another folder")
        if (folder / JOB).read_text("utf-8") != description:
            raise InputError(f"{folder} holds the shards of another job (see its {JOB}): name another folder")
    else:
        folder.mkdir(parents=True)
        write_atomically(folder / JOB, description.encode())
    existing = 0
    with _background_writer() as write:
        for index, start in enumerate(range(0, source.n, size)):
            rows = min(size, source.n - start)
            if _is_whole(folder / f"{index:06}", rows):
                source.skip(rows)
                existing += 1
            else:
                write(_write_shard, folder / f"{index:06}", source.take(rows))
            progress(rows)
    return existing


def _is_whole(path: Path, rows: int) -> bool:
    """Return whether a shard exists and holds this number of rows; a damaged shard is written again."""
    for found in (path.with_suffix(".npy"), path.with_suffix(".npz")):
        if found.exists():
            try:
                loaded = np.load(found, mmap_mode="r" if found.suffix == ".npy" else None, allow_pickle=False)
                if isinstance(loaded, np.ndarray):
                    return len(loaded) == rows
                with loaded:
                    return all(len(loaded[name]) == rows for name in loaded.files)
            except UNREADABLE:
                return False
    return False


def _write_shard(path: Path, arrays: Arrays) -> None:
    if len(arrays) == 1:
        (array,) = arrays.values()
        write_atomically(path.with_suffix(".npy"), *npy_parts(array))
    else:
        write_atomically(path.with_suffix(".npz"), npz_content(**arrays))


@contextmanager
def _background_writer() -> Iterator[Callable[..., None]]:
    """Give a function that runs one call at a time in a thread, so that the disk writes during the computation."""
    with ThreadPoolExecutor(1) as executor:
        pending: list[Future[object]] = []

        def submit(function: Callable[..., object], *arguments: object) -> None:
            while pending:
                pending.pop().result()
            pending.append(executor.submit(function, *arguments))

        yield submit
        while pending:
            pending.pop().result()


def _rows_per_shard(source: Source) -> int:
    rows = max(1, _SHARD_BYTES // source.row_bytes)
    return rows - rows % _ROW_MULTIPLE if rows >= _ROW_MULTIPLE else rows
