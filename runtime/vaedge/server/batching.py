"""Join waiting requests in batches, and run them in a thread or in the event loop.

Requests wait while a batch runs. Then all waiting requests run together. Therefore, batches become larger under load,
and no request waits for a timer. Long batches run in a thread, so that the event loop stays free. Short batches run in
the event loop, because a switch between threads would take longer than the batch.
"""

import asyncio
import contextlib
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from vaedge.server.job import Job
from vaedge.server.limits import Memory
from vaedge.server.models import Call, Run
from vaedge.server.protocol import Request, write_response
from vaedge.server.responses import Response, error_response, overloaded

# If the thread is busy for this number of seconds, the event loop starts to watch for clients that go away.
_PATIENCE = 0.05
# Batches that are expected to take at most this number of seconds run in the event loop. Python code in another thread
# can block the event loop for longer: 5 milliseconds (`sys.getswitchinterval`).
_SHORT = 0.002
# CPU time does not include the waits for other threads. Windows measures it only in steps of 16 milliseconds.
_clock = time.perf_counter if sys.platform == "win32" else time.thread_time
_SMALL = 65_536  # maximum number of bytes of bodies that are read in the event loop before it serves other requests


class _Member(NamedTuple):
    """One request of a batch."""

    job: Job
    request: Request
    call: Call


class _Batch(NamedTuple):
    """Requests that run together."""

    run: Run
    members: Sequence[_Member]

    @property
    def rows(self) -> int:
        """Number of rows of all requests."""
        return sum(member.call.rows for member in self.members)


_Results = list[tuple[Job, Response | None]]


