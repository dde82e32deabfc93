"""Hostile ONNX models, which replace the encoder of a bundle."""

import itertools
import struct

from vaedge.bundle.protobuf import bytes_field, varint_field


def tensor(name=b"w", dims=(2,), kind=1, raw=None, extra=b""):
    raw = bytes(4 * 2) if raw is None else raw
    sizes = b"".join(varint_field(1, size) for size in dims)
    return sizes + varint_field(2, kind) + bytes_field(8, name) + bytes_field(9, raw) + extra


def node(operator=b"Relu", inputs=(b"x",), outputs=(b"mean",), extra=b""):
    parts = [bytes_field(1, name) for name in inputs] + [bytes_field(2, name) for name in outputs]
    return b"".join(parts) + bytes_field(4, operator) + extra


def graph(nodes=None, tensors=(), extra=b""):
    parts = [bytes_field(1, entry) for entry in ([node()] if nodes is None else nodes)]
    return b"".join(parts + [bytes_field(5, entry) for entry in tensors]) + bytes_field(2, b"g") + extra


def model(body=None, ir=10, opsets=((b"", 20),), extra=b""):
    sets = b"".join(bytes_field(8, bytes_field(1, domain) + varint_field(2, version)) for domain, version in opsets)
    return varint_field(1, ir) + bytes_field(7, graph() if body is None else body) + sets + extra


def with_attribute(content):
    return model(graph([node(extra=bytes_field(5, content))]))


def sizes(*values):
    return tensor(dims=(len(values),), kind=7, raw=struct.pack(f"<{len(values)}q", *values))


MALFORMED = {
    "empty file": b"",
    "text": b"not a graph at all",
    "truncated graph": model()[:-3],
    "length beyond the end": b"\x3a\xff\xff\xff\xff\x0f",
    "varint that does not end": b"\xff" * 64,
    "no graph": varint_field(1, 10),
    "two graphs": model(extra=bytes_field(7, graph())),
    "IR version that is too old": model(ir=3),
    "IR version that is too new": model(ir=99),
    "operator set that is too old": model(opsets=((b"", 9),)),
    "operator set that is too new": model(opsets=((b"", 30),)),
    "operator set of training": model(opsets=((b"", 20), (b"ai.onnx.preview.training", 1))),
    "operator set of an unknown domain": model(opsets=((b"", 20), (b"evil", 1))),
    "operator set of ONNX Runtime in fp32": model(opsets=((b"", 20), (b"com.microsoft", 1))),
    "local function": model(extra=bytes_field(25, bytes_field(1, b"bomb"))),
    "training information": model(extra=bytes_field(20, b"")),
    "device configuration": model(extra=bytes_field(26, b"")),
    "unknown field of the model": model(extra=bytes_field(99, b"")),
    "sparse tensor": model(graph(extra=bytes_field(15, b""))),
    "unknown field of the graph": model(graph(extra=bytes_field(77, b""))),
    "quantization annotation": model(graph(extra=bytes_field(14, b""))),
    "Loop": model(graph([node(b"Loop")])),
    "If": model(graph([node(b"If")])),
    "Scan": model(graph([node(b"Scan")])),
    "RandomNormalLike": model(graph([node(b"RandomNormalLike")])),
    "Multinomial": model(graph([node(b"Multinomial")])),
    "ConstantOfShape": model(graph([node(b"ConstantOfShape")])),
    "Range": model(graph([node(b"Range")])),
    "Tile": model(graph([node(b"Tile")])),
    "OneHot": model(graph([node(b"OneHot")])),
    "StringConcat": model(graph([node(b"StringConcat")])),
    "unknown operator": model(graph([node(b"Backdoor")])),
    "operator without a name": model(graph([node(b"")])),
    "operator of an unknown domain": model(graph([node(extra=bytes_field(7, b"evil"))])),
    "MoE of ONNX Runtime": model(graph([node(b"MoE", extra=bytes_field(7, b"com.microsoft"))])),
    "EPContext of ONNX Runtime": model(graph([node(b"EPContext", extra=bytes_field(7, b"com.microsoft"))])),
    "overload of an operator": model(graph([node(extra=bytes_field(8, b"x"))])),
    "subgraph attribute": with_attribute(bytes_field(6, graph())),
    "attribute with several subgraphs": with_attribute(bytes_field(11, graph())),
    "sparse tensor attribute": with_attribute(bytes_field(22, b"")),
    "attribute with a list of tensors": with_attribute(bytes_field(10, tensor())),
    "reference to an attribute of a function": with_attribute(bytes_field(21, b"alpha")),
    "external data": model(graph(tensors=[tensor(extra=bytes_field(13, bytes_field(1, b"location")))])),
    "external data location": model(graph(tensors=[tensor(extra=varint_field(14, 1))])),
    "external data in an attribute": with_attribute(bytes_field(5, tensor(extra=varint_field(14, 1)))),
    "string tensor": model(graph(tensors=[tensor(kind=8)])),
    "strings in addition to raw data": model(graph(tensors=[tensor(extra=bytes_field(6, b"x"))])),
    "complex tensor": model(graph(tensors=[tensor(kind=14)])),
    "too few bytes for the shape": model(graph(tensors=[tensor(dims=(1000,))])),
    "too many bytes for the shape": model(graph(tensors=[tensor(dims=(1,))])),
    "shape whose product overflows": model(graph(tensors=[tensor(dims=(2**63 - 1, 2**63 - 1))])),
    "shape of sixteen gigabytes without data": model(graph(tensors=[tensor(dims=(2**32,), raw=b"")])),
    "raw data twice": model(graph(tensors=[tensor(extra=bytes_field(9, bytes(8)))])),
    "segmented tensor": model(graph(tensors=[tensor(extra=bytes_field(3, b""))])),
    "constant that is a shape of sixteen gigabytes": model(graph(tensors=[sizes(1, 2**32)])),
    "constant that is a shape with a large product": model(graph(tensors=[sizes(2**20, 2**20)])),
    "Concat nodes that double": model(graph([node(b"Concat", (b"a", b"a"), (b"a",)) for _ in range(40)])),
    "too many nodes": model(graph([node()] * 20_001)),
    "name that is not UTF-8": model(graph([node(b"\xff\xfe")])),
    "varint instead of bytes": varint_field(7, 5),
    "bytes instead of a varint": bytes_field(1, b"10"),
}


