"""Limits of the server: sizes of requests, work per request, and memory of all requests together."""

import threading
from dataclasses import dataclass

from vaedge.server.responses import overloaded

_MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """The limits of one application.

    Attributes:
        body_bytes: Maximum size of the body of a request.
        result_bytes: Maximum size of the arrays of a result.
        draws: Maximum number of latents that one `log_prob` decodes: the number of examples times `k`.
        waiting: Maximum number of requests that wait for the same worker thread.
        held_bytes: Maximum size of all bodies and results that the application holds at the same time.
        body_seconds: Maximum time in which a body must arrive.
    """

    body_bytes: int = 16 * _MIB
    result_bytes: int = 16 * _MIB
    draws: int = 2**20
    waiting: int = 1024
    held_bytes: int = 256 * _MIB
    body_seconds: float = 30.0


class Memory:
    """Counts the bytes of bodies and results that the application holds. Threads may share it."""

    def __init__(self, maximum: int) -> None:
        """Start with nothing held."""
        self._maximum = maximum
        self._held = 0
        self._lock = threading.Lock()

    def reserve(self, size: int) -> None:
        """Count `size` bytes.

        Raises:
            RequestError: The server would hold more bytes than its limit.
        """
        with self._lock:
            if self._held + size > self._maximum:
                raise overloaded(f"the server holds {self._held:,} bytes of other requests")
            self._held += size

    def release(self, size: int) -> None:
        """Subtract bytes that `reserve` counted."""
        with self._lock:
            self._held -= size
