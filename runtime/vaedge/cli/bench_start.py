"""Measure the cold start of a candidate in a new process.

The module runs as `python -m vaedge.cli.bench_start BUNDLE KIND VARIANT DEVICE THREADS`. The standard input is an .npz
archive with one example `x` and its conditions. The process prints one line when it has reconstructed the example, and
then its peak memory as a second line.
"""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import numpy as np

import vaedge
from vaedge import InferenceError
from vaedge.bundle.reference import Inputs
from vaedge.engine.cpus import peak_memory

VAEDGE = "vaedge"


class Start(NamedTuple):
    """The cold start of a candidate.

    Attributes:
        seconds: Time from the start of the process to the first result.
        peak_bytes: Peak memory of the process; None if the system does not report it.
    """

    seconds: float
    peak_bytes: int | None


def measure_start(path: str, kind: str, variant: str, device: str, threads: int, inputs: Inputs) -> Start:
    """Start a new process that loads a bundle and reconstructs one example.

    Args:
        path: The bundle's folder.
        kind: "vaedge", or the name of a baseline.
        variant: Name of the variant.
        device: As for `vaedge.load`.
        threads: Number of CPU threads.
        inputs: Inputs, whose first example is used.

    Raises:
        InferenceError: The process failed. The message holds the last line that it printed.
    """
    example = inputs.repeated(1)
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, x=example.x, **example.conditions)
    command = [sys.executable, "-m", __name__, path, kind, variant, device, str(threads)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)}
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, env=environment) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                with contextlib.suppress(BrokenPipeError):  # the process has failed already
                    process.stdin.write(content.getvalue())
                    process.stdin.close()
                found = process.stdout.readline()
                seconds = time.perf_counter() - start
                peak = process.stdout.readline().decode().strip()
            except BaseException:
                process.kill()
                raise
        if process.returncode or not found:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").splitlines() or [f"exit status {process.returncode}"]
            raise InferenceError(f"the new process that measures the cold start of {kind} failed: {lines[-1]}")
    return Start(seconds, int(peak) if peak.isdecimal() else None)


def _main(path: str, kind: str, variant: str, device: str, threads: str) -> None:
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as archive:
        conditions = dict(archive)
    x = conditions.pop("x")
    if kind == VAEDGE:
        vaedge.load(path, device=device, variant=variant, threads=int(threads)).reconstruct(x, conditions=conditions)
    else:
        from vaedge.benchmark.baselines import BASELINES
        from vaedge.bundle.reader import read_bundle

        run = BASELINES[kind].run(read_bundle(path, variant), int(threads))
        mean = run("encoder", {"x": x, **conditions})[0]
        run("decoder", {"z": mean, **conditions})
    print("done", flush=True)
    print(peak_memory(), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
