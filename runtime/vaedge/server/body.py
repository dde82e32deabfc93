"""Read the body of a request."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from vaedge.server.limits import Limits, Memory
from vaedge.server.responses import RequestError, invalid

# A refused body is still received, up to this number of times the limit. Most clients read no response before they have
# sent the whole body, and would otherwise see only a closed connection.
_DISCARDED = 4

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Body:
    """The body of one request. Its bytes count toward the limit of memory until `release`.

    Attributes:
        content: The bytes that were read.
    """

    def __init__(self, limits: Limits, memory: Memory) -> None:
        """Start with an empty body."""
        self.content = b""
        self._limits, self._memory = limits, memory
        self._held = 0
        self._size = 0  # number of bytes that were announced or received, whichever is larger

    async def read(
        self, headers: Mapping[bytes, bytes], receive: Receive, receive_whole: Callable[[], bytes | None]
    ) -> bool:
        """Read the whole body. Return False if the client went away.

        Args:
            headers: The headers of the request.
            receive: The function of ASGI that returns the next part.
            receive_whole: Function that returns the whole body, or None if it has not arrived. This is faster than
                `receive`.

        Raises:
            RequestError: The body is too large, is compressed, or arrives too slowly, or the memory is full.
        """
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise RequestError(415, "the body is compressed; send it without Content-Encoding")
        self._size = int(headers.get(b"content-length", b"0"))
        if self._is_too_large and (b"expect" in headers or self._size > _DISCARDED * self._limits.body_bytes):
            raise self._too_large()  # a client with `Expect: 100-continue` waits before it sends the body
        content = receive_whole()
        if content is not None:
            self._size = len(content)
            if self._is_too_large:
                raise self._too_large()
            self._memory.reserve(self._size)
            self._held = self._size
            self.content = content
            return True
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await self._read_parts(receive)
        except TimeoutError as error:
            if self._is_too_large:
                raise self._too_large() from error
            reason = f"the body did not arrive within {self._limits.body_seconds:g} seconds; send it faster"
            raise RequestError(408, reason, {"connection": "close"}) from error

    async def _read_parts(self, receive: Receive) -> bool:
        parts: list[bytes] = []
        received, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return False
            part = message.get("body", b"")
            more = message.get("more_body", False)
            received += len(part)
            self._size = max(self._size, received)
            if self._is_too_large:
                parts.clear()
                self.release()
                more = more and received <= _DISCARDED * self._limits.body_bytes
            else:
                self._memory.reserve(len(part))
                self._held += len(part)
                parts.append(part)
        if self._is_too_large:
            raise self._too_large()
        self.content = parts[0] if len(parts) == 1 else b"".join(parts)
        return True

    def release(self) -> None:
        """Subtract the size of this body from the size of all bodies and results that the application holds."""
        self._memory.release(self._held)
        self._held = 0

    @property
    def _is_too_large(self) -> bool:
        return self._size > self._limits.body_bytes

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
