"""Memory of one process. `measure()` runs the measured code in its own process, which runs nothing else."""

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
    """Return the resident memory in bytes, without freed memory that the allocator keeps; 0 where it is unknown.

    glibc does not return freed memory in the middle of its heaps. Without `malloc_trim`, that fragmentation changes the
    result by tens of megabytes in either direction, which hides a leak or looks like one.
    """
    if not AVAILABLE:
        return 0
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return _status("VmRSS")


def peak():
    """Return the peak of the resident memory in bytes; 0 where it is unknown.

    `ru_maxrss` is no replacement: a child process inherits its parent's peak, which hides its own.
    """
    return _status("VmHWM") if AVAILABLE else 0


def slope(samples):
    """Return the growth from one sample to the next: the median over all pairs, which one step does not change."""
    pairs = itertools.combinations(enumerate(samples), 2)
    return statistics.median((later - earlier) / (j - i) for (i, earlier), (j, later) in pairs)


def measure(code, *arguments):
    """Run code in its own process, and return the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        # One heap for all threads: with one for each thread, the heaps keep growing for thousands of calls.
        env={**os.environ, "PYTHONPATH": search_path(), "MALLOC_ARENA_MAX": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # a library must not print anything
    return json.loads(done.stdout)


def search_path():
    """Return the PYTHONPATH for another process: the helpers of the tests, and the tested vaedge."""
    import vaedge

    return os.pathsep.join((str(Path(__file__).parent), str(Path(vaedge.__file__).parents[1])))
