"""Graphs that a bundle must not contain are refused. Graphs exactly at a limit are accepted."""

import json
import random
import struct

import pytest
from hostile.graphs import GRAPHS, attribute, graph, model, node, sizes, tensor

import vaedge
from vaedge.bundle import graph_checks
from vaedge.bundle.graph_checks import check_graph
from vaedge.bundle.protobuf import bytes_field, varint, varint_field


def accepts(content, contrib=False):
    check_graph(content, contrib=contrib)


def refuses(content, message, contrib=False):
    with pytest.raises(vaedge.BundleError, match=message):
        check_graph(content, contrib=contrib)


@pytest.mark.parametrize("name", GRAPHS)
def test_hostile_graph_is_refused(name):
    refuses(GRAPHS[name], r"\w")


def test_graphs_of_the_bundle_are_accepted(bundle):
    for name, entry in json.loads((bundle / "manifest.json").read_text())["variants"].items():
        for file in (entry["encoder"], entry["decoder"]):
            accepts((bundle / file).read_bytes(), contrib=name != "fp32")


@pytest.mark.parametrize("field", [3, 6, 7])
def test_nodes_may_have_a_name_a_description_and_a_domain(field):
    accepts(model(graph([node(extra=bytes_field(field, b""))])))


@pytest.mark.parametrize(("version", "allowed"), [(7, False), (8, True), (9, True), (10, True), (11, False)])
def test_ir_version_is_limited(version, allowed):
    if allowed:
        accepts(model(ir=version))
    else:
        refuses(model(ir=version), f"IR version {version} is not allowed; expected 8 to 10")


@pytest.mark.parametrize(("version", "allowed"), [(16, False), (17, True), (20, True), (21, False)])
def test_operator_set_is_limited(version, allowed):
    if allowed:
        accepts(model(opsets=((b"", version),)))
    else:
        refuses(model(opsets=((b"", version),)), f"operator set ai.onnx {version} is not allowed")


def test_operators_of_onnxruntime_are_allowed_only_in_quantized_variants():
    domain = b"com.microsoft"
    content = model(graph([node(b"MatMulNBits", extra=bytes_field(7, domain))]), opsets=((b"", 20), (domain, 1)))
    accepts(content, contrib=True)
    refuses(content, "operator set com.microsoft 1 is not allowed")
    refuses(model(graph([node(b"MatMulNBits", extra=bytes_field(7, domain))])), "com.microsoft.MatMulNBits is not")
    refuses(model(graph([node(b"Gelu", extra=bytes_field(7, domain))])), "com.microsoft.Gelu is not", contrib=True)
    refuses(model(opsets=((domain, 2),)), "operator set com.microsoft 2", contrib=True)


def test_number_of_nodes_is_limited():
    accepts(model(graph([node()] * 20_000)))
    refuses(model(graph([node()] * 20_001)), "20,001 nodes; at most 20,000")


def test_number_of_concatenated_tensors_is_limited():
    concat = node(b"Concat", (b"a",) * 32)
    accepts(model(graph([concat, concat, node(b"Add", (b"a", b"a"))])))
    refuses(model(graph([concat, concat, node(b"Concat", (b"a",))])), "concatenates 65 tensors; at most 64")


def test_number_of_elements_is_limited(monkeypatch):
    assert graph_checks.MAX_ELEMENTS == 268_435_456
    monkeypatch.setattr(graph_checks, "MAX_ELEMENTS", 12)
    accepts(model(graph(tensors=[tensor(dims=(3, 4), raw=bytes(48))])))
    refuses(model(graph(tensors=[tensor(dims=(13,), raw=bytes(52))])), "52 bytes, which do not match its 13 elements")


@pytest.mark.parametrize(("kind", "size"), [(1, 4), (2, 1), (3, 1), (6, 4), (7, 8), (9, 1), (10, 2)])
def test_bytes_of_a_tensor_match_its_elements(kind, size):
    accepts(model(graph(tensors=[tensor(dims=(3, 2), kind=kind, raw=bytes(6 * size))])))
    for wrong in (6 * size - 1, 6 * size + 1):
        refuses(model(graph(tensors=[tensor(dims=(3, 2), kind=kind, raw=bytes(wrong))])), "do not match its 6 elements")


@pytest.mark.parametrize("kind", [0, 4, 5, 8, 11, 12, 13, 14, 15, 16, 17])
def test_element_types_are_limited(kind):
    refuses(model(graph(tensors=[tensor(dims=(0,), kind=kind, raw=b"")])), f"elements of type {kind}, which is not")


@pytest.mark.parametrize(
    "values",
    [
        (2**28,),
        (2**14, -(2**14)),
        (0, 2**28),
        (-1, 784),
        (2**62, 2**63 - 1, -(2**62), -(2**63)),  # special values for an end or a start
        (2**28, 2**62),
        (2**20,) * 17,  # more axes than a shape can have
    ],
    ids=["limit", "product", "zero", "rest", "sentinels", "sentinel and limit", "not a shape"],
)
def test_constant_that_is_a_small_shape_is_accepted(values):
    accepts(model(graph(tensors=[sizes(*values)])))


@pytest.mark.parametrize(
    "values",
    [(2**28 + 1,), (2**14, 2**14 + 1), (0, 2**28 + 1), (-(2**28) - 1,), (2**62 - 1,), (2,) * 13 + (2**15, 2**1, 1)],
    ids=["limit", "product", "zero", "negative", "below the sentinels", "sixteen axes"],
)
def test_constant_that_is_a_large_shape_is_refused(values):
    refuses(
        model(graph(tensors=[sizes(*values)])),
        "could be used as the shape of a tensor with more than 268,435,456 elements",
    )


def test_constant_in_an_attribute_is_checked():
    def constant(raw):
        return model(graph([node(b"Constant", (), extra=attribute(b"value", 5, tensor(raw=raw), 4))]))

    accepts(constant(bytes(8)))
    refuses(constant(bytes(9)), "do not match its 2 elements")
    two = bytes_field(5, bytes_field(5, tensor()) + bytes_field(5, tensor()))
    refuses(model(graph([node(b"Constant", (), extra=two)])), "an attribute of Constant holds 2 tensors; expected one")


def test_repeated_numbers_may_be_packed():
    packed_floats = bytes_field(5, bytes_field(1, b"a") + bytes_field(7, struct.pack("<2f", 1, 2)))
    packed_integers = bytes_field(5, bytes_field(1, b"b") + bytes_field(8, varint(3) + varint(300)))
    accepts(model(graph([node(extra=packed_floats + packed_integers)])))
    dims = bytes_field(1, varint(2) + varint(3)) + varint_field(2, 1) + bytes_field(8, b"w")
    accepts(model(graph(tensors=[dims + bytes_field(9, bytes(24))])))
    refuses(model(graph(tensors=[dims + bytes_field(9, bytes(20))])), "do not match its 6 elements")


def test_names_must_be_text():
    refuses(model(graph([node(b"\xff")])), "a name in the graph is not UTF-8 text")


def test_mutated_graphs_raise_only_bundle_errors(bundle):
    rng, refused = random.Random(0), 0
    content = (bundle / "decoder.int8.onnx").read_bytes()
    structure = content[:1500] + content[-6000:]  # mostly without the weights
    for _ in range(3000):
        changed = bytearray(structure)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        try:
            check_graph(bytes(changed), contrib=True)
        except vaedge.BundleError:
            refused += 1
    assert refused > 1000
