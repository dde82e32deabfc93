"""Write results that are larger than memory, as one file or as a folder of shards. Rows are computed in parts.

Writing a folder of shards can be resumed after an interruption. Each shard is written completely or not at all, and
`job.json` describes the content of the folder.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vaedge.errors import InputError
from vaedge.files.arrays import UNREADABLE, npy_parts, npz_content
from vaedge.files.atomic import atomic_file, write_atomically
from vaedge.files.tables import format_header, format_rows

JOB = "job.json"
_SHARD_BYTES = 64 * 2**20
# The number of rows in a shard is a multiple of this number. A graph then runs on the same chunks as in a single call.
_ROW_MULTIPLE = 512

Arrays = dict[str, npt.NDArray[Any]]


class Source(Protocol):
    """Rows that are computed in order.

    Attributes:
        n: Number of rows.
        row_bytes: Size in bytes of one row of all arrays together.
    """

    n: int
    row_bytes: int

    def take(self, count: int) -> Arrays:
        """Compute the next `count` rows. Return a dict from name to array; each array has `count` rows.

        The arrays stay valid during the next call of `take`. The call after that may overwrite them.
        """

    def skip(self, count: int) -> None:
        """Skip the next `count` rows."""


def write_file(path: Path, source: Source, progress: Callable[[int], object]) -> None:
    """Write a source with one array to a .npy file, completely or not at all. Only some rows are in memory at a time.

    Raises:
        OSError: The disk is full, or the folder cannot be written to. No partial file is left.
    """
    with atomic_file(path) as file, _background_writer() as write:
        for start, arrays in _blocks(source, progress):
            (array,) = arrays.values()
            if start == 0:
                header = {"descr": array.dtype.str, "fortran_order": False, "shape": (source.n, *array.shape[1:])}
                np.lib.format.write_array_header_1_0(file, header)
            write(file.write, np.ascontiguousarray(array).data)


def write_table(path: Path, source: Source, names: Sequence[str], progress: Callable[[int], object]) -> None:
    """Write the arrays of a source side by side as .csv, completely or not at all.

    Only some rows are in memory at a time.

    Args:
        path: The file.
        source: Rows to write.
        names: Names of the columns, one for each element of a row.
        progress: Function that is called for each computed part with its number of rows.

    Raises:
        OSError: The disk is full, or the folder cannot be written to. No partial file is left.
    """
    with atomic_file(path) as file, _background_writer() as write:
        file.write(format_header(names))
        for _, arrays in _blocks(source, progress):
            write(file.writelines, format_rows(*arrays.values()))


def _blocks(source: Source, progress: Callable[[int], object]) -> Iterator[tuple[int, Arrays]]:
    """Compute the rows of a source in parts. Yield one pair per part: the index of its first row, and its arrays."""
    size = _rows_per_shard(source)
    for start in range(0, source.n, size):
        rows = min(size, source.n - start)
        yield start, source.take(rows)
        progress(rows)


def write_shards(folder: Path, source: Source, job: Mapping[str, Any], progress: Callable[[int], object]) -> int:
    """Write a source as a folder of shards: 000000.npy, 000001.npy, and so on. Existing shards are kept.

    Args:
        folder: Folder to write. It is created if it does not exist.
        source: Rows to write. One array becomes .npy files, several arrays become .npz files.
        job: Description of the folder's content, which `job.json` stores. A folder with another description is refused.
        progress: Function that is called for each shard with its number of rows, also if the shard existed already.

    Returns:
        Number of shards that existed already.

    Raises:
        InputError: The folder exists, but it is not a folder of shards, or it holds the shards of another job.
        OSError: The disk is full, or the folder cannot be written to. The shards that exist are complete.
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
    """Return whether a shard exists, can be read, and holds `rows` rows. If not, the shard is written again."""
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
    """Yield a function that runs another function in a background thread, one call at a time.

    The thread writes one shard while the main thread computes the next one.
    """
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
