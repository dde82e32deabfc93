"""What a fork does to sessions: the child has them, but not the threads that they wait for.

A session that is used there waits for ever, and so does the interpreter's end, which takes them apart.
"""

import ctypes
import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """What must be told that it woke up in a forked child."""

    def inherited(self) -> list[object]:
        """Give up what the parent's threads were part of, and return it: it must never be taken apart here."""


# Of this process: what is alive and holds sessions.
_living: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def watch(holder: Forkable) -> None:
    """Tell a holder of sessions when it finds itself in a forked child."""
    _living.add(holder)


def _in_child() -> None:
    for holder in list(_living):
        for session in holder.inherited():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))  # a reference that nobody gives back


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
