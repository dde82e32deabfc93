"""Limits of the server: sizes of requests, work per request, and memory of all requests together."""

import threading
from dataclasses import dataclass

from vaedge.server.responses import overloaded

_MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """The limits of one application.

    Attributes:
        body_bytes: Maximum size of the body of a request, in bytes.
        result_bytes: Maximum size of all arrays of a result, in bytes.
        draws: Maximum number of latents that one `log_prob` request decodes. It decodes `k` latents for each example.
        waiting: Maximum number of requests that wait for the same thread.
        held_bytes: Maximum size of all bodies and results that the application holds at the same time, in bytes.
        body_seconds: Time within which a body must arrive, in seconds.
    """

    body_bytes: int = 16 * _MIB
    result_bytes: int = 16 * _MIB
    draws: int = 2**20
    waiting: int = 1024
    held_bytes: int = 256 * _MIB
    body_seconds: float = 30.0


class Memory:
    """A thread-safe counter of the bytes of bodies and results that the application holds."""

    def __init__(self, maximum: int) -> None:
        """Start with 0 bytes. `maximum` is the largest count that `reserve` allows."""
        self._maximum = maximum
        self._held = 0
        self._lock = threading.Lock()

    def reserve(self, size: int) -> None:
        """Add `size` bytes to the count.

        Raises:
            RequestError: The count would exceed the maximum.
        """
        with self._lock:
            if self._held + size > self._maximum:
                held = f"the server holds {self._held:,} of at most {self._maximum:,} bytes of requests and results"
                raise overloaded(f"{held}, and this request needs {size:,} more")
            self._held += size

    def release(self, size: int) -> None:
        """Subtract `size` bytes, which `reserve` added, from the count."""
        with self._lock:
            self._held -= size
