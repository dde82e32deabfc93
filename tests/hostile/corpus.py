"""A corpus of hostile bundles, each generated from a valid bundle."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from hostile.archives import ARCHIVES
from hostile.calibrations import CALIBRATIONS
from hostile.folders import FOLDERS
from hostile.graphs import GRAPHS
from hostile.manifests import MANIFESTS, TEXTS, put

Corpus = dict[str, Callable[[Path], object]]


def _edit(change):
    def edit(folder):
        path = folder / "manifest.json"
        tree = json.loads(path.read_text())
        change(tree)
        path.write_text(json.dumps(tree))

    return edit


def _entry(name, content):
    return put({"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}, "files", name)


def _file(name, content, change=lambda tree: None):
    def write(folder):
        (folder / name).write_bytes(content)
        _edit(lambda tree: (_entry(name, content)(tree), change(tree)))(folder)

    return write


def _calibration(make):
    def write(folder):
        tree = json.loads((folder / "manifest.json").read_text())
        graphs = [tree["files"][tree["variants"]["fp32"][graph]]["sha256"] for graph in ("encoder", "decoder")]
        content = make(hashlib.sha256(bytes.fromhex("".join(graphs))).digest())
        _file("calibration.npz", content, put("calibration.npz", "variants", "fp32", "calibration"))(folder)

    return write


# Dict from the name of a hostile bundle to a function that changes a copy of a valid bundle with the prior N(0, I).
CORPUS: Corpus = {
    **{f"graph: {name}": _file("encoder.onnx", content) for name, content in GRAPHS.items()},
    **{f"manifest: {name}": _edit(change) for name, change in MANIFESTS.items()},
    **{
        f"manifest: {name}": lambda folder, text=text: (folder / "manifest.json").write_bytes(text)
        for name, text in TEXTS.items()
    },
    **{
        f"prior: {name}": _file("prior.npz", content, put({"name": "mixture", "file": "prior.npz"}, "prior"))
        for name, content in ARCHIVES.items()
    },
    **{f"calibration: {name}": _calibration(make) for name, make in CALIBRATIONS.items()},
    **{f"folder: {name}": change for name, change in FOLDERS.items()},
}


def make_bundle(good, folder, name):
    """Copy the valid bundle `good` to `folder`, and turn the copy into the hostile bundle `name`.

    The folder also gets the files `hard`, `soft`, `pipe` and `secret`, because some hostile bundles refer to them.
    """
    shutil.copytree(good, folder)
    secret = folder / "secret"
    secret.write_bytes(b"12345678")
    (folder / "hard").hardlink_to(secret)
    (folder / "soft").symlink_to(secret)
    os.mkfifo(folder / "pipe")
    CORPUS[name](folder)
    return folder
