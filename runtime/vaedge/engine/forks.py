"""What a fork does to sessions: the child has them, but not the threads that they wait for.

A session that is used there waits for ever, and so does the interpreter's end, which takes them apart. And a fork in
the moment in which another thread makes a session, or takes one apart, leaves ONNX Runtime half-changed in the child.
"""

import ctypes
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Forkable(Protocol):
    """What must be told that it woke up in a forked child."""

    def inherited(self) -> list[object]:
        """Give up what the parent's threads were part of, and return it: it must never be taken apart here."""


# Of this process: what is alive and holds sessions, and how many threads make one, or take one apart, right now.
_living: "weakref.WeakSet[Forkable]" = weakref.WeakSet()
_quiet = threading.Condition()
_changing = 0


def watch(holder: Forkable) -> None:
    """Tell a holder of sessions when it finds itself in a forked child."""
    _living.add(holder)


@contextmanager
def no_fork() -> Iterator[None]:
    """Have forks wait until the block has ended; blocks of several threads do not wait for each other."""
    global _changing
    with _quiet:
        _changing += 1
    try:
        yield
    finally:
        with _quiet:
            _changing -= 1
            _quiet.notify_all()


def _before() -> None:
    _quiet.acquire()
    while _changing:
        _quiet.wait()


def _in_child() -> None:
    _quiet.release()
    for holder in list(_living):
        for session in holder.inherited():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))  # a reference that nobody gives back


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_quiet.release, after_in_child=_in_child)
