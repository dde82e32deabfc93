"""Finish the current training step before Ctrl-C ends the run."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def delayed_interrupt() -> Iterator[Callable[[], bool]]:
    """Finish the current step after the first Ctrl-C. A second Ctrl-C interrupts at once.

    Yields:
        A function that returns whether Ctrl-C was pressed.
    """
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set  # only the main thread can handle signals
        return

    def handle(*_: object) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, previous)
