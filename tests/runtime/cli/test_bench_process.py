"""`vaedge bench` measures cold starts in new processes, and runs bundles in other interpreters."""

import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import vaedge
from vaedge.benchmark.report import Report
from vaedge.bundle.reader import read_bundle
from vaedge.bundle.reference import Inputs
from vaedge.cli.bench_candidates import Options
from vaedge.cli.bench_process import COLD_STARTS, WorkerProcess, restart_all, share_cpu
from vaedge.cli.main import main


@pytest.fixture
def inputs(bundle):
    return Inputs.of(read_bundle(bundle))


def options(bundle, kind="vaedge"):
    return asdict(Options(str(bundle), kind, "fp32", "cpu", 1))


@pytest.mark.parametrize("kind", ["vaedge", "onnxruntime"])
def test_cold_start_is_measured_in_a_new_process(bundle, inputs, kind):
    with WorkerProcess(options(bundle, kind), inputs) as process:
        assert process.start_seconds[0] > 0
        assert process.peak_bytes is None or process.peak_bytes > 10_000_000


def test_cold_start_that_fails_is_an_error(tmp_path, inputs):
    with pytest.raises(vaedge.BundleNotFoundError) as expected:
        vaedge.load(tmp_path / "absent")
    with pytest.raises(vaedge.BundleNotFoundError) as error:
        WorkerProcess(options(tmp_path / "absent"), inputs)
    assert str(error.value) == str(expected.value)


def test_error_of_another_interpreter_names_it(tmp_path, inputs):
    with pytest.raises(vaedge.BundleNotFoundError, match=f"^{re.escape(sys.executable)}: .*absent"):
        WorkerProcess(options(tmp_path / "absent"), inputs, sys.executable)


def test_process_that_ends_is_an_error(bundle, inputs):
    process = WorkerProcess(options(bundle), inputs)
    with pytest.raises(vaedge.InferenceError, match="the new process failed: KeyError: 'request'"):
        process.request({})


def test_process_runs_the_operations(bundle, inputs, vae):
    rows = inputs.repeated(3)
    with WorkerProcess(options(bundle), inputs, sys.executable) as process:
        decode, encode = (process.operation_call(name, rows) for name in ("decode", "encode"))
        np.testing.assert_allclose(decode.result(), vae.decode(rows.z), atol=1e-5)
        np.testing.assert_allclose(encode.result(), vae.encode(rows.x).mean, atol=1e-5)
        process.restart()
        assert len(process.start_seconds) == 2
        timed = encode.timed(0)
        assert timed.durations.shape == (1,)
        assert timed.durations.dtype == np.int64
        assert timed.durations[0] > 0


class SyntheticProcess:
    has_one_thread = False

    def __init__(self, restart):
        self.start_seconds = [0.1]
        self._restart = restart

    def restart(self):
        self._restart()
        self.start_seconds.append(0.1)


def test_first_processes_start_alone():
    starting = threading.Lock()

    def restart():
        assert starting.acquire(blocking=False)
        time.sleep(0.001)
        starting.release()

    processes = [SyntheticProcess(restart) for _ in range(4)]
    for _ in range(COLD_STARTS - 1):
        restart_all(processes)
    assert [len(process.start_seconds) for process in processes] == [COLD_STARTS] * 4


def test_later_processes_start_at_the_same_time():
    all_started = threading.Barrier(4, timeout=60)
    processes = [SyntheticProcess(all_started.wait) for _ in range(4)]
    for process in processes:
        process.start_seconds *= COLD_STARTS
    restart_all(processes)  # the barrier raises an error if they start one after the other
    assert [len(process.start_seconds) for process in processes] == [COLD_STARTS + 1] * 4


def test_error_of_one_of_several_processes_is_raised():
    def fail():
        raise vaedge.InferenceError("ended")

    processes = [SyntheticProcess(lambda: None), SyntheticProcess(fail)]
    for process in processes:
        process.start_seconds *= COLD_STARTS
    with pytest.raises(vaedge.InferenceError, match="ended"):
        restart_all(processes)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a program choose the CPU of another one")
