"""The tests of the runtime pass with the wheel, in an environment with only numpy, ONNX Runtime and pytest."""

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


def pip(python, *words):
    """Change another environment with the pip of this environment, because installing pip there would be slow."""
    return run(sys.executable, "-m", "pip", "--python", python, *words)


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
    """The Python interpreter of an environment with the wheel of vaedge, numpy, ONNX Runtime and pytest.

    The pinned and the oldest versions come from requirement files with SHA-256 hashes, which pip verifies. The newest
    versions come from the package index without a requirement file.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    install = "install", "--quiet", "--no-compile"
    if request.param == "newest":
        pip(python, *install, f"{wheel}[cpu]", "pytest")
    else:
        requirements = ROOT / "tests" / "requirements" / f"{request.param}.txt"
        pip(python, *install, "--require-hashes", "-r", requirements)
        pip(python, *install, "--no-deps", wheel)
        pip(python, "check")
    return python


def without_network():
    """Return words to put before a command, so that it runs without network; [] if the system cannot do this."""
    words = ["unshare", "--map-root-user", "--net"]
    possible = shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True).returncode == 0
    return words if possible else []


def test_wheel_contains_only_the_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders - {folder for folder in folders if folder.endswith(".dist-info")} == {*PACKAGES, "vaedge_command.py"}
    assert "vaedge_train/data/mnist_sample/digits.npz" in names
    assert all(f"{package}/py.typed" in names for package in PACKAGES)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 2_500_000


def test_wheel_contains_every_file_of_the_packages(wheel):
    words = ["git", "ls-files", "runtime", "export", "train"]
    listed = run(*words, cwd=ROOT).split() if (ROOT / ".git").exists() else []
    with zipfile.ZipFile(wheel) as archive:
        missing = {name.partition("/")[2] for name in listed if (ROOT / name).exists()} - set(archive.namelist())
    assert not missing


def test_environment_has_neither_torch_nor_onnx(python):
    installed = {line.split("==")[0] for line in pip(python, "freeze").lower().splitlines()}
    assert {"numpy", "onnxruntime"} <= installed
    assert not {"torch", "onnx", "onnxscript", "pillow", "tqdm"} & installed


def test_tests_of_the_runtime_pass_and_leave_the_home_folder_empty(request, python, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "ORT_DISABLE_TELEMETRY")}
    environment = {**clean, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    tests = (python, "-I", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "temporary")
    if (
        "pinned" in request.node.name
    ):  # `make test` runs the heavy tests with the same versions of numpy and ONNX Runtime
        tests += ("-m", "not slow and not matrix and not heavy")
    printed = run(*without_network(), *tests, ROOT / "tests" / "runtime", cwd=tmp_path, env=environment)
    assert " passed" in printed
    assert list(home.iterdir()) == []


def test_shipped_model_runs(python, tmp_path):
    code = f"""
import sys, numpy as np, vaedge
vae = vaedge.load({str(ROOT / "models" / "mnist")!r})
x = vae.sample(16, seed=0)
assert vae.decode(vae.encode(x).mean).shape == vae.reconstruct(x).shape == (16, 1, 28, 28)
assert not set(sys.modules) & {{"torch", "onnx", "vaedge_train", "vaedge_export"}}
assert "site-packages" in vaedge.__file__
"""
    run(python, "-I", "-c", code, cwd=tmp_path)
