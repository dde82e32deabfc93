"""Kill a process when it reaches a chosen line of Python, so that the kill does not depend on the machine's speed.

A server process imports the packages that take long to import. For each call of the tested code, it forks a child that
counts the executed lines. At the chosen line, the child sends a message, and the test kills the child.
"""

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

_TESTS = Path(__file__).parent
_HELPERS = ("pathlib.", "shutil.")  # their lines count if counted code calls them


class _Lines:
    """Count the executed lines in all threads of a child process, and send a message to the test at a chosen line.

    Args:
        counted: Names of the modules and packages whose executed lines are counted.
        at: Number of executed lines at which the message is sent. If None, it is sent at the end of the child.
        wait: Whether the child waits after the message. If False, the child continues until it is killed.
        announce: Function that sends a message to the test.
    """

    def __init__(self, counted, at, wait, announce):
        self._prefixes = tuple(f"{name}." for name in counted)
        self._kinds = {}
        self._at, self._wait, self._announce = at, wait, announce
        self._numbers, self._last = itertools.count(1), 0
        sys.settrace(self._called)
        threading.settrace(self._called)
        frame = sys._getframe()
        while frame := frame.f_back:  # also count in functions that were entered before the fork
            frame.f_trace = self._called(frame)

    def _called(self, frame, *_):
        file = frame.f_code.co_filename
        if file not in self._kinds:
            name = frame.f_globals.get("__name__", "") + "."
            self._kinds[file] = "counted" if name.startswith(self._prefixes) else name.startswith(_HELPERS)
        kind = self._kinds[file]
        if kind == "counted" or (kind and frame.f_back is not None and frame.f_back.f_trace is not None):
            return self._executed
        return None

    def _executed(self, frame, event, argument):
        if event == "line":
            number = next(self._numbers)
            self._last = max(self._last, number)
            if number == self._at:
                self._announce({"pid": os.getpid()})
                if self._wait:
                    _wait_for_the_kill()
        return self._executed

    def end(self):
        """Send the message if the line `at` was not reached. Then wait until the parent kills this process."""
        sys.settrace(None)
        if self._at is None or self._last < self._at:
            self._announce({"pid": os.getpid(), "lines": self._last})
        _wait_for_the_kill()


def _wait_for_the_kill():
    threading.Event().wait()


def children(*counted):
    """Fork a child process for each call that stdin requests. In the child, yield the arguments of the call.

    The caller loops over this generator. The child exits at the end of the loop's body, so each pass of the loop runs
    in a separate process.

    Args:
        counted: Names of the modules and packages whose executed lines are counted.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # send the output of the tested code to stderr, because stdout holds the replies

    def reply(message):
        print(json.dumps(message), file=replies, flush=True)

    reply("ready")
    for line in sys.stdin:
        request = json.loads(line)
        pids = []
        for call in request["calls"]:
            pids.append(os.fork())
            if pids[-1] == 0:
                lines = _Lines(counted, request["at"], request["wait"], reply) if request["counts"] else None
                yield call
                if lines:
                    lines.end()
                os._exit(0)
        for pid in pids:
            reply({"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])})


class Server:
    """A process that runs Python code with a loop over `children()`. Each iteration forks a child process."""

    def __init__(self, code, errors):
        """Start the process.

        Args:
            code: Python code to run.
            errors: Path of a file for the stderr of the server and of its children.
        """
        self.errors = errors
        paths = os.pathsep.join(filter(None, (str(_TESTS), os.environ.get("PYTHONPATH"))))
        with errors.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env={**os.environ, "PYTHONPATH": paths},
            )
        assert self._reply() == "ready"

    def _request(self, *calls, counts=False, at=None, wait=True):
        words = [[str(argument) for argument in call] for call in calls]
        request = {"calls": words, "counts": counts, "at": at, "wait": wait}
        print(json.dumps(request), file=self._process.stdin, flush=True)

    def _reply(self):
        line = self._process.stdout.readline()
        assert line, self.errors.read_text()
        return json.loads(line)

    def run(self, *calls):
        """Start one child process for each of `calls`, all at the same time, and return their exit statuses."""
        self._request(*calls)
        return [self._reply()["status"] for _ in calls]

    def kill(self, *arguments, at=None, delay=None):
        """Kill one child.

        Args:
            arguments: Arguments of the call.
            at: Number of executed lines after which the child is killed. If this is None, or if the child executes
                fewer lines, the child is killed after its last line.
            delay: Seconds for which the child continues after these lines, before it is killed. With None, the child
                waits after these lines until it is killed.

        Returns:
            Number of executed lines if the child was killed after its last line; otherwise None.
        """
        self._request(arguments, counts=True, at=at, wait=delay is None)
        reply = self._reply()
        assert "pid" in reply, self.errors.read_text()
        if delay is not None:
            time.sleep(delay)
        os.kill(reply["pid"], signal.SIGKILL)
        assert self._reply() == {"status": -signal.SIGKILL}
        return reply.get("lines")

    def close(self):
        """End the server."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@contextlib.contextmanager
def serving(code, errors):
    """Start a `Server`, and close it at the end of the `with` block."""
    server = Server(code, errors)
    try:
        yield server
    finally:
        server.close()


def moments(kills, lines):
    """Choose the executed lines at which a child process is killed, evenly spread over all executed lines.

    For every second choice, the kill has a random delay of at most 10 ms.

    Args:
        kills: Number of lines to choose.
        lines: Number of all executed lines.

    Yields:
        The keyword arguments of `Server.kill`.
    """
    delays = random.Random(0)
    for index in range(kills):
        at = 1 + round(index * (lines - 1) / (kills - 1))
        yield {"at": at, "delay": delays.uniform(0, 0.01) if index % 2 else None}
