"""Start the command `vaedge`, and interrupt its imports with Ctrl-C."""

import os
import subprocess
import sys

import pytest

# The script that pip installs does the same.
PROGRAM = """
import sys
from importlib.metadata import entry_points
(command,) = entry_points(group="console_scripts", name="vaedge")
sys.exit(command.load()())
"""


@pytest.fixture
def start(tmp_path):
    """Return a function that runs `vaedge` in a new process.

    The function's argument `numpy` is code that replaces numpy.
    """

    def start(*arguments, numpy=None):
        if numpy is not None:
            (tmp_path / "numpy.py").write_text(numpy)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
        command = [sys.executable, "-c", PROGRAM, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return start


def test_ctrl_c_while_numpy_is_imported_ends_the_command_without_a_traceback(start):
    result = start("bench", "models/mnist", numpy="raise KeyboardInterrupt")
    assert (result.returncode, result.stderr) == (130, "vaedge: interrupted\n")


def test_command_starts(start):
    result = start("--version")
    assert (result.returncode, result.stderr) == (0, "")
