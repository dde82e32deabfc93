"""Measure the memory of a process. `measure()` runs the measured code in a new process."""

import ctypes
import gc
import itertools
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
AVAILABLE = _STATUS.exists()


def _status(field):
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def resident():
    """Return the resident memory in bytes, without freed memory that the allocator keeps; 0 if it is unknown.

    glibc keeps freed memory in the middle of its heaps. Without `malloc_trim`, this fragmentation changes the result by
    tens of megabytes, so that a leak is hidden or seems to exist.
    """
    if not AVAILABLE:
        return 0
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return _status("VmRSS")


def peak():
    """Return the peak of the resident memory in bytes; 0 if it is unknown.

    `ru_maxrss` is not suitable: a child process inherits the peak of its parent, which may be larger than its own peak.
    """
    return _status("VmHWM") if AVAILABLE else 0


def slope(samples):
    """Return how much a measured value grows from one sample to the next: the median slope over all pairs of samples.

    Because of the median, a single jump does not change the result.
    """
    pairs = itertools.combinations(enumerate(samples), 2)
    return statistics.median((later - earlier) / (j - i) for (i, earlier), (j, later) in pairs)


def measure(code, *arguments):
    """Run code in a new process, and return the parsed JSON that the code prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        # Use one heap for all threads. Separate heaps of threads would grow for thousands of calls.
        env={**os.environ, "PYTHONPATH": search_path(), "MALLOC_ARENA_MAX": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # a library must not print anything
    return json.loads(done.stdout)


def search_path():
    """Return a PYTHONPATH that lets other processes import the helpers of the tests and the tested vaedge."""
    import vaedge

    return os.pathsep.join((str(Path(__file__).parent), str(Path(vaedge.__file__).parents[1])))
