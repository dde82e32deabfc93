"""Graphs that ONNX Runtime loads but that are not what the manifest says."""

import hashlib
import types

import pytest

import vaedge


def rehash(tree, folder, name):
    content = (folder / name).read_bytes()
    tree["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_swapped_graphs(copied, edit_manifest):
    def swap(tree):
        tree["variants"]["fp32"].update(encoder="decoder.onnx", decoder="encoder.onnx")

    with pytest.raises(vaedge.BundleError, match="decoder.onnx has the tensors"):
        vaedge.load(edit_manifest(swap))


def test_another_latent_size(edit_manifest):
    with pytest.raises(vaedge.BundleError, match=r"\(20,\).*manifest says.*\(21,\)"):
        vaedge.load(edit_manifest(lambda tree: tree["latent"].update(shape=[21])))


def test_a_file_that_is_no_graph(copied, edit_manifest, capfd):
    (copied / "encoder.onnx").write_bytes(b"not a graph")
    with pytest.raises(vaedge.BundleError, match="encoder.onnx is refused: a field has the wire type 6"):
        vaedge.load(edit_manifest(lambda tree: rehash(tree, copied, "encoder.onnx")))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "value"), [("encoder.onnx", b"hidden.1.bias"), ("decoder.onnx", b"hidden.0.bias")])
def test_a_graph_that_onnxruntime_refuses(copied, edit_manifest, capfd, digits, name, value):
    """Its form is right, but it reads a value that no node makes: what ONNX Runtime says is kept as the cause."""
    graph = (copied / name).read_bytes()
    (copied / name).write_bytes(graph.replace(value, value[:-4] + b"bios", 1))
    with pytest.raises(vaedge.BundleError, match="cannot load a graph") as caught:
        vaedge.load(edit_manifest(lambda tree: rehash(tree, copied, name))).encode(digits)
    assert caught.value.__cause__ is not None
    assert capfd.readouterr() == ("", "")


def test_what_onnxruntime_says_when_it_fails_is_kept(bundle, monkeypatch, digits):
    vae = vaedge.load(bundle)

    def fail(*_):
        raise RuntimeError("no memory on the moon")

    monkeypatch.setattr(vae._graphs.encoder, "session", types.SimpleNamespace(run=fail))
    with pytest.raises(vaedge.InferenceError, match=r"batch of x \(8, 1, 28, 28\): no memory on the moon") as caught:
        vae.encode(digits)
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("variant", ["fp32", "fastest"])
def test_a_pinned_manifest(bundle, edit_manifest, copied, variant):
    pin = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    assert vaedge.load(bundle, variant=variant, sha256=pin.upper()).manifest.name == "article"
    for wrong in ("", pin[:-1], f"sha256:{pin}", 0):
        with pytest.raises(vaedge.InputError, match="expected 64 hexadecimal digits"):
            vaedge.load(bundle, variant=variant, sha256=wrong)
    edit_manifest(lambda tree: tree.update(name="other"))
    assert vaedge.load(copied).manifest.name == "other"
    with pytest.raises(vaedge.BundleError, match=f"manifest.json has the sha256 .*, and {pin} was asked for"):
        vaedge.load(copied, variant=variant, sha256=pin)