def test_processes_with_one_thread_run_on_one_cpu(bundle, inputs):
    usable = os.sched_getaffinity(0)
    with (
        WorkerProcess(options(bundle), inputs) as first,
        WorkerProcess(options(bundle), inputs) as second,
        WorkerProcess({**options(bundle), "threads": 2}, inputs) as other,
    ):
        processes = [first, other, second]
        share_cpu(processes)
        for _ in range(COLD_STARTS + 1):
            cpus = [
                {
                    frozenset(os.sched_getaffinity(int(thread.name)))
                    for thread in Path(f"/proc/{process.pid}/task").iterdir()
                }
                for process in processes
            ]
            assert cpus[0] == cpus[2]
            assert len(cpus[0]) == len(*cpus[0]) == 1
            assert cpus[1] == {frozenset(usable)}
            restart_all(processes)


def test_other_interpreter_needs_no_vaedge(bundle, capsys, monkeypatch, tmp_path):
    """The interpreter is started without PYTHONPATH. It finds vaedge by the location of the script."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "numpy.py").write_text("raise ImportError('PYTHONPATH was not removed')")
    argv = [
        "bench",
        str(bundle),
        "--batches",
        "2",
        "--seconds",
        "1e-9",
        "--variants",
        "int8",
        "--operations",
        "decode",
    ]
    assert main([*argv, "--threads", "1", "--against", f"python={sys.executable}", "--json"]) == 0
    report = Report.from_json(capsys.readouterr().out, "report.json")
    own, other = report.candidates
    assert other.name == f"int8 onnxruntime {report.software['onnxruntime']} x1"
    assert (other.kind, other.variant, other.settings[4:]) == ("python", "int8", own.settings[4:])
    assert other.software == {name: report.software[name] for name in ("onnxruntime", "numpy", "python", "system")}
    assert other.difference == pytest.approx(own.difference)
    assert [row.candidate for row in report.rows] == [own.name, other.name]


@pytest.mark.skipif(os.name != "posix", reason="the test writes a shell script")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo \"ModuleNotFoundError: No module named 'onnxruntime'\" >&2; exit 1", "No module named 'onnxruntime'"),
        ("exit 0", "exit status 0"),
        ('cat "$1"', "exit status 0"),
        ("while true; do echo y; done", "exit status -9"),
        (None, "No such file or directory"),
    ],
)
def test_program_that_cannot_run_bundles_is_one_clear_error(inputs, tmp_path, script, reason):
    interpreter = tmp_path / "python"
    if script is not None:
        interpreter.write_text(f"#!/bin/sh\n{script}\n")
        interpreter.chmod(0o755)
    with pytest.raises(vaedge.InputError) as error:
        WorkerProcess(options(tmp_path), inputs, str(interpreter))
    assert str(error.value).startswith(f"{interpreter} must be Python 3.11 or newer, with numpy and onnx")
    assert reason in str(error.value)
    assert str(error.value).endswith("Give the path of another interpreter, or install both packages for this one")


@pytest.mark.skipif(os.name != "posix", reason="needs process groups")
def test_ctrl_c_does_not_end_the_processes(bundle):
    """Ctrl-C sends SIGINT to all processes of a terminal. The measurement must still receive replies."""
    program = f"""
import os, signal
from vaedge.bundle.reader import read_bundle
from vaedge.bundle.reference import Inputs
from vaedge.cli.bench_process import WorkerProcess
signal.signal(signal.SIGINT, lambda *_: None)
with WorkerProcess({options(bundle)!r}, Inputs.of(read_bundle({str(bundle)!r}))) as process:
    os.killpg(os.getpgid(0), signal.SIGINT)
    for _ in range(3):
        process.request({{"request": "describe"}})
print("done")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        start_new_session=True,
        env=environment,
        check=False,
    )
    assert result.stdout == "done\n", result.stderr


def test_output_of_libraries_is_no_reply(bundle, inputs, tmp_path, monkeypatch):
    """A library that prints while it is imported does not disturb the messages."""
    (tmp_path / "onnxruntime.py").write_text(
        "import sys\n"
        "print('hello from a library', flush=True)\n"
        f"sys.path.remove({str(tmp_path)!r})\n"
        "del sys.modules['onnxruntime']\n"
        "import onnxruntime\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with WorkerProcess(options(bundle), inputs) as process:
        assert "onnxruntime" in process.request({"request": "describe"})[0]["software"]
