"""JavaScript accepts and refuses the same bundles as Python."""

import hashlib
import json
from pathlib import Path

import pytest
from hostile.corpus import CORPUS, make_bundle
from hostile.fuzz import write_mutant
from hostile.graphs import graph, model, value
from web.reader.helpers import encoded, manifest_tree

import vaedge
from vaedge.bundle.entries import FileEntry, Variant
from vaedge.bundle.manifest import Manifest
from vaedge.bundle.npz import read_npz
from vaedge.bundle.protobuf import bytes_field
from vaedge.detection.calibration import Calibration
from vaedge.distributions.prior import read_prior

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
FORMAT_1 = ROOT / "tests" / "data" / "format-1"
MEGABYTES = 200  # maximum memory that the refusal of all hostile bundles may need
SCRIPTS = sorted(path.name for path in (Path(__file__).parent / "reader").glob("*.test.mjs"))

# JavaScript receives the contents of regular files, so these cases of the file system cannot occur.
NOT_FILES = {
    *("folder: pipe", "folder: folder", "folder: link to a device", "folder: link to itself", "folder: link to memory"),
    *("folder: manifest that is a pipe", "folder: manifest that is a device"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_node_script_passes(node, script):
    node(f"reader/{script}")


@pytest.mark.parametrize("folder", [*sorted(MODELS.iterdir()), FORMAT_1], ids=lambda folder: folder.name)
def test_bundles_are_read_as_in_python(node, folder):
    found = json.loads(node("reader/read.mjs", folder))
    manifest = Manifest.from_json((folder / "manifest.json").read_text())
    assert found["manifest"] == manifest_tree(manifest)
    assert set(found["archives"]) == {name for name in manifest.files if name.endswith(".npz")}
    for name, arrays in found["archives"].items():
        expected = read_npz((folder / name).read_bytes())
        assert list(arrays) == list(expected)
        for key, array in expected.items():
            assert arrays[key] == {
                "dtype": str(array.dtype),
                "shape": list(array.shape),
                "bytes": encoded(array.tobytes()),
            }


def write_small_bundle(folder):
    """Write a bundle with the shapes, variants and files of models/article, but with graphs of a few bytes."""
    x, z = (None, 1, 28, 28), (None, 20)

    def empty(inputs, outputs):
        ends = [bytes_field(11, value(*entry)) for entry in inputs] + [bytes_field(12, value(*end)) for end in outputs]
        return model(graph([], extra=b"".join(ends)))

    encoder = empty([(b"x", x)], [(b"mean", z), (b"log_var", z)])
    decoder = empty([(b"z", z)], [(b"x", x), (b"logits", x)])
    files = {"encoder.onnx": encoder, "decoder.onnx": decoder, "reference.npz": b""}
    files |= {"encoder.int8.onnx": encoder, "decoder.int8.onnx": decoder, "reference.int8.npz": b""}
    manifest = Manifest(
        name="small",
        input_shape=x[1:],
        input_range=(0, 1),
        latent_shape=z[1:],
        likelihood="bernoulli",
        parameters=("logits",),
        prior="standard_normal",
        prior_file=None,
        variants={
            "fp32": Variant("encoder.onnx", "decoder.onnx", 20, 10, "reference.npz"),
            "int8": Variant("encoder.int8.onnx", "decoder.int8.onnx", 20, 10, "reference.int8.npz"),
        },
        files={name: FileEntry(hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()},
        minimum_onnxruntime="1.24",
    )
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "manifest.json").write_text(manifest.to_json())
    return folder


@pytest.fixture
def write_list(tmp_path):
    """Return a function that writes a list of folders to a file, and returns the path of the file."""

    def write(folders):
        path = tmp_path / "folders.json"
        path.write_text(json.dumps(list(map(str, folders))))
        return path

    return write


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A dict from the names of bundles to their folders. The first bundle, "good", is valid; the others are hostile."""
    root = tmp_path_factory.mktemp("hostile")
    good = write_small_bundle(root / "good")
    names = [name for name in CORPUS if name not in NOT_FILES]
    return {"good": good} | {name: make_bundle(good, root / str(index), name) for index, name in enumerate(names)}


def require_refusals(hostile, outcomes):
    accepted, *refused = outcomes
    assert (accepted["name"], accepted["received"]) == ("accepted", 2)
    for (name, folder), found in zip(list(hostile.items())[1:], refused, strict=True):
        with pytest.raises(vaedge.BundleError) as caught:
            vaedge.load(folder)
        assert found["name"] == type(caught.value).__name__, (name, found)
        assert found["received"] == 0, name
        assert 0 < len(found["message"]) < 1000
        assert found["message"].isprintable()


def test_hostile_bundles_are_refused(node, hostile, write_list):
    assert set(CORPUS) >= NOT_FILES
    found = json.loads(node("reader/refuse.mjs", write_list(hostile.values())))
    require_refusals(hostile, found["outcomes"])
    assert found["megabytes"] < MEGABYTES


def test_hostile_bundles_of_a_server_are_refused_without_crypto_subtle(node, chromium, hostile, write_list):
    found = json.loads(node("reader/refuse_in_browser.mjs", chromium, write_list(hostile.values())))
    assert not found["hasSubtle"]
    require_refusals(hostile, found["outcomes"])


def python_verdict(folder):
    """Return whether Python accepts all files of a bundle, without starting ONNX Runtime."""
    try:
        bundle = vaedge.bundle.reader.read_bundle(folder)
        read_prior(bundle.manifest.prior, bundle.prior, bundle.manifest.latent_shape)
        if bundle.calibration:
            Calibration.from_npz(bundle.calibration.content, bundle.model_sha256)
    except vaedge.BundleError:
        return False
    return True


def test_random_mutants_are_accepted_only_where_python_accepts_them(node, write_list, tmp_path):
    folders, changed = [tmp_path / str(seed) for seed in range(400)], []
    for seed, folder in enumerate(folders):
        folder.mkdir()
        changed.append(write_mutant(folder, seed))
    verdicts = []
    outcomes = json.loads(node("reader/refuse.mjs", write_list(folders)))["outcomes"]
    for folder, name, found in zip(folders, changed, outcomes, strict=True):
        assert found["name"] in ("accepted", "BundleError", "BundleNotFoundError", "InputError"), found
        accepted, expected = found["name"] == "accepted", python_verdict(folder)
        assert accepted == expected or (name.endswith(".npz") and not accepted), (folder, found)
        verdicts.append(accepted)
    assert 10 < sum(verdicts) < 390
