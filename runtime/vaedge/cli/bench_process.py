"""Run the candidates of `vaedge bench` in new processes of this Python interpreter or of another one."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

import vaedge
from vaedge._types import FloatArray
from vaedge.benchmark.messages import GREETING, read_message, write_message
from vaedge.benchmark.timing import Call, Timed
from vaedge.bundle.reference import Inputs
from vaedge.errors import InferenceError, InputError

_WORKER = Path(__file__).with_name("bench_worker.py")
COLD_STARTS = 3  # number of starts that are timed, without other starts at the same time
_CPU_FIELD = 36  # index of the number of the CPU in /proc/PID/stat, counted after the name of the program
_END_SECONDS = 1.0  # time to end for a process that has closed its output, before it is killed


class WorkerProcess:
    """A process that has loaded a bundle and reconstructed one example, and that can be replaced by a new process.

    Attributes:
        start_seconds: For each process so far, the time from its start to the first result. The starts of the
            first COLD_STARTS processes did not overlap with other starts. Later processes may have started together.
        peak_bytes: Peak memory of the first process when it had its first result; None if the system does not report
            it.
    """

    def __init__(self, options: Mapping[str, Any], inputs: Inputs, interpreter: str | None = None) -> None:
        """Start a process.

        Args:
            options: Fields of `vaedge.cli.bench_candidates.Options`.
            inputs: Inputs, whose first example is used.
            interpreter: Path of a Python interpreter that has numpy and ONNX Runtime. None means this interpreter.

        Raises:
            InputError: The interpreter cannot be started, or lacks numpy or ONNX Runtime.
            VaedgeError: The process failed; see `request`.
        """
        self._options, self._inputs, self._interpreter = options, inputs, interpreter
        self._operations: list[tuple[str, Inputs]] = []
        self.start_seconds: list[float] = []
        self.peak_bytes: int | None = self._start()

    def _start(self) -> int | None:
        """Start a process, wait for its first result, and return its peak memory until then, in bytes."""
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        if self._interpreter is None:
            environment["PYTHONPATH"] = os.pathsep.join(folder for folder in sys.path if folder)
        environment["OMP_NUM_THREADS"] = str(self._options["threads"])  # for ONNX Runtime that was built with OpenMP
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        start = time.perf_counter()
        try:
            self._process = subprocess.Popen(
                [self._interpreter or sys.executable, str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=environment,
                start_new_session=True,  # Ctrl-C must end the rounds, and not the processes
            )
        except OSError as error:
            self._errors.close()
            raise self._unsuitable(str(error)) from error
        if not self._has_greeted():
            raise self._unsuitable(self._end())
        example = self._inputs.repeated(1)
        fields, _ = self.request(self._options, {"x": example.x, **example.conditions})
        self.start_seconds.append(time.perf_counter() - start)
        peak: int | None = fields["peak_bytes"]
        return peak

    def _has_greeted(self) -> bool:
        """Return whether the process sent the greeting, which other programs do not send.

        The script of the process sends the greeting after it has imported numpy and ONNX Runtime.
        """
        assert self._process.stdout is not None
        try:
            return self._process.stdout.read(len(GREETING)) == GREETING
        except BaseException:
            self.close()
            raise

    @property
    def has_one_thread(self) -> bool:
        """Whether the candidate runs on the CPU with one thread."""
        return bool(self._options["threads"] == 1 and self._options["device"] == "cpu")

    @property
    def pid(self) -> int:
        """The ID of the process."""
        return self._process.pid

    def restart(self) -> None:
        """Replace the process by a new one, which prepares the same calls."""
        self.close()
        self._start()
        for operation, rows in self._operations:
            self._prepare(operation, rows)

    def request(
        self, fields: Mapping[str, Any], arrays: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Send a request and return the reply.

        Raises:
            VaedgeError: The process raised this error.
            InferenceError: The process ended. The message holds the last line that it printed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            write_message(self._process.stdin, fields, arrays)
            reply, found = read_message(self._process.stdout)
        except (EOFError, OSError) as error:
            raise InferenceError(f"{self._interpreter or 'the new process'} failed: {self._end()}") from error
        except BaseException:
            self.close()
            raise
        if "error" in reply:
            self.close()
            interpreter = "" if self._interpreter is None else f"{self._interpreter}: "
            raise getattr(vaedge, reply["error"])(interpreter + reply["message"])
        return reply, found

    def _end(self) -> str:
        """End the process. Return the last line that it printed to stderr, or its exit status if it printed nothing."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        self._process.kill()
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines() or [f"exit status {status}"]
        self.close()
        return lines[-1]

    def _unsuitable(self, reason: str) -> InputError:
        """Return the error about an interpreter that cannot run the script of the process."""
        interpreter = self._interpreter or sys.executable
        return InputError(
            f"{interpreter} must be Python 3.11 or newer, with numpy and onnxruntime ({reason}). Give the path of "
            "another interpreter, or install both packages for this one"
        )

    def operation_call(self, operation: str, rows: Inputs) -> Call:
        """Return a `Call` that runs an operation on all rows in the other process."""
        self._operations.append((operation, rows))
        return _RemoteCall(self, len(self._operations) - 1, self._prepare(operation, rows))

    def _prepare(self, operation: str, rows: Inputs) -> FloatArray:
        """Prepare a call in the process. Make the prepared call once, and return its result."""
        inputs = {"x": rows.x, "z": rows.z, **rows.conditions}
        _, arrays = self.request({"request": "call", "operation": operation}, inputs)
        result: FloatArray = arrays["result"]
        return result

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def __enter__(self) -> Self:
        """Return the process."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()


def restart_all(processes: Sequence[WorkerProcess]) -> None:
    """Replace each process by a new one.

    The first COLD_STARTS processes of each candidate start one after the other. Later processes of all candidates start
    at the same time, because starts take most of the time of a block of rounds.
    """
    if min(len(process.start_seconds) for process in processes) < COLD_STARTS:
        for process in processes:
            process.restart()
    else:
        with ThreadPoolExecutor(len(processes)) as threads:
            for restart in [threads.submit(process.restart) for process in processes]:
                restart.result()
    share_cpu(processes)


def share_cpu(processes: Sequence[WorkerProcess]) -> None:
    """Move all single-threaded processes to the CPU on which the first of them runs. Only Linux can do this.

    Other jobs of the host slow down some CPUs more than others, for as long as the jobs run. On one CPU, they slow down
    all processes alike. The system chose the CPU of the first process, and may have chosen a fast one.
    """
    pids = [process.pid for process in processes if process.has_one_thread]
    if len(pids) < 2 or sys.platform != "linux":
        return
    with contextlib.suppress(OSError):  # a container can hide the files, or forbid the change
        fields = Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()
        cpu = int(fields[_CPU_FIELD])
        for pid in pids:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {cpu})


@dataclass(frozen=True)
class _RemoteCall:
    """A call in another process, which measures the times. The times do not include the communication."""

    process: WorkerProcess
    index: int
    first: FloatArray

    def result(self) -> FloatArray:
        return self.first

    def timed(self, seconds: float) -> Timed:
        fields, arrays = self.process.request({"request": "time", "call": self.index, "seconds": seconds})
        return Timed(np.asarray(arrays["durations"]), float(fields["cpus"]))
