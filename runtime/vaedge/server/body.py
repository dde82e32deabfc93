"""Read the body of a request."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from vaedge.server.limits import Limits, Memory
from vaedge.server.responses import RequestError, invalid

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Body:
    """The body of one request. Its bytes are reserved in the memory until `release`.

    Attributes:
        content: The bytes that were read.
    """

    def __init__(self, limits: Limits, memory: Memory) -> None:
        """Start with an empty body."""
        self.content = b""
        self._limits, self._memory = limits, memory
        self._held = 0

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bool:
        """Read the whole body. Return False if the client went away.

        Raises:
            RequestError: The body is too large, is compressed, or arrives too slowly, or the memory is full.
        """
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise RequestError(415, "the body is compressed; send it without Content-Encoding")
        if int(headers.get(b"content-length", b"0")) > self._limits.body_bytes:
            raise self._too_large()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.body_seconds
        try:
            async with asyncio.timeout(None) as timeout:
                # Most bodies have already arrived, and reading them is faster than starting a timer. The timer starts
                # only for other bodies.
                start_timer = loop.call_soon(timeout.reschedule, deadline)
                try:
                    return await self._read_parts(receive)
                finally:
                    start_timer.cancel()
        except TimeoutError as error:
            reason = f"the body did not arrive within {self._limits.body_seconds:g} seconds; send it faster"
            raise RequestError(408, reason, {"connection": "close"}) from error

    async def _read_parts(self, receive: Receive) -> bool:
        parts: list[bytes] = []
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return False
            part = message.get("body", b"")
            self._memory.reserve(len(part))
            self._held += len(part)
            if self._held > self._limits.body_bytes:
                raise self._too_large()
            parts.append(part)
            more = message.get("more_body", False)
        self.content = parts[0] if len(parts) == 1 else b"".join(parts)
        return True

    def release(self) -> None:
        """Release the bytes of the body in the memory."""
        self._memory.release(self._held)
        self._held = 0

    def _too_large(self) -> RequestError:
        return RequestError(413, f"the body has more than {self._limits.body_bytes:,} bytes; send fewer rows")


def json_size(headers: Mapping[bytes, bytes]) -> int | None:
    """Return the number of bytes of the JSON at the start of the body, or None if the whole body is JSON.

    Raises:
        RequestError: The header `Inference-Header-Content-Length` is not a number of bytes.
    """
    value = headers.get(b"inference-header-content-length")
    if value is None:
        return None
    if not value.isdigit() or len(value) > 12:
        raise invalid("Inference-Header-Content-Length must be the number of bytes of the JSON, with at most 12 digits")
    return int(value)
