"""Count how often `vaedge bench` reports a difference: between equal candidates, and after a slow-down of 5 %.

    python benchmarks/comparisons.py --reports DIR

Each comparison runs `vaedge bench` on one bundle with `--against python=PATH`, so both candidates run the same bundle.
In some comparisons, PATH is this interpreter. In the others, PATH is a script that makes each call take 5 % longer.
Meanwhile, another job uses the CPUs now and then. The script also compares reports of measurements
that ran one after the other. After an interruption, the same command resumes.
"""

import argparse
import itertools
import os
import runpy
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vaedge.benchmark import timing
from vaedge.benchmark.compare import compare, verdict
from vaedge.benchmark.report import read_report
from vaedge.cli.progress import progress_bar

MODEL = Path(__file__).parents[1] / "models" / "mnist"
SLOW_DOWN = 0.05
_BUSY_SECONDS, _QUIET_SECONDS = (2, 8), (10, 40)
_BUSY_JOB = "while True: sum(range(10_000))"


def slowed(operation_call: Callable[..., Callable[[], Any]]) -> Callable[..., Callable[[], Any]]:
    """Return a function that is used like `operation_call`, but whose calls take 5 % longer."""

    def slowed_operation_call(*args: Any) -> Callable[[], Any]:
        call = operation_call(*args)

        def slowed_call() -> Any:
            start = time.perf_counter()
            result = call()
            end = start + (time.perf_counter() - start) * (1 + SLOW_DOWN)
            while time.perf_counter() < end:
                pass
            return result

        return slowed_call

    return slowed_operation_call


@contextmanager
def busy_job() -> Iterator[None]:
    """Run another job on all CPUs now and then: for 2 to 8 seconds, with pauses of 10 to 40 seconds."""
    program = (
        "import random, subprocess, sys, time\n"
        "while True:\n"
        f"    time.sleep(random.uniform{_QUIET_SECONDS})\n"
        f"    jobs = [subprocess.Popen([sys.executable, '-c', '{_BUSY_JOB}']) for _ in range({os.cpu_count()})]\n"
        f"    time.sleep(random.uniform{_BUSY_SECONDS})\n"
        "    for job in jobs:\n"
        "        job.kill()\n"
        "        job.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], start_new_session=True) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, 9)


def measure(folder: Path, name: str, count: int, options: list[str]) -> list[Path]:
    """Run `vaedge bench` with `options` until `folder` holds `count` reports, and return the paths of the reports."""
    command = [str(Path(sys.executable).with_name("vaedge")), "bench", *options, "--json"]
    paths = [folder / f"{name}{index:03}.json" for index in range(count)]
    with progress_bar(count, name, "reports") as advance:
        for path in paths:
            if not path.exists():
                subprocess.run([*command, str(path)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            advance(1)
    return paths


def verdicts(paths: list[Path]) -> Counter[str]:
    """Count how often the second candidate is faster, slower, equal or undecided, over all reports."""
    return Counter(verdict(read_report(path).rows[1].ratio_interval) for path in paths)


def main() -> None:
    """Run the measurements, compare their reports, and print the number of comparisons with each verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reports", type=Path, required=True, help="folder for the reports")
    parser.add_argument("--model", default=str(MODEL), help="folder of the bundle")
    parser.add_argument("--equal", type=int, default=200, help="number of comparisons of the model with itself")
    parser.add_argument(
        "--slowed", type=int, default=60, help="number of comparisons of the model with a slowed copy of it"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="time to measure each candidate, in seconds")
    parser.add_argument("--batch", default="64", help="batch size")
    args = parser.parse_args()
    args.reports.mkdir(parents=True, exist_ok=True)
    options = [args.model, "--operations", "decode", "--variants", "fp32", "--threads", "1", "--precision", "1e-9"]
    options += ["--batches", args.batch, "--seconds", str(args.seconds), "--against"]
    slowed_interpreter = args.reports / "python"
    slowed_interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} --worker "$@"\n')
    slowed_interpreter.chmod(0o755)
    with busy_job():
        slow = measure(args.reports, "slowed", args.slowed, [*options, f"python={slowed_interpreter.resolve()}"])
        equal = measure(args.reports, "equal", args.equal, [*options, f"python={sys.executable}"])
    print("equal candidates:", dict(verdicts(equal)))
    print("slowed by 5 %:", dict(verdicts(slow)))
    pairs = itertools.pairwise(map(read_report, equal))
    changes = Counter(compare(old, new)[0].verdict for old, new in pairs)
    print("reports of runs that were made one after the other:", dict(changes))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        timing.operation_call = slowed(timing.operation_call)
        runpy.run_path(sys.argv[2], run_name="__main__")
    else:
        main()
