"""Side effects of `import vaedge`."""

import os
import socket
import subprocess
import sys

import pytest


def run(code, **environment):
    clean = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", code], env={**clean, **environment}, capture_output=True, text=True
    )


def test_import_loads_nothing_optional():
    code = "import sys, vaedge; print(*sys.modules)"
    modules = run(code).stdout.split()
    assert "vaedge" in modules
    heavy = {"torch", "onnx", "onnxruntime", "vaedge_train", "vaedge_export", "PIL", "tqdm", "zipfile", "argparse"}
    heavy |= {"vaedge.cli", "vaedge.files", "vaedge.benchmark"}
    assert not heavy & set(modules)


def test_sampling_imports_no_torch_and_no_onnx(bundle):
    code = f"import sys, vaedge; vaedge.load({str(bundle)!r}).sample(1); print(*sys.modules)"
    modules = run(code).stdout.split()
    assert "onnxruntime" in modules
    assert not {"torch", "onnx", "vaedge_train", "vaedge_export", "PIL", "vaedge.cli", "vaedge.files"} & set(modules)


@pytest.mark.parametrize(("chosen", "expected"), [({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")])
def test_telemetry_is_off_unless_the_user_sets_the_variable(chosen, expected):
    assert run("import os, vaedge; print(os.environ['ORT_DISABLE_TELEMETRY'])", **chosen).stdout.strip() == expected


def test_import_warns_if_onnxruntime_was_imported_first():
    # Use a fake module, because ONNX Runtime could send telemetry if it is imported before vaedge.
    fake = "import sys, types; sys.modules['onnxruntime'] = types.ModuleType('onnxruntime'); "
    assert "import vaedge first" in run(fake + "import vaedge").stderr
    assert run(fake + "import vaedge", ORT_DISABLE_TELEMETRY="1").stderr == ""
    assert run("import vaedge, onnxruntime").stderr == ""


def test_tests_of_the_runtime_cannot_connect():
    with pytest.raises(ConnectionRefusedError, match="a test of the runtime tries to connect"):
        socket.create_connection(("192.0.2.1", 80), timeout=5)


def test_sampling_writes_nothing_to_the_home_folder(bundle, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    code = f"import vaedge; vaedge.load({str(bundle)!r}).sample(1)"
    result = run(code, HOME=str(home), XDG_CACHE_HOME=str(home / "cache"))
    assert result.returncode == 0, result.stderr
    assert list(home.iterdir()) == []


def test_runtime_runs_without_posix_modules(bundle):
    """The runtime must not need Python modules such as `fcntl`, because they do not exist on Windows."""
    posix = ("fcntl", "grp", "posix_ipc", "pwd", "resource", "termios")
    # These modules need Pillow, or the extra `serve`.
    optional = ("vaedge.files.images", "vaedge.files.decoding", "vaedge.server", "vaedge.cli.serve")
    code = f"""
import sys
sys.modules.update(dict.fromkeys({posix!r}))  # their import then fails
import importlib, pkgutil, vaedge
from vaedge.engine.cpus import peak_memory
for module in pkgutil.walk_packages(vaedge.__path__, "vaedge."):
    if not module.name.startswith({optional!r}):
        importlib.import_module(module.name)
vaedge.load({str(bundle)!r}).sample(1)
peak_memory()
print("done")
"""
    result = run(code)
    assert result.stdout.strip() == "done", result.stderr
