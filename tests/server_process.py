"""Start `vaedge serve` as a process, and observe it."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

_START = "import sys; from vaedge.cli.main import main; sys.exit(main())"
_SECONDS = 120  # time within which a server must start


@contextmanager
def start_server(*argv, setup="", **variables):
    """Start `vaedge serve`, and yield its process and its address. `setup` is code that runs before the start.

    The output goes to files. A pipe that nobody reads would block a server that writes many warnings.
    """
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = (Path(folder, name) for name in ("stdout", "stderr"))
        with stdout.open("w") as output, stderr.open("w") as errors:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    setup + "\n" + _START,
                    "serve",
                    *map(str, argv),
                    "--port",
                    "0",
                    "--threads",
                    "1",
                ],
                stdout=output,
                stderr=errors,
                env={**os.environ, **variables},
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + _SECONDS
            while not stdout.read_text().endswith("\n"):
                assert process.poll() is None, stderr.read_text()
                assert time.monotonic() < deadline, "the server has not started"
                time.sleep(0.02)
            with stderr.open() as process.stderr:
                yield process, re.search(r"http://\S+", stdout.read_text())[0].replace("0.0.0.0", "127.0.0.1")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # also kills the workers
            process.wait()


def wait_for_metric(address, line):
    """Wait until the metrics of the server contain the line. A worker counts a request only after its response."""
    deadline = time.monotonic() + _SECONDS
    while True:
        with urllib.request.urlopen(f"{address}/metrics", timeout=60) as response:
            metrics = response.read().decode()
        if line in metrics.splitlines():
            return
        assert time.monotonic() < deadline, metrics
        time.sleep(0.05)


def workers(pid):
    """Return the process ids of the workers of `vaedge serve`."""
    found = set()
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, _read(path).split()):
            if b"spawn_main" in _read(Path(f"/proc/{child}/cmdline")):
                found.add(child)
    return found


def descriptors(pid):
    """Return the targets of the file descriptors of a process, such as `socket:[123]`."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in the meantime
            found.append(str(path.readlink()))
    return found


def client_ports(pid):
    """Return the client ports of the IPv4 connections that a process holds."""
    inodes = {name[8:-1] for name in descriptors(pid) if name.startswith("socket:")}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].split(":")[1], 16) for row in rows if row[9] in inodes} - {0}


def resident(pid):
    """Return the resident memory of a process in MiB."""
    return int(re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1]) / 1024


def _read(path):
    """Return the content of a file of /proc. The content is empty if the process has ended."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
