"""The script examples/detect_sensors.py detects the simulated faults, and detection runs without PyTorch."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "detect_sensors.py"

# Run the script. Packages that only training or export needs are None in sys.modules, so that importing them fails.
DETECT = """
import runpy, sys
sys.modules |= dict.fromkeys(("torch", "onnx", "onnxscript", "scipy", "sklearn", "pandas"))
sys.argv = [sys.argv[1], "detect", sys.argv[2]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.heavy
def test_example_finds_its_faults_without_torch(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    simulate = example.simulate
    monkeypatch.setattr(example, "simulate", lambda n, seed: simulate(n // 3, seed))  # fewer examples take less time
    example.train(tmp_path / "sensors")

    words = [sys.executable, "-c", DETECT, SCRIPT, tmp_path / "sensors"]
    lines = subprocess.check_output(words, text=True).splitlines()
    shares = [float(re.search(r"([\d.]+)%", line)[1]) for line in lines]
    assert shares[0] < 5  # 1 % on average; 160 calibration examples leave a standard error of 0.8 %
    assert min(shares[1:]) > 90
    assert [line.split()[-3] for line in lines[1:3]] == ["pressure_pa", "vibration_mm_s"]