class JobQueue:
    """A queue of jobs, and the thread that runs long batches."""

    def __init__(self, max_batch: int, max_waiting: int, memory: Memory, on_batch: Callable[[int], None]) -> None:
        """Create the queue. The thread starts with the first job.

        Args:
            max_batch: Maximum number of rows in a batch of joined jobs. A job with more rows runs alone.
            max_waiting: Maximum number of waiting jobs.
            memory: The counter in which the bytes of results are reserved.
            on_batch: Function that is called with the number of rows of each batch.
        """
        self._max_batch, self._max_waiting = max_batch, max_waiting
        self._memory, self._on_batch = memory, on_batch
        self._waiting: list[Job] = []
        self._running: list[Job] = []
        self._busy = False
        self._watching = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._turns: SimpleQueue[tuple[asyncio.AbstractEventLoop, Iterator[_Results]]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        # Seconds and rows of the last batch of each function. They predict the time of its next batch.
        self._last: WeakKeyDictionary[Run, tuple[float, int]] = WeakKeyDictionary()

    @property
    def is_running(self) -> bool:
        """Whether there are jobs that run or wait.

        If the event loop ends while the thread still runs jobs, this stays true.
        """
        return self._busy

    def submit(self, job: Job) -> None:
        """Add a job. The caller awaits `job.future`.

        Raises:
            RequestError: `max_waiting` jobs already wait, or the thread cannot be started.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the earlier event loop and its jobs have ended
            self._loop, self._timer = loop, None
            self._waiting, self._running = [], []
            self._busy = self._watching = False
        if len(self._waiting) >= self._max_waiting:
            raise overloaded(f"the queue is full: {len(self._waiting)} requests wait")
        if self._thread is None:
            self._start_thread()
        self._waiting.append(job)
        if self._watching:
            job.watch()
        if not self._busy:
            self._busy = True
            # Before it calls `_start`, the event loop reads all requests that have already arrived.
            loop.call_soon(self._start)

    def leave(self, job: Job) -> None:
        """Close a job and release its memory, after its response was sent or its client went away."""
        job.close()
        if job.delivered:
            self._memory.release(job.held)

    def _start(self) -> None:
        """Run all waiting jobs, in the event loop or in the thread."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        jobs = self._running = [job for job in self._waiting if not job.abandoned]
        self._waiting = []
        self._busy, self._watching = bool(jobs), False
        if not self._busy:
            return
        loop = asyncio.get_running_loop()
        if not all(job.model.is_steady for job in jobs) or sum(job.body_size for job in jobs) > _SMALL:
            self._run_in_thread(loop, self._read_and_run(jobs))
            return
        refused, batches = self._read(jobs)
        self._deliver(refused)
        results = map(self._run, batches)
        if sum(map(self._expected_seconds, batches)) > _SHORT:
            self._run_in_thread(loop, results)
            return
        for result in results:
            self._deliver(result)
        loop.call_soon(self._start)

    def _expected_seconds(self, batch: _Batch) -> float:
        seconds, rows = self._last.get(batch.run, (math.inf, 1))  # the first batch opens the graphs, so it is long
        return seconds * max(1.0, batch.rows / rows)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name="vaedge-server", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise overloaded("the operating system refuses to start a thread") from error
        self._thread = thread

    def _run_in_thread(self, loop: asyncio.AbstractEventLoop, results: Iterator[_Results]) -> None:
        """Compute results in the thread, and call `_start` in the event loop when all are delivered."""
        self._timer = loop.call_later(_PATIENCE, self._watch)
        self._turns.put((loop, results))

    def _watch(self) -> None:
        self._watching = True
        for job in (*self._running, *self._waiting):
            job.watch()

    def _work(self) -> None:
        while True:
            loop, turn = self._turns.get()
            with contextlib.suppress(RuntimeError):  # the event loop was closed, so no client waits
                for results in turn:
                    loop.call_soon_threadsafe(self._deliver, results)
                loop.call_soon_threadsafe(self._start)

    def _read_and_run(self, jobs: Sequence[Job]) -> Iterator[_Results]:
        refused, batches = self._read(jobs)
        yield refused
        yield from map(self._run, batches)

    def _read(self, jobs: Sequence[Job]) -> tuple[_Results, list[_Batch]]:
        """Read the requests of jobs. Return the responses to invalid requests, and the batches of the others."""
        refused: _Results = []
        groups: dict[Run, list[_Member]] = {}
        for job in jobs:
            if job.abandoned:
                continue
            try:
                request, call = job.prepare()
                size = call.rows * job.model.row_bytes
                self._memory.reserve(size)
                job.held += size
            except Exception as error:
                refused.append((job, error_response(error)))
            else:
                groups.setdefault(call.run, []).append(_Member(job, request, call))
        return refused, [
            _Batch(run, members) for run, group in groups.items() for members in _batches(group, self._max_batch)
        ]

    def _deliver(self, results: _Results) -> None:
        for job, response in results:
            job.deliver(response)
            if not job.delivered:  # `leave` was called before the response arrived
                self._memory.release(job.held)

    def _run(self, batch: _Batch) -> _Results:
        dropped: _Results = [(member.job, None) for member in batch.members if member.job.abandoned]
        batch = batch._replace(members=[member for member in batch.members if not member.job.abandoned])
        if not batch.members:
            return dropped
        started = _clock()
        self._on_batch(batch.rows)
        calls = [member.call for member in batch.members]
        try:
            if len(calls) == 1:
                results = batch.run(calls[0].inputs)
            else:
                results = batch.run(
                    {name: np.concatenate([call.inputs[name] for call in calls]) for name in calls[0].inputs}
                )
        except Exception as error:
            return dropped + [(member.job, error_response(error)) for member in batch.members]
        responses, start = dropped, 0
        for job, request, call in batch.members:
            rows = slice(start, start + call.rows)
            start += call.rows
            try:
                own = {name: array[rows] for name, array in results.items()}
                response = write_response(job.model.name, request, own)
            except Exception as error:
                response = error_response(error)
            responses.append((job, response))
        self._last[batch.run] = _clock() - started, batch.rows
        return responses


def _batches(members: Sequence[_Member], max_rows: int) -> Iterator[list[_Member]]:
    """Divide calls into batches of at most `max_rows` rows. A call with more rows becomes a separate batch."""
    batch: list[_Member] = []
    rows = 0
    for member in members:
        if batch and rows + member.call.rows > max_rows:
            yield batch
            batch, rows = [], 0
        batch.append(member)
        rows += member.call.rows
    yield batch
