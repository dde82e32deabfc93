"""The wheel alone, beside numpy and ONNX Runtime: the runtime's whole suite passes without torch, onnx and network."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("vaedge", "vaedge_export", "vaedge_train")


def run(*words, **options):
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", out, ROOT)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(
    scope="module",
    params=[
        "pinned",
        pytest.param("oldest", marks=pytest.mark.matrix),
        pytest.param("newest", marks=pytest.mark.matrix),
    ],
)
def python(request, wheel, tmp_path_factory):
    """The interpreter of an environment with the wheel, numpy, onnxruntime, and pytest to run the tests.

    What is pinned is compared with its sha256; the newest is whatever can be had today.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    install = python, "-m", "pip", "install", "--quiet"
    if request.param == "newest":
        run(*install, f"{wheel}[cpu]", "pytest")
    else:
        run(*install, "--require-hashes", "-r", ROOT / "tests" / "requirements" / f"{request.param}.txt")
        run(*install, "--no-deps", wheel)
        run(python, "-m", "pip", "check")
    return python


def without_network():
    """The words that run a command in a network namespace of its own, where the system gives one to anybody."""
    words = ["unshare", "--map-root-user", "--net"]
    possible = shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True).returncode == 0
    return words if possible else []


def test_the_wheel_holds_the_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops - {top for top in tops if top.endswith(".dist-info")} == set(PACKAGES)
    assert "vaedge_train/data/mnist_sample/digits.npz" in names
    assert all(f"{package}/py.typed" in names for package in PACKAGES)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 2_500_000


def test_the_environment_has_no_torch_and_no_onnx(python):
    installed = {line.split("==")[0] for line in run(python, "-m", "pip", "freeze").lower().splitlines()}
    assert {"numpy", "onnxruntime"} <= installed
    assert not {"torch", "onnx", "onnxscript", "pillow", "tqdm"} & installed


def test_the_runtime_s_suite_passes_there_and_leaves_the_home_folder_empty(python, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "ORT_DISABLE_TELEMETRY")}
    environment = {**clean, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    suite = (python, "-I", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "temporary")
    said = run(*without_network(), *suite, ROOT / "tests" / "runtime", cwd=tmp_path, env=environment)
    assert " passed" in said
    assert list(home.iterdir()) == []


def test_the_shipped_model_runs_there(python, tmp_path):
    code = f"""
import sys, numpy as np, vaedge
vae = vaedge.load({str(ROOT / "models" / "mnist")!r})
x = vae.sample(16, seed=0)
assert vae.decode(vae.encode(x).mean).shape == vae.reconstruct(x).shape == (16, 1, 28, 28)
assert not set(sys.modules) & {{"torch", "onnx", "vaedge_train", "vaedge_export"}}
assert "site-packages" in vaedge.__file__
"""
    run(python, "-I", "-c", code, cwd=tmp_path)
