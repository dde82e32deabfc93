"""Damaged bundles are refused before ONNX Runtime sees a byte."""

import json

import pytest

import vaedge
import vaedge.engine.device
from vaedge.errors import BundleNotFoundError

GRAPHS = ("encoder.onnx", "decoder.onnx")


@pytest.fixture(autouse=True)
def no_session(monkeypatch):
    """Fail a test in which the damaged bundle gets as far as ONNX Runtime."""

    def refuse(*_):
        pytest.fail("ONNX Runtime was given a bundle that should have been refused")

    monkeypatch.setattr(vaedge.engine.device, "_session", refuse)


def altered(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("name", (*GRAPHS, "manifest.json"))
def test_a_missing_file(copied, name):
    (copied / name).unlink()
    with pytest.raises(BundleNotFoundError, match=f"{name} is missing"):
        vaedge.load(copied)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda content: content[:-100], "cut short"),
        (lambda content: b"", "cut short"),
        (lambda content: content + b"x", "larger than"),
        (altered, "sha256 differs"),
    ],
    ids=["truncated", "emptied", "extended", "altered"],
)
def test_a_damaged_file(copied, name, damage, says):
    path = copied / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(vaedge.BundleError, match=rf"{name}.*{says}"):
        vaedge.load(copied)


def test_a_file_that_may_not_be_read(copied):
    (copied / "encoder.onnx").unlink()
    (copied / "encoder.onnx").mkdir()
    with pytest.raises(vaedge.BundleError, match="encoder.onnx is no regular file"):
        vaedge.load(copied)


def test_no_folder(tmp_path):
    with pytest.raises(BundleNotFoundError, match="not a folder"):
        vaedge.load(tmp_path / "nothing")


def test_a_path_that_cannot_be():
    with pytest.raises(BundleNotFoundError, match="cannot be looked at: File name too long"):
        vaedge.load("x" * 5000)


@pytest.mark.parametrize("variant", [["int8"], None, 8])
def test_variants_that_are_none(bundle, variant):
    with pytest.raises(vaedge.InputError, match="no variant"):
        vaedge.load(bundle, variant=variant)


def test_no_such_variant(bundle):
    with pytest.raises(vaedge.InputError, match=r"no variant 'int3'; it has fp32"):
        vaedge.load(bundle, variant="int3")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"0" * 2_000_000])
def test_a_manifest_that_is_no_manifest(copied, content):
    (copied / "manifest.json").write_bytes(content)
    with pytest.raises(vaedge.BundleError, match="manifest.json"):
        vaedge.load(copied)


def remove(*keys):
    def change(tree):
        for key in keys[:-1]:
            tree = tree[key]
        del tree[keys[-1]]

    return change


def put(value, *keys):
    def change(tree):
        for key in keys[:-1]:
            tree = tree[key]
        tree[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (put("other", "format"), "format is"),
        (put(3, "format_version"), "format version 3.*reads versions 1 and 2"),
        (put("reference.npz", "reference"), "reference.* is no field"),
        (remove("variants", "fp32", "reference"), "variants.fp32.reference is missing"),
        (put(True, "format_version"), "format_version is true"),
        (remove("input"), "input is missing"),
        (remove("input", "shape"), "input.shape is missing"),
        (put([1, 28, 0], "input", "shape"), "input.shape is"),
        (put("28", "input", "shape"), "input.shape is"),
        (put("float64", "input", "dtype"), "input.dtype is"),
        (put([1, 0], "input", "range"), "input.range is"),
        (put([], "likelihood", "parameters"), "likelihood.parameters is"),
        (put({}, "variants"), "variants is empty"),
        (put("nowhere.onnx", "variants", "fp32", "encoder"), "'nowhere.onnx' is used but has no entry"),
        (put({"sha256": "0" * 64, "bytes": 1}, "files", "../secret"), "not a bare name"),
        (put("0" * 63, "files", "encoder.onnx", "sha256"), r"files.encoder.onnx.sha256 is"),
        (put(-1, "files", "encoder.onnx", "bytes"), "bytes is -1"),
        (put("0" * 64, "files", "encoder.onnx", "sha256"), "encoder.onnx.*sha256 differs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_manifest_with_a_wrong_field(edit_manifest, change, says):
    with pytest.raises(vaedge.BundleError, match=says):
        vaedge.load(edit_manifest(change))


def test_the_manifest_reads_back_as_it_was_written(bundle):
    text = (bundle / "manifest.json").read_text()
    manifest = vaedge.Manifest.from_json(text)
    assert manifest.to_json() == text
    assert set(manifest.files) == {
        *GRAPHS,
        "reference.npz",
        "encoder.int8.onnx",
        "decoder.int8.onnx",
        "reference.int8.npz",
    }
    assert all(entry.bytes == (bundle / name).stat().st_size for name, entry in manifest.files.items())
    assert json.loads(text)["latent"]["shape"] == [20]
