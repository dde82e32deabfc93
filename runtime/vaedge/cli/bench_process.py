"""Start processes that load a bundle: to measure the cold start, and to run a bundle in another interpreter."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from vaedge._types import FloatArray
from vaedge.benchmark.messages import read_message, write_message
from vaedge.benchmark.timing import Call, Timed
from vaedge.bundle.reference import Inputs
from vaedge.errors import InferenceError, InputError

_WORKER = Path(__file__).with_name("bench_worker.py")


class WorkerProcess:
    """A process that has loaded a bundle and reconstructed one example.

    Attributes:
        start_seconds: Time from the start of the process to the first result.
        peak_bytes: Peak memory of the process at this time; None if the system does not report it.
    """

    def __init__(self, options: Mapping[str, Any], inputs: Inputs, interpreter: str | None = None) -> None:
        """Start the process.

        Args:
            options: Fields of `vaedge.cli.bench_candidates.Options`.
            inputs: Inputs, whose first example is used.
            interpreter: Path of a Python interpreter that has numpy and ONNX Runtime. None means this interpreter.

        Raises:
            InputError: The interpreter cannot be started.
            InferenceError: The process failed. The message holds the last line that it printed.
        """
        self._name = "the new process that measures the cold start" if interpreter is None else interpreter
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        if interpreter is None:
            environment["PYTHONPATH"] = os.pathsep.join(folder for folder in sys.path if folder)
        environment["OMP_NUM_THREADS"] = str(options["threads"])  # for ONNX Runtime that was built with OpenMP
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        start = time.perf_counter()
        try:
            self._process = subprocess.Popen(
                [interpreter or sys.executable, str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=environment,
            )
        except OSError as error:
            self._errors.close()
            raise InputError(f"{interpreter} is not a Python interpreter that can be started: {error}") from error
        example = inputs.repeated(1)
        fields, _ = self.request(options, {"x": example.x, **example.conditions})
        self.start_seconds = time.perf_counter() - start
        self.peak_bytes: int | None = fields["peak_bytes"]

    def request(
        self, fields: Mapping[str, Any], arrays: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Send a request and return the reply.

        Raises:
            InferenceError: The process ended. The message holds the last line that it printed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            write_message(self._process.stdin, fields, arrays)
            return read_message(self._process.stdout)
        except (EOFError, OSError) as error:
            self._process.kill()
            status = self._process.wait()
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").splitlines() or [f"exit status {status}"]
            self.close()
            raise InferenceError(f"{self._name} failed: {lines[-1]}") from error
        except BaseException:
            self.close()
            raise

    def operation_call(self, operation: str, rows: Inputs) -> Call:
        """Return a call that runs an operation on all rows in the process."""
        fields, arrays = self.request(
            {"request": "call", "operation": operation}, {"x": rows.x, "z": rows.z, **rows.conditions}
        )
        return _RemoteCall(self, fields["call"], arrays["result"])

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        """Return the process."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()


@dataclass(frozen=True)
class _RemoteCall:
    """A call in another process. The other process measures the times, so they do not contain the communication."""

    process: WorkerProcess
    index: int
    first: FloatArray

    def result(self) -> FloatArray:
        return self.first

    def timed(self, seconds: float) -> Timed:
        fields, arrays = self.process.request({"request": "time", "call": self.index, "seconds": seconds})
        return Timed(np.asarray(arrays["durations"]), float(fields["cpus"]))
