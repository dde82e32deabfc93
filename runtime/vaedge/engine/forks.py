"""Fork safety. A forked child inherits the session objects, but not their worker threads.

A call of such a session would wait forever, and so would the interpreter's exit, which destroys the sessions.
Therefore the child abandons them and opens its own. A fork also waits until no other thread opens or destroys a
session, because ONNX Runtime would be in an inconsistent state in the child.
"""

import ctypes
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Forkable(Protocol):
    """An object that is notified in the child process after fork()."""

    def inherited(self) -> list[object]:
        """Replace what depends on the parent's threads, and return the objects that must never be destroyed here."""


_forkables: "weakref.WeakSet[Forkable]" = weakref.WeakSet()
_no_fork_ended = threading.Condition()
_no_fork_blocks = 0  # running `no_fork` blocks of all threads


def watch(forkable: Forkable) -> None:
    """Notify an object in every child that is forked during its lifetime."""
    _forkables.add(forkable)


@contextmanager
def no_fork() -> Iterator[None]:
    """Make forks wait until the block has ended. The blocks of several threads do not wait for each other."""
    global _no_fork_blocks
    with _no_fork_ended:
        _no_fork_blocks += 1
    try:
        yield
    finally:
        with _no_fork_ended:
            _no_fork_blocks -= 1
            _no_fork_ended.notify_all()


def _before_fork() -> None:
    _no_fork_ended.acquire()
    while _no_fork_blocks:
        _no_fork_ended.wait()


def _after_fork_in_child() -> None:
    _no_fork_ended.release()
    for forkable in list(_forkables):
        for session in forkable.inherited():
            # Leak one reference on purpose: destroying the session in the child would hang.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_no_fork_ended.release, after_in_child=_after_fork_in_child
    )
