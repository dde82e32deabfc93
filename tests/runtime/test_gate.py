"""Graphs that no bundle has are refused before ONNX Runtime sees them: one of each kind, made here byte by byte."""

import hashlib
import json
import struct
import time

import pytest

import vaedge
import vaedge.engine
from vaedge import wire
from vaedge.gate import check_graph


def number(field, value):
    return wire.encode_varint(field << 3) + wire.encode_varint(value)


def tensor(name=b"w", dims=(2,), kind=1, raw=None, extra=b""):
    raw = bytes(4 * 2) if raw is None else raw
    sizes = b"".join(number(1, size) for size in dims)
    return sizes + number(2, kind) + wire.field(8, name) + wire.field(9, raw) + extra


def node(operator=b"Relu", inputs=(b"x",), outputs=(b"mean",), extra=b""):
    parts = [wire.field(1, name) for name in inputs] + [wire.field(2, name) for name in outputs]
    return b"".join(parts) + wire.field(4, operator) + extra


def graph(nodes=None, tensors=(), extra=b""):
    parts = [wire.field(1, entry) for entry in ([node()] if nodes is None else nodes)]
    return b"".join(parts + [wire.field(5, entry) for entry in tensors]) + wire.field(2, b"g") + extra


def model(body=None, ir=10, opsets=((b"", 20),), extra=b""):
    sets = b"".join(wire.field(8, wire.field(1, domain) + number(2, version)) for domain, version in opsets)
    return number(1, ir) + wire.field(7, graph() if body is None else body) + sets + extra


def with_attribute(content):
    return model(graph([node(extra=wire.field(5, content))]))


def sizes(*values):
    return tensor(dims=(len(values),), kind=7, raw=struct.pack(f"<{len(values)}q", *values))


