"""One request for inference. It ends when its response arrives, or when its client goes away."""

import asyncio
from collections.abc import Awaitable, Callable

from vaedge.server.models import Call, Model
from vaedge.server.protocol import Request, read_request
from vaedge.server.responses import Response


class Job:
    """One request for inference.

    Attributes:
        model: The model.
        future: The future of the response. Its result is None if the client went away.
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

    @property
    def body_size(self) -> int:
        """Number of bytes of the body."""
        return len(self._body)

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
