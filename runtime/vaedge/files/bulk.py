"""Arrays larger than memory: read by memory map, computed some rows at a time, written as one file or as shards.

A folder of shards can be gone on with after any interruption: a shard is there whole or not at all, and `job.json`
says what the folder is of.
"""

import io
import json
import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vaedge.arrays import FloatArray
from vaedge.errors import InputError
from vaedge.files.items import UNREADABLE, npy_parts, write_atomically
from vaedge.vae import VAE

JOB = "job.json"
_SHARD_BYTES = 64 * 2**20
_ROUND = 512  # shards hold a multiple of it, so that their cuts are those of a single call

Arrays = dict[str, npt.NDArray[Any]]


class Source(Protocol):
    """Rows that are computed in their order.

    Attributes:
        n: how many there are.
        row_bytes: what one takes, all arrays together.
    """

    n: int
    row_bytes: int

    def take(self, count: int) -> Arrays:
        """Compute the next rows; each array (count, ...), and whole until the second call from now."""

    def skip(self, count: int) -> None:
        """Leave the next rows out."""


class Buffers:
    """Two arrays in turn: one is written to disk while the other is computed.

    Fresh memory would cost more than the computation: the system clears every page of it.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Take the shape of a row."""
        self._shape = shape
        self._arrays: list[FloatArray] = []

    def next(self, rows: int) -> FloatArray:
        """Return so many rows, which are whole until this is called for the second time from now."""
        if len(self._arrays) < 2 or len(self._arrays[0]) < rows:
            self._arrays.append(np.empty((rows, *self._shape), np.float32))
        else:
            self._arrays.append(self._arrays[0])
        del self._arrays[:-2]
        return self._arrays[-1][:rows]


class Mapped:
    """What an operation makes of the rows of an array."""

    def __init__(self, items: npt.NDArray[Any], told: Arrays, operation: Callable[..., Arrays], row_bytes: int) -> None:
        """Take the arrays; nothing is read yet.

        Args:
            items: (n, ...), the operation's argument.
            told: conditions, each (n, ...), which it takes by name.
            operation: some rows of them -> the results.
            row_bytes: what a row of the results takes.
        """
        if not len(items):
            raise InputError(f"the input is empty, shape {items.shape}; give at least one item")
        self._items, self._told, self._operation = items, told, operation
        self._next = 0
        self.n, self.row_bytes = len(items), row_bytes

    def take(self, count: int) -> Arrays:
        """Compute the next rows."""
        rows = slice(self._next, self._next + count)
        self.skip(count)
        try:
            return self._operation(self._items[rows], **{name: values[rows] for name, values in self._told.items()})
        except InputError as error:
            raise InputError(f"in rows {rows.start} to {min(rows.stop, self.n) - 1}: {error}") from error

    def skip(self, count: int) -> None:
        """Leave the next rows out."""
        self._next += count


class Sampled:
    """Draws from the prior, decoded: row for row those of `vae.sample(n, seed=seed)`."""

    def __init__(self, vae: VAE, n: int, seed: int, told: Arrays) -> None:
        """Begin the stream of draws; the conditions are each (n, ...)."""
        self._vae, self._told = vae, told
        self._draw = vae.prior.stream(seed)
        self._next = 0
        self._buffers = Buffers(vae.input_shape)
        self.n, self.row_bytes = n, 4 * math.prod(vae.input_shape)

    def take(self, count: int) -> Arrays:
        """Draw and decode the next rows."""
        told = {name: values[self._next : self._next + count] for name, values in self._told.items()}
        self._next += count
        return {"x": self._vae.decode(self._draw(count), out=self._buffers.next(count), **told)}

    def skip(self, count: int) -> None:
        """Draw the next rows, which the following ones depend on, and leave them."""
        self._draw(count)
        self._next += count


def write_file(path: Path, source: Source, progress: Callable[[int], object]) -> None:
    """Write the one array of a source as .npy, whole or not at all, some rows at a time.

    Raises:
        OSError: the disk is full, or the place cannot be written to; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    size = _shard_rows(source)
    try:
        with temporary.open("wb") as file, _in_background() as write:
            for start in range(0, source.n, size):
                (array,) = source.take(min(size, source.n - start)).values()
                if start == 0:
                    header = {"descr": array.dtype.str, "fortran_order": False, "shape": (source.n, *array.shape[1:])}
                    np.lib.format.write_array_header_1_0(file, header)
                write(file.write, np.ascontiguousarray(array).data)
                progress(len(array))
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_shards(folder: Path, source: Source, job: Mapping[str, Any], progress: Callable[[int], object]) -> int:
    """Write a source as a folder of shards, 000000.npy and so on, going on where an earlier call was stopped.

    Args:
        folder: made if it is not there.
        source: what to write; one array becomes .npy files, several together .npz files.
        job: what the folder is of, as JSON; a folder of another job is refused.
        progress: called with the number of rows that have just been done, or were there.

    Returns:
        How many shards were there already.

    Raises:
        InputError: the folder holds something else.
        OSError: the disk is full, or the place cannot be written to; the shards before are whole.
    """
    size = _shard_rows(source)
    described = json.dumps({**job, "rows": source.n, "rows_per_shard": size}, indent=2) + "\n"
    if folder.exists():
        if not (folder / JOB).is_file():
            raise InputError(f"{folder} exists and is no folder of shards (it has no {JOB}): name another one")
        if (folder / JOB).read_text("utf-8") != described:
            raise InputError(f"{folder} holds the shards of another job (see its {JOB}): name another folder")
    else:
        folder.mkdir(parents=True)
        write_atomically(folder / JOB, described.encode())
    there = 0
    with _in_background() as write:
        for index, start in enumerate(range(0, source.n, size)):
            rows = min(size, source.n - start)
            if _is_whole(folder / f"{index:06}", rows):
                source.skip(rows)
                there += 1
            else:
                write(_write_shard, folder / f"{index:06}", source.take(rows))
            progress(rows)
    return there


def _is_whole(path: Path, rows: int) -> bool:
    """Say whether a shard is there and holds so many rows; a damaged one is written again."""
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
        return
    content = io.BytesIO()
    named: dict[str, Any] = arrays
    np.savez(content, **named)
    write_atomically(path.with_suffix(".npz"), content.getbuffer())


@contextmanager
def _in_background() -> Iterator[Callable[..., None]]:
    """Give a function that calls another one in a thread, one call at a time: the disk writes while we compute."""
    with ThreadPoolExecutor(1) as executor:
        pending: list[Future[object]] = []

        def submit(function: Callable[..., object], *arguments: object) -> None:
            while pending:
                pending.pop().result()
            pending.append(executor.submit(function, *arguments))

        yield submit
        while pending:
            pending.pop().result()


def _shard_rows(source: Source) -> int:
    rows = max(1, _SHARD_BYTES // source.row_bytes)
    return rows - rows % _ROUND if rows >= _ROUND else rows