HOSTILE = {
    "an empty file": b"",
    "text": b"not a graph at all",
    "a graph cut short": model()[:-3],
    "a length beyond the end": b"\x3a\xff\xff\xff\xff\x0f",
    "a number that never ends": b"\xff" * 64,
    "no graph": number(1, 10),
    "two graphs": model(extra=wire.field(7, graph())),
    "an old IR": model(ir=3),
    "a new IR": model(ir=99),
    "an old operator set": model(opsets=((b"", 9),)),
    "a new operator set": model(opsets=((b"", 30),)),
    "operators of training": model(opsets=((b"", 20), (b"ai.onnx.preview.training", 1))),
    "operators of somebody": model(opsets=((b"", 20), (b"evil", 1))),
    "operators of onnxruntime alone, in fp32": model(opsets=((b"", 20), (b"com.microsoft", 1))),
    "local functions": model(extra=wire.field(25, wire.field(1, b"bomb"))),
    "training information": model(extra=wire.field(20, b"")),
    "a device configuration": model(extra=wire.field(26, b"")),
    "an unknown field of the model": model(extra=wire.field(99, b"")),
    "a sparse tensor": model(graph(extra=wire.field(15, b""))),
    "an unknown field of the graph": model(graph(extra=wire.field(77, b""))),
    "quantisation annotations": model(graph(extra=wire.field(14, b""))),
    "a loop": model(graph([node(b"Loop")])),
    "a branch": model(graph([node(b"If")])),
    "a scan": model(graph([node(b"Scan")])),
    "random numbers": model(graph([node(b"RandomNormalLike")])),
    "a draw": model(graph([node(b"Multinomial")])),
    "a tensor of any size in a few bytes": model(graph([node(b"ConstantOfShape")])),
    "a range": model(graph([node(b"Range")])),
    "tiles": model(graph([node(b"Tile")])),
    "one-hot of any depth": model(graph([node(b"OneHot")])),
    "strings": model(graph([node(b"StringConcat")])),
    "an operator of nobody": model(graph([node(b"Backdoor")])),
    "an operator without a name": model(graph([node(b"")])),
    "an operator of another domain": model(graph([node(extra=wire.field(7, b"evil"))])),
    "mixture of experts": model(graph([node(b"MoE", extra=wire.field(7, b"com.microsoft"))])),
    "an embedded engine": model(graph([node(b"EPContext", extra=wire.field(7, b"com.microsoft"))])),
    "an overload": model(graph([node(extra=wire.field(8, b"x"))])),
    "a subgraph": with_attribute(wire.field(6, graph())),
    "subgraphs": with_attribute(wire.field(11, graph())),
    "a sparse attribute": with_attribute(wire.field(22, b"")),
    "a list of tensors": with_attribute(wire.field(10, tensor())),
    "a reference to a function's attribute": with_attribute(wire.field(21, b"alpha")),
    "external data": model(graph(tensors=[tensor(extra=wire.field(13, wire.field(1, b"location")))])),
    "a location elsewhere": model(graph(tensors=[tensor(extra=number(14, 1))])),
    "external data in an attribute": with_attribute(wire.field(5, tensor(extra=number(14, 1)))),
    "a tensor of strings": model(graph(tensors=[tensor(kind=8)])),
    "strings beside the bytes": model(graph(tensors=[tensor(extra=wire.field(6, b"x"))])),
    "a tensor of complex numbers": model(graph(tensors=[tensor(kind=14)])),
    "too few bytes for the dims": model(graph(tensors=[tensor(dims=(1000,))])),
    "too many bytes for the dims": model(graph(tensors=[tensor(dims=(1,))])),
    "dims that overflow": model(graph(tensors=[tensor(dims=(2**63 - 1, 2**63 - 1))])),
    "dims of sixteen gigabytes": model(graph(tensors=[tensor(dims=(2**32,), raw=b"")])),
    "the bytes twice": model(graph(tensors=[tensor(extra=wire.field(9, bytes(8)))])),
    "a segment": model(graph(tensors=[tensor(extra=wire.field(3, b""))])),
    "a shape of sixteen gigabytes": model(graph(tensors=[sizes(1, 2**32)])),
    "a shape whose product is too large": model(graph(tensors=[sizes(2**20, 2**20)])),
    "concatenations that double": model(graph([node(b"Concat", (b"a", b"a"), (b"a",)) for _ in range(40)])),
    "a hundred thousand nodes": model(graph([node()] * 20_001)),
    "a name that is no text": model(graph([node(b"\xff\xfe")])),
    "a number where bytes belong": number(7, 5),
    "bytes where a number belongs": wire.field(1, b"10"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_graph_is_refused_before_onnxruntime_sees_it(copied, edit_manifest, monkeypatch, name):
    content = HOSTILE[name]
    (copied / "encoder.onnx").write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    edit_manifest(lambda tree: tree["files"].update({"encoder.onnx": entry}))
    monkeypatch.setattr(vaedge.engine, "import_onnxruntime", lambda: pytest.fail("ONNX Runtime was asked"))
    began = time.perf_counter()
    with pytest.raises(vaedge.BundleError, match=r"encoder.onnx is refused: \w"):
        vaedge.load(copied)
    assert time.perf_counter() - began < 1


def test_there_are_at_least_forty():
    assert len(HOSTILE) >= 40


def test_a_plain_graph_passes():
    check_graph(model(graph(tensors=[tensor(), sizes(-1, 784), sizes(0, 2**63 - 1)])), contrib=False)
    check_graph(model(opsets=((b"", 20), (b"com.microsoft", 1))), contrib=True)


def test_every_graph_of_the_bundle_passes(bundle):
    for name, entry in json.loads((bundle / "manifest.json").read_text())["variants"].items():
        for file in (entry["encoder"], entry["decoder"]):
            check_graph((bundle / file).read_bytes(), contrib=name != "fp32")


def test_mutated_graphs_raise_nothing_else(bundle):
    """Bytes of a real graph's form changed at random: each is refused with a BundleError, or is a graph still."""
    import random

    rng, refused = random.Random(0), 0
    content = (bundle / "decoder.int8.onnx").read_bytes()
    form = content[:1500] + content[-6000:]  # mostly not weights
    for _ in range(3000):
        changed = bytearray(form)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        try:
            check_graph(bytes(changed), contrib=True)
        except vaedge.BundleError:
            refused += 1
    assert refused > 1000
