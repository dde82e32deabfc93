"""Run requests in a thread, and join waiting requests in batches.

Requests wait while the thread is busy. The thread then takes all waiting requests at once. Therefore, batches become
larger under load, and no request waits for a timer.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np

from vaedge.server.limits import Memory
from vaedge.server.models import Call, Model, Run
from vaedge.server.protocol import Request, read_request, write_response
from vaedge.server.responses import Response, error_response, overloaded

# If the thread is busy for this number of seconds, the event loop starts to watch for clients that go away.
_PATIENCE = 0.05


class _Member(NamedTuple):
    """One request of a batch."""

    job: "Job"
    request: Request
    call: Call


_Results = list[tuple["Job", Response | None]]


class Job:
    """One request for inference.

    Attributes:
        model: The model.
        future: Receives the response, or None if the client went away.
        delivered: Whether `future` has received a response.
        abandoned: Whether the wait for the response ended before the response arrived.
        held: Number of bytes that are reserved in the memory for the result.
    """

    def __init__(
        self, model: Model, body: bytes, json_size: int | None, until_gone: Callable[[], Awaitable[None]]
    ) -> None:
        """Store the request. `until_gone()` returns when the client goes away."""
        self.model = model
        self.future: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
        self.delivered = self.abandoned = False
        self.held = 0
        self._body, self._json_size = body, json_size
        self._until_gone = until_gone
        self._watcher: asyncio.Task[None] | None = None

    def prepare(self) -> tuple[Request, Call]:
        """Read and validate the request."""
        request = read_request(self._body, self._json_size)
        return request, self.model.prepare(request)

    def watch(self) -> None:
        """Start a task that abandons the job when the client goes away."""
        if self._watcher is None and not self.future.done():
            self._watcher = asyncio.get_running_loop().create_task(self._abandon_when_gone())

    def deliver(self, response: Response | None) -> None:
        """Set the response, unless the client went away."""
        if not self.future.done():
            self.future.set_result(response)
            self.delivered = True

    def abandon(self) -> None:
        """End the wait for the response, if the response has not arrived."""
        self.abandoned = not self.delivered
        if not self.future.done():
            self.future.set_result(None)

    def close(self) -> None:
        """Abandon the job, and cancel the task that `watch` started."""
        self.abandon()
        if self._watcher is not None:
            self._watcher.cancel()

    async def _abandon_when_gone(self) -> None:
        await self._until_gone()
        self.abandon()


class JobQueue:
    """A queue of jobs, and the thread that runs them."""

    def __init__(self, max_batch: int, max_waiting: int, memory: Memory, on_batch: Callable[[int], None]) -> None:
        """Create the queue. The thread starts with the first job.

        Args:
            max_batch: Maximum number of rows in a batch of joined jobs. A job with more rows runs alone.
            max_waiting: Maximum number of waiting jobs.
            memory: The counter in which the bytes of results are reserved.
            on_batch: Function that the thread calls with the number of rows of each batch.
        """
        self._max_batch, self._max_waiting = max_batch, max_waiting
        self._memory, self._on_batch = memory, on_batch
        self._waiting: list[Job] = []
        self._running: list[Job] = []
        self._busy = False
        self._watching = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._turns: SimpleQueue[tuple[asyncio.AbstractEventLoop, list[Job]]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread runs jobs, or jobs wait for it. This stays true if the event loop ends before the jobs."""
        return self._busy

    def submit(self, job: Job) -> None:
        """Add a job. The caller awaits `job.future`.

        Raises:
            RequestError: `max_waiting` jobs already wait.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the earlier event loop and its jobs have ended
            self._loop, self._timer = loop, None
            self._waiting, self._running = [], []
            self._busy = self._watching = False
        if len(self._waiting) >= self._max_waiting:
            raise overloaded(f"the queue is full: {len(self._waiting)} requests wait")
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
        """Send all waiting jobs to the thread."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._running = [job for job in self._waiting if not job.abandoned]
        self._waiting = []
        self._busy, self._watching = bool(self._running), False
        if not self._busy:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="vaedge-server", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_PATIENCE, self._watch)
        self._turns.put((loop, self._running))

    def _watch(self) -> None:
        self._watching = True
        for job in (*self._running, *self._waiting):
            job.watch()

    def _work(self) -> None:
        while True:
            loop, jobs = self._turns.get()
            with contextlib.suppress(RuntimeError):  # the event loop was closed, so no client waits
                for results in self._turn(jobs):
                    loop.call_soon_threadsafe(self._deliver, results)
                loop.call_soon_threadsafe(self._start)

    def _turn(self, jobs: Sequence[Job]) -> Iterator[_Results]:
        """Run jobs, and yield the responses of each batch."""
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
        if refused:
            yield refused
        for run, members in groups.items():
            for batch in _batches(members, self._max_batch):
                yield self._run(run, batch)

    def _deliver(self, results: _Results) -> None:
        for job, response in results:
            job.deliver(response)
            if not job.delivered:  # `leave` was called before the response arrived
                self._memory.release(job.held)

    def _run(self, run: Run, batch: Sequence[_Member]) -> _Results:
        dropped: _Results = [(job, None) for job, _, _ in batch if job.abandoned]
        batch = [member for member in batch if not member.job.abandoned]
        if not batch:
            return dropped
        calls = [call for _, _, call in batch]
        self._on_batch(sum(call.rows for call in calls))
        try:
            if len(calls) == 1:
                results = run(calls[0].inputs)
            else:
                results = run({name: np.concatenate([call.inputs[name] for call in calls]) for name in calls[0].inputs})
        except Exception as error:
            return dropped + [(job, error_response(error)) for job, _, _ in batch]
        responses, start = dropped, 0
        for job, request, call in batch:
            rows = slice(start, start + call.rows)
            start += call.rows
            try:
                own = {name: array[rows] for name, array in results.items()}
                response = write_response(job.model.name, request, own)
            except Exception as error:
                response = error_response(error)
            responses.append((job, response))
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
