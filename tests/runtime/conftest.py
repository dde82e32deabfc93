"""Fixtures of the runtime's tests, which need only numpy, ONNX Runtime and pytest."""

import hashlib
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


sys.addaudithook(_refuse_connections)  # an audit hook cannot be removed, so the fixture turns it on and off


@pytest.fixture(autouse=True)
def no_connections():
    """Refuse every outgoing connection, because the runtime must not send anything."""
    global _guarded
    _guarded = True
    yield
    _guarded = False


@pytest.fixture(scope="session")
def bundle() -> Path:
    return MODELS / "article"  # N(0, I) and 20 latents


@pytest.fixture(scope="session")
def vae(bundle):
    return vaedge.load(bundle)


@pytest.fixture(scope="session")
def digits(bundle):
    with np.load(bundle / "reference.npz") as archive:
        return archive["x"]


@pytest.fixture
def copied(bundle, tmp_path):
    """A copy of the bundle, which a test may damage."""
    return Path(shutil.copytree(bundle, tmp_path / "copied"))


@pytest.fixture
def edit_manifest(copied):
    """Change the manifest of the copy with `edit_manifest(lambda tree: ...)`; return the folder."""

    def edit(change):
        path = copied / "manifest.json"
        tree = json.loads(path.read_text())
        change(tree)
        path.write_text(json.dumps(tree))
        return copied

    return edit


@pytest.fixture
def replace_file(copied, edit_manifest):
    """Replace a file of the copy and its entry in the manifest; return the folder."""

    def replace(name, content):
        (copied / name).write_bytes(content)
        entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        return edit_manifest(lambda tree: tree["files"].update({name: entry}))

    return replace