# The following models are well-formed. ONNX Runtime loads some of them and then uses too much time or memory.


def value(name, dims=(), kind=1):
    axes = b"".join(bytes_field(1, bytes_field(2, b"n") if size is None else varint_field(1, size)) for size in dims)
    return bytes_field(1, name) + bytes_field(2, bytes_field(1, varint_field(1, kind) + bytes_field(2, axes)))


def complete_model(nodes, tensors=(), extra=b"", outputs=(b"mean", b"log_var"), domains=((b"", 20),), kind=1):
    """Return an ONNX model with the input x and the given nodes, initializers (`tensors`), and output names."""
    inputs = bytes_field(11, value(b"x", (None, 1, 28, 28)))
    ends = b"".join(bytes_field(12, value(name, (None,), kind)) for name in outputs)
    return model(graph(nodes, tensors, inputs + ends), opsets=domains, extra=extra)


def attribute(name, field, content, kind):
    return bytes_field(5, bytes_field(1, name) + bytes_field(field, content) + varint_field(20, kind))


def functions(depth):
    """Return an ONNX model whose functions each call the previous function twice.

    Inlining them gives 2^depth nodes.
    """

    def function(level):
        inner = b"f%d" % (level - 1)
        if level == 0:
            body = [node(b"Neg", (b"a",), (b"b",))]
        else:
            body = [
                node(inner, (b"a",), (b"m",), bytes_field(7, b"f")),
                node(inner, (b"m",), (b"b",), bytes_field(7, b"f")),
            ]
        parts = bytes_field(1, b"f%d" % level) + bytes_field(4, b"a") + bytes_field(5, b"b")
        sets = bytes_field(9, varint_field(2, 20)) + bytes_field(9, bytes_field(1, b"f") + varint_field(2, 1))
        return parts + b"".join(bytes_field(7, entry) for entry in body) + sets + bytes_field(10, b"f")

    extra = b"".join(bytes_field(25, function(level)) for level in range(depth + 1))
    call = node(b"f%d" % depth, (b"x",), (b"mean",), bytes_field(7, b"f"))
    return complete_model([call], extra=extra, outputs=(b"mean",), domains=((b"", 20), (b"f", 1)))


