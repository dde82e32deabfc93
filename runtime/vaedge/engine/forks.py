"""Fork safety for sessions.

A forked child inherits the session objects of its parent, but not the worker threads of the sessions. The child
would wait forever if it called or destroyed such a session. Therefore it never does so, and opens new sessions.

ONNX Runtime would be in an inconsistent state in the child if another thread opened or destroyed a session during the
fork. Therefore each fork waits until no thread opens or destroys a session.
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
        """Replace all state that depends on threads of the parent process.

        Returns:
            The objects that must not be destroyed in the child process.
        """


_forkables: "weakref.WeakSet[Forkable]" = weakref.WeakSet()
_no_fork_ended = threading.Condition()
_no_fork_blocks = 0  # number of `no_fork` blocks that all threads run at this moment


def watch(forkable: Forkable) -> None:
    """Register an object that must be notified in every forked child.

    The registration does not keep the object alive.
    """
    _forkables.add(forkable)


@contextmanager
def no_fork() -> Iterator[None]:
    """Make forks wait until the `with` block has ended. Several threads can be in such a block at once."""
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
