"""Fixtures of the runtime's tests, which run with nothing but numpy, ONNX Runtime and pytest."""

import json
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

import vaedge

MODELS = Path(__file__).parents[2] / "models"


_guarded = False


def _refuse_connections(event, arguments):
    if _guarded and event == "socket.connect" and arguments[0].family != getattr(socket, "AF_UNIX", None):
        raise ConnectionRefusedError(f"a test of the runtime connects to {arguments[1]}")


sys.addaudithook(_refuse_connections)  # it cannot be taken away again


@pytest.fixture(autouse=True)
def no_connections():
    """Refuse every outgoing connection: the runtime sends nothing anywhere."""
    global _guarded
    _guarded = True
    yield
    _guarded = False


@pytest.fixture(scope="session")
def bundle() -> Path:
    return MODELS / "article"  # N(0, I) and 20 latents; the best model may change its shapes


@pytest.fixture(scope="session")
def vae(bundle):
    return vaedge.load(bundle)


@pytest.fixture(scope="session")
def digits(bundle):
    with np.load(bundle / "reference.npz") as archive:
        return archive["x"]


@pytest.fixture
def copied(bundle, tmp_path):
    """A copy of the bundle, to damage."""
    return Path(shutil.copytree(bundle, tmp_path / "copied"))


@pytest.fixture
def edit_manifest(copied):
    """Change the copy's manifest: `edit_manifest(lambda tree: ...)`."""

    def edit(change):
        path = copied / "manifest.json"
        tree = json.loads(path.read_text())
        change(tree)
        path.write_text(json.dumps(tree))
        return copied

    return edit
