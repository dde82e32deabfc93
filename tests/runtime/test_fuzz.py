"""Randomly changed bundles either run or raise VaedgeError. They cause no crash, and take little time and memory."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import vaedge

SECONDS = 1  # limit of CPU time, which does not depend on other processes
MEGABYTES = 200
TESTS = Path(__file__).parents[1]


def fuzz(scratch, seed, count):
    """Run `hostile.fuzz` in a new process, so that a crash does not end the tests.

    Check the time and memory that it reports, and return the number of mutants with each outcome.
    """
    scratch.mkdir()
    paths = os.pathsep.join((str(TESTS), str(Path(vaedge.__file__).parents[1])))
    words = [sys.executable, "-W", "always", "-m", "hostile.fuzz", str(scratch), str(seed), str(count)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # a library must not print anything
    found = json.loads(done.stdout)
    assert found["slowest"][0] < SECONDS
    assert found["megabytes"] < MEGABYTES
    assert sum(found["outcomes"].values()) == count
    return found["outcomes"]


@pytest.mark.parametrize("count", [2000, pytest.param(1_000_000, marks=pytest.mark.slow)])
@pytest.mark.heavy
def test_mutants_raise_only_vaedge_errors(tmp_path, count):
    part = min(count, 50_000)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(lambda seed: fuzz(tmp_path / str(seed), seed, part), range(0, count, part)))
    for file in ("manifest.json", "encoder.onnx", "decoder.onnx", "prior.npz", "calibration.npz"):
        for outcome in ("accepted", "BundleError"):  # both occur if mutations have a suitable size
            assert any(run.get(f"{file}: {outcome}", 0) > 0 for run in outcomes)
    print(json.dumps({name: sum(run.get(name, 0) for run in outcomes) for run in outcomes for name in run}, indent=1))
