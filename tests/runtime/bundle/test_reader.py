"""Damaged bundles are refused before ONNX Runtime receives a graph."""

import hashlib
import json
import sys

import pytest

import vaedge
import vaedge.engine.device

GRAPHS = ("encoder.onnx", "decoder.onnx")


@pytest.fixture(autouse=True)
def no_session(monkeypatch):
    """Make the test fail if ONNX Runtime receives a graph."""

    def refuse(*_):
        pytest.fail("ONNX Runtime received a bundle that should have been refused")

    monkeypatch.setattr(vaedge.engine.device, "_session", refuse)


def with_flipped_bit(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("name", (*GRAPHS, "manifest.json"))
def test_load_rejects_missing_file(copied, name):
    (copied / name).unlink()
    with pytest.raises(vaedge.BundleNotFoundError, match=f"{name} is missing"):
        vaedge.load(copied)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], "cut short"),
        (lambda content: b"", "cut short"),
        (lambda content: content + b"x", "larger than"),
        (with_flipped_bit, "SHA-256 differs"),
    ],
    ids=["truncated", "emptied", "extended", "flipped bit"],
)
def test_load_rejects_damaged_file(copied, name, damage, message):
    path = copied / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(vaedge.BundleError, match=rf"{name}.*{message}"):
        vaedge.load(copied)


def test_load_rejects_folder_in_place_of_file(copied):
    (copied / "encoder.onnx").unlink()
    (copied / "encoder.onnx").mkdir()
    with pytest.raises(vaedge.BundleError, match=r"encoder.onnx is not a regular file"):
        vaedge.load(copied)


def test_load_rejects_path_without_folder(tmp_path):
    with pytest.raises(vaedge.BundleNotFoundError, match="not a folder"):
        vaedge.load(tmp_path / "nothing")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows reports a different error")
def test_load_rejects_path_that_is_too_long():
    with pytest.raises(vaedge.BundleNotFoundError, match="cannot be opened: File name too long"):
        vaedge.load("x" * 5000)


@pytest.mark.parametrize("variant", [["int8"], None, 8, "int3"])
def test_load_rejects_unknown_variant(bundle, variant):
    with pytest.raises(vaedge.InputError, match="no variant .*; it has fp32, int8"):
        vaedge.load(bundle, variant=variant)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"0" * 2_000_000])
def test_load_rejects_file_that_is_not_a_manifest(copied, content):
    (copied / "manifest.json").write_bytes(content)
    with pytest.raises(vaedge.BundleError, match=r"manifest.json"):
        vaedge.load(copied)


def padded_manifest(folder, size):
    """Pad the manifest with spaces to `size` bytes, and return its SHA-256."""
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().ljust(size))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_manifest_has_at_most_a_million_bytes(copied):
    sha256 = padded_manifest(copied, 1_000_000)
    assert vaedge.bundle.reader.read_manifest(copied) == (
        vaedge.Manifest.from_json((copied / "manifest.json").read_text()),
        sha256,
    )
    padded_manifest(copied, 1_000_001)
    with pytest.raises(vaedge.BundleError, match="larger than 1,000,000 bytes"):
        vaedge.load(copied)


@pytest.mark.parametrize("variant", ["fp32", "fastest"])
def test_load_verifies_the_sha256_of_the_manifest(bundle, edit_manifest, copied, variant):
    sha256 = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    for malformed in ("", sha256[:-1], f"sha256:{sha256}", 0):
        with pytest.raises(vaedge.InputError, match="expected 64 hexadecimal digits"):
            vaedge.load(bundle, variant=variant, sha256=malformed)
    edit_manifest(lambda tree: tree.update(name="other"))
    with pytest.raises(vaedge.BundleError, match=f"manifest.json has the SHA-256 .*; expected {sha256}"):
        vaedge.load(copied, variant=variant, sha256=sha256)


def test_manifest_can_be_read_without_its_files(copied):
    for path in copied.iterdir():
        if path.name != "manifest.json":
            path.unlink()
    manifest, sha256 = vaedge.bundle.reader.read_manifest(copied)
    assert manifest.name == "article"
    assert sha256 == hashlib.sha256((copied / "manifest.json").read_bytes()).hexdigest()


def test_verify_others_reads_every_other_file(copied):
    bundle = vaedge.bundle.reader.read_bundle(copied)
    bundle.verify_others()
    for name in set(json.loads((copied / "manifest.json").read_text())["files"]) - set(GRAPHS):
        content = (copied / name).read_bytes()
        (copied / name).write_bytes(with_flipped_bit(content))
        with pytest.raises(vaedge.BundleError, match=f"{name} is not the file that was exported"):
            bundle.verify_others()
        (copied / name).write_bytes(content)
