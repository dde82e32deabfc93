"""With onnxruntime-gpu but without CUDA, "cuda" is an error, "auto" selects the CPU, and stderr stays empty."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "tests" / "requirements"
CODE = """
import logging, sys, vaedge
records = []
handler = logging.Handler()
handler.emit = lambda record: records.append(record.getMessage())
logging.getLogger("vaedge").addHandler(handler)
for _ in range(2):
    try:
        vaedge.load(sys.argv[1], device="cuda")
    except vaedge.DeviceError as error:
        print(error)
vae = vaedge.load(sys.argv[1], device="auto")
print(vae.device, vae.sample(3, seed=0).shape)
print(records)
"""

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the tested wheel is for Python 3.11"),
]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python interpreter of an environment with numpy and onnxruntime-gpu, but without the CUDA packages."""
    folder = tmp_path_factory.mktemp("gpu")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*install, "-r", REQUIREMENTS / "gpu.txt"], check=True)
    return python


def test_cuda_fails_with_the_reason_of_the_loader_and_auto_falls_back(python):
    words = [python, "-c", CODE, ROOT / "models" / "article"]
    result = subprocess.run(words, capture_output=True, text=True, cwd=ROOT / "runtime")
    assert result.returncode == 0, result.stderr
    first, second, device, records = result.stdout.splitlines()
    assert first == second
    assert first.startswith("cuda:0 is not available: the library of the CUDA provider cannot be loaded: libcu")
    assert "cannot open shared object file" in first
    assert device == "cpu (3, 1, 28, 28)"
    assert "device='auto' chose cpu: cuda:0 is not available" in records
    assert result.stderr == ""