def endless_loop():
    true = tensor(b"true", (), 9, b"\x01")
    body = graph([node(b"Identity", (b"c",), (b"d",)), node(b"Neg", (b"v",), (b"w",))])
    body += (
        bytes_field(11, value(b"i", (), 7))
        + bytes_field(11, value(b"c", (), 9))
        + bytes_field(11, value(b"v", (None,)))
    )
    body += bytes_field(12, value(b"d", (), 9)) + bytes_field(12, value(b"w", (None,)))
    loop = node(b"Loop", (b"", b"true", b"x"), (b"mean",), attribute(b"body", 6, body, 5))
    return complete_model([loop], [true], outputs=(b"mean",))


def branches(depth, also=b""):
    """Return an ONNX model of If nodes that are nested `depth` deep.

    The then-branch of each If node is the next If node. The else-branch is the graph `also`. Without `also`, the
    else-branch is a copy of the then-branch, so that each level doubles the number of nodes.
    """
    true = tensor(b"true", (), 9, b"\x01")
    body = graph([node(b"Identity", (b"true",), (b"y",))], extra=bytes_field(12, value(b"y", (), 9)))
    for level in range(depth):
        both = attribute(b"then_branch", 6, body, 5) + attribute(b"else_branch", 6, also or body, 5)
        end = b"mean" if level == depth - 1 else b"y"
        branch = node(b"If", (b"true",), (end,), both)
        body = graph([branch], extra=bytes_field(12, value(end, (), 9)))
    return complete_model([branch], [true], outputs=(b"mean",), kind=9)


LEAF = graph([node(b"Identity", (b"true",), (b"y",))], extra=bytes_field(12, value(b"y", (), 9)))


def external(location, length=8):
    entry = b"".join(
        bytes_field(13, bytes_field(1, key) + bytes_field(2, text))
        for key, text in ((b"location", location), (b"length", str(length).encode()))
    )
    weights = varint_field(1, length // 4) + varint_field(2, 1) + bytes_field(8, b"w") + entry + varint_field(14, 1)
    return complete_model([node(b"Identity", (b"w",), (b"mean",))], [weights], outputs=(b"mean",))


def filled(*dims):
    """Return an ONNX model of a few bytes that creates a tensor of the shape `dims`."""
    return complete_model([node(b"ConstantOfShape", (b"w",), (b"mean",))], [sizes(*dims)], outputs=(b"mean",))


def doubled(times):
    names = [b"x", *(b"v%d" % index for index in range(times))]
    axis = bytes_field(5, bytes_field(1, b"axis") + varint_field(3, 0) + varint_field(20, 2))
    nodes = [node(b"Concat", (a, a), (b,), axis) for a, b in itertools.pairwise(names)]
    return complete_model([*nodes, node(b"Identity", (names[-1],), (b"mean",))], outputs=(b"mean",))


WELL_FORMED = {
    "functions that double 22 times": functions(22),
    "functions that double 40 times": functions(40),
    "endless loop": endless_loop(),
    "branches nested 2000 deep": branches(2000, LEAF),
    "branches that double": branches(14),
    "weights in a hard link": external(b"hard"),
    "weights in a symbolic link": external(b"soft"),
    "weights outside the folder": external(b"../../secret"),
    "weights at an absolute path": external(b"/etc/hostname"),
    "weights in a device": external(b"/dev/zero", 2**33),
    "weights in a pipe": external(b"pipe"),
    "sixteen gigabytes of zeros": filled(2**32),
    "more zeros than the address space": filled(2**40, 2**20),
    "Concat nodes that double 40 times": doubled(40),
    "random weights": complete_model(
        [
            node(
                b"RandomNormal",
                (),
                (b"mean",),
                bytes_field(5, bytes_field(1, b"shape") + varint_field(8, 4) + varint_field(20, 7)),
            )
        ],
        outputs=(b"mean",),
    ),
    "Range of sixteen gigabytes": complete_model(
        [node(b"Range", (b"from", b"to", b"step"), (b"mean",))],
        [tensor(name, (), 7, struct.pack("<q", size)) for name, size in ((b"from", 0), (b"to", 2**31), (b"step", 1))],
        outputs=(b"mean",),
        kind=7,
    ),
}

GRAPHS = {**MALFORMED, **WELL_FORMED}
