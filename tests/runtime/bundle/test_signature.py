"""Graphs whose inputs or outputs differ from the manifest are refused."""

import struct
import types

import pytest
from hostile.graphs import graph, model, node, tensor, value

import vaedge
from vaedge.bundle.protobuf import bytes_field
from vaedge.bundle.signature import Signature, declared_signature
from vaedge.engine.session import Graph


def test_load_rejects_swapped_graphs(edit_manifest):
    def swap(tree):
        tree["variants"]["fp32"].update(encoder="decoder.onnx", decoder="encoder.onnx")

    with pytest.raises(vaedge.BundleError, match=r"decoder.onnx has the tensors"):
        vaedge.load(edit_manifest(swap))


def test_load_rejects_graph_with_another_latent_shape(edit_manifest):
    with pytest.raises(vaedge.BundleError, match=r"\(20,\).*manifest requires.*\(21,\)"):
        vaedge.load(edit_manifest(lambda tree: tree["latent"].update(shape=[21])))


def test_load_rejects_graph_without_a_condition(edit_manifest):
    y = {"dtype": "float32", "shape": [], "classes": []}
    with pytest.raises(vaedge.BundleError, match=r"manifest requires x float32 \(1, 28, 28\), y float32 \(\) -> mean"):
        vaedge.load(edit_manifest(lambda tree: tree["conditions"].update(y=y)))


def test_load_rejects_file_that_is_not_a_graph(copied, replace_file, capfd):
    with pytest.raises(vaedge.BundleError, match=r"encoder.onnx is refused: a field has the unknown wire type 6"):
        vaedge.load(replace_file("encoder.onnx", b"not a graph"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (value(b"x", (None, 3)), {"x": ("float32", (3,))}),
        (value(b"x", (None, 3, 4)), {"x": ("float32", (3, 4))}),
        (value(b"y", (None,), 7), {"y": ("int64", ())}),
        (value(b"x", (2, 3)), {"x": ("float32, batch of fixed size,", (3,))}),
        (value(b"x"), {"x": ("float32, batch of fixed size,", ())}),
        (value(b"x", (None, None)), {"x": ("float32", (0,))}),
        (value(b"x", (None, 3), 11), {"x": ("element type 11", (3,))}),
        (bytes_field(1, b"x"), {"x": ("element type 0, batch of fixed size,", ())}),
    ],
    ids=["vector", "matrix", "int64", "fixed batch", "no axes", "two free axes", "float64", "no type"],
)
def test_declared_signature_describes_each_tensor(declared, expected):
    found = declared_signature(model(graph(extra=bytes_field(11, declared) + bytes_field(12, declared))))
    assert found == Signature(expected, expected)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"x": ("float32", (3,))}, {"b": ("float32", ()), "a": ("float32", ())}),
        ({"x": ("float32", (3,))}, {"a": ("float32", ())}),
        ({"x": ("float32", (4,))}, {"a": ("float32", ()), "b": ("float32", ())}),
        ({"x": ("int64", (3,))}, {"a": ("float32", ()), "b": ("float32", ())}),
        ({}, {"x": ("float32", (3,)), "a": ("float32", ()), "b": ("float32", ())}),
    ],
    ids=["order", "missing output", "shape", "dtype", "input as output"],
)
def test_signature_is_compared_in_order(inputs, outputs):
    required = Signature({"x": ("float32", (3,))}, {"a": ("float32", ()), "b": ("float32", ())})
    required.require(Signature(dict(required.inputs), dict(required.outputs)), "graph")
    with pytest.raises(vaedge.BundleError, match="graph has the tensors"):
        required.require(Signature(inputs, outputs), "graph")


def test_session_finds_batch_axis_that_the_operators_fix():
    """A graph is refused if it declares an output with a variable batch size, but a node fixes this batch size to 1."""
    import onnxruntime

    nodes = [node(b"Reshape", (b"x", b"shape"), (b"mean",))]
    shape = tensor(b"shape", (2,), 7, struct.pack("<2q", 1, 784))
    output = bytes_field(12, value(b"mean", (None, 784)))
    inputs = bytes_field(11, value(b"x", (None, 1, 28, 28)))
    content = model(graph(nodes, [shape], inputs + output))
    required = Signature({"x": ("float32", (1, 28, 28))}, {"mean": ("float32", (784,))})
    required.require(declared_signature(content), "graph")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    with pytest.raises(vaedge.BundleError, match="batch of fixed size"):
        Graph(session, "graph", required)


@pytest.mark.parametrize(("name", "old"), [("encoder.onnx", b"hidden.1.bias"), ("decoder.onnx", b"hidden.0.bias")])
def test_error_of_onnxruntime_is_the_cause(copied, replace_file, capfd, digits, name, old):
    """The graph is well-formed, but a node reads a tensor that does not exist, so ONNX Runtime cannot load it."""
    content = (copied / name).read_bytes().replace(old, old[:-4] + b"bios", 1)
    with pytest.raises(vaedge.BundleError, match="cannot load a graph") as caught:
        vaedge.load(replace_file(name, content)).encode(digits)
    assert caught.value.__cause__ is not None
    assert capfd.readouterr() == ("", "")


def test_error_of_a_run_is_the_cause(bundle, monkeypatch, digits):
    vae = vaedge.load(bundle)

    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(vae._sessions.encoder, "session", types.SimpleNamespace(run=fail))
    with pytest.raises(vaedge.InferenceError, match=r"batch of x \(8, 1, 28, 28\): out of memory") as caught:
        vae.encode(digits)
    assert isinstance(caught.value.__cause__, RuntimeError)
