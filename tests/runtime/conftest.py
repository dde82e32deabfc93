"""Fixtures for the tests of the runtime. These tests need only numpy, ONNX Runtime and pytest."""

import hashlib
import json
import shutil
import socket
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hostile.graphs import graph, model, node, tensor, value

import vaedge
from vaedge.bundle.entries import FileEntry, Variant
from vaedge.bundle.manifest import Manifest
from vaedge.bundle.protobuf import bytes_field

MODELS = Path(__file__).parents[2] / "models"


_guarded = False


def _refuse_connections(event, arguments):
    if _guarded and event == "socket.connect" and arguments[0].family != getattr(socket, "AF_UNIX", None):
        raise ConnectionRefusedError(
            f"a test of the runtime tries to connect to {arguments[1]}; such tests must not use the network"
        )


sys.addaudithook(_refuse_connections)  # a hook cannot be removed, so a fixture turns it on and off


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
    """Return a function `edit(change)`: it calls `change` with the copied bundle's manifest, and returns the folder."""

    def edit(change):
        path = copied / "manifest.json"
        tree = json.loads(path.read_text())
        change(tree)
        path.write_text(json.dumps(tree))
        return copied

    return edit


@pytest.fixture
def replace_file(copied, edit_manifest):
    """Return a function that replaces a file of the copied bundle and updates its entry in the manifest.

    The function returns the folder of the bundle.
    """

    def replace(name, content):
        (copied / name).write_bytes(content)
        entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        return edit_manifest(lambda tree: tree["files"].update({name: entry}))

    return replace


def _graph(nodes, tensors, first, outputs):
    fields = [bytes_field(11, value(first, (None, 2))), bytes_field(11, value(b"y", (None,), 7))]
    fields += [bytes_field(12, value(name, (None, 2))) for name in outputs]
    return model(graph(nodes, tensors, b"".join(fields)))


@pytest.fixture(scope="session")
def table_bundle(tmp_path_factory):
    """Folder of a bundle for a table of two columns with a condition y of three classes.

    The graphs compute mean = x + 10 * y, log_var = -4, loc = z + 10 * y, and log_scale = -4.
    """
    tensors = [
        tensor(b"levels", (3,), 1, struct.pack("<3f", 0, 10, 20)),
        tensor(b"axis", (1,), 7, struct.pack("<q", 1)),
        tensor(b"zero", (), 1, struct.pack("<f", 0)),
        tensor(b"four", (), 1, struct.pack("<f", 4)),
    ]

    def nodes(first, shifted, constant):
        return [
            node(b"Gather", (b"levels", b"y"), (b"level",)),
            node(b"Unsqueeze", (b"level", b"axis"), (b"column",)),
            node(b"Add", (first, b"column"), (shifted,)),
            node(b"Mul", (first, b"zero"), (b"zeros",)),
            node(b"Sub", (b"zeros", b"four"), (constant,)),
        ]

    mean = node(b"Add", (b"z", b"column"), (b"x",))
    graphs = {
        "encoder.onnx": _graph(nodes(b"x", b"mean", b"log_var"), tensors, b"x", (b"mean", b"log_var")),
        "decoder.onnx": _graph([*nodes(b"z", b"loc", b"log_scale"), mean], tensors, b"z", (b"x", b"loc", b"log_scale")),
    }
    manifest = Manifest(
        name="table",
        input_shape=(2,),
        input_range=None,
        latent_shape=(2,),
        likelihood="gaussian",
        parameters=("loc", "log_scale"),
        prior="standard_normal",
        prior_file=None,
        conditions={"y": vaedge.Condition("int64", (), ("red, dark", "blue", "green"))},
        variants={"fp32": Variant("encoder.onnx", "decoder.onnx", 20, 10, "reference.npz")},
        files={
            name: FileEntry(hashlib.sha256(content).hexdigest(), len(content))
            for name, content in {**graphs, "reference.npz": b""}.items()
        },
        minimum_onnxruntime="1.24",
        features=("height", "weight (kg)"),
    )
    folder = tmp_path_factory.mktemp("table")
    for name, content in graphs.items():
        (folder / name).write_bytes(content)
    (folder / "manifest.json").write_text(manifest.to_json())
    return folder
