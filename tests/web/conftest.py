"""Tests of the JavaScript runtime. They need Node and the npm packages that `make setup-web` installs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "runtime" / "vaedge" / "web"
REQUIRED = os.environ.get("VAEDGE_WEB_TESTS") == "required"


@pytest.fixture(scope="session")
def node():
    """Return a function that runs a JavaScript file of tests/web in Node, and returns its output."""
    if not shutil.which("node") or not (WEB / "node_modules").is_dir():
        _leave_out("Node or the npm packages are missing: run `make setup-web`")

    def run(script, *arguments, timeout=300):
        command = ["node", str(ROOT / "tests" / "web" / script), *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


@pytest.fixture(scope="session")
def chromium(node):
    """Return the path of Chromium: the environment variable VAEDGE_CHROMIUM, or a program that is installed."""
    names = ("chromium-headless-shell", "chromium", "google-chrome")
    found = os.environ.get("VAEDGE_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    return found or _leave_out("Chromium is missing: run `make setup-web`")


def _leave_out(reason):
    """Skip the current test. If VAEDGE_WEB_TESTS is "required", let it fail instead."""
    if REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)
