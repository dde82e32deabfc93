"""Hostile models, to stand in a bundle for its encoder."""

import itertools
import struct

from vaedge.bundle import protobuf as wire


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


MALFORMED = {
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


# What follows are models in good form: ONNX Runtime loads some of them, and runs into what they were made for.


def value(name, dims=(), kind=1):
    axes = b"".join(wire.field(1, wire.field(2, b"n") if size is None else number(1, size)) for size in dims)
    return wire.field(1, name) + wire.field(2, wire.field(1, number(1, kind) + wire.field(2, axes)))


def whole(nodes, tensors=(), extra=b"", outputs=(b"mean", b"log_var"), domains=((b"", 20),), kind=1):
    """A model x -> mean, ...: whatever the nodes make of x."""
    inputs = wire.field(11, value(b"x", (None, 1, 28, 28)))
    ends = b"".join(wire.field(12, value(name, (None,), kind)) for name in outputs)
    return model(graph(nodes, tensors, inputs + ends), opsets=domains, extra=extra)


def attribute(name, field, content, kind):
    return wire.field(5, wire.field(1, name) + wire.field(field, content) + number(20, kind))


def functions(depth):
    """Functions that call the one before them twice: 2^depth nodes, once they are expanded."""

    def function(level):
        inner = b"f%d" % (level - 1)
        if level == 0:
            body = [node(b"Neg", (b"a",), (b"b",))]
        else:
            body = [
                node(inner, (b"a",), (b"m",), wire.field(7, b"f")),
                node(inner, (b"m",), (b"b",), wire.field(7, b"f")),
            ]
        parts = wire.field(1, b"f%d" % level) + wire.field(4, b"a") + wire.field(5, b"b")
        sets = wire.field(9, number(2, 20)) + wire.field(9, wire.field(1, b"f") + number(2, 1))
        return parts + b"".join(wire.field(7, entry) for entry in body) + sets + wire.field(10, b"f")

    extra = b"".join(wire.field(25, function(level)) for level in range(depth + 1))
    call = node(b"f%d" % depth, (b"x",), (b"mean",), wire.field(7, b"f"))
    return whole([call], extra=extra, outputs=(b"mean",), domains=((b"", 20), (b"f", 1)))


def endless_loop():
    true = tensor(b"true", (), 9, b"\x01")
    body = graph([node(b"Identity", (b"c",), (b"d",)), node(b"Neg", (b"v",), (b"w",))])
    body += (
        wire.field(11, value(b"i", (), 7)) + wire.field(11, value(b"c", (), 9)) + wire.field(11, value(b"v", (None,)))
    )
    body += wire.field(12, value(b"d", (), 9)) + wire.field(12, value(b"w", (None,)))
    loop = node(b"Loop", (b"", b"true", b"x"), (b"mean",), attribute(b"body", 6, body, 5))
    return whole([loop], [true], outputs=(b"mean",))


def branches(depth, also=b""):
    """Branches in branches: each parser that recurses goes that deep, and twice as often where both are of them."""
    true = tensor(b"true", (), 9, b"\x01")
    body = graph([node(b"Identity", (b"true",), (b"y",))], extra=wire.field(12, value(b"y", (), 9)))
    for level in range(depth):
        both = attribute(b"then_branch", 6, body, 5) + attribute(b"else_branch", 6, also or body, 5)
        end = b"mean" if level == depth - 1 else b"y"
        branch = node(b"If", (b"true",), (end,), both)
        body = graph([branch], extra=wire.field(12, value(end, (), 9)))
    return whole([branch], [true], outputs=(b"mean",), kind=9)


LEAF = graph([node(b"Identity", (b"true",), (b"y",))], extra=wire.field(12, value(b"y", (), 9)))


def outside(location, length=8):
    entry = b"".join(
        wire.field(13, wire.field(1, key) + wire.field(2, text))
        for key, text in ((b"location", location), (b"length", str(length).encode()))
    )
    weights = number(1, length // 4) + number(2, 1) + wire.field(8, b"w") + entry + number(14, 1)
    return whole([node(b"Identity", (b"w",), (b"mean",))], [weights], outputs=(b"mean",))


def filled(*dims):
    """Sixteen gigabytes, and more, in a few bytes."""
    return whole([node(b"ConstantOfShape", (b"w",), (b"mean",))], [sizes(*dims)], outputs=(b"mean",))


def doubled(times):
    names = [b"x", *(b"v%d" % index for index in range(times))]
    axis = wire.field(5, wire.field(1, b"axis") + number(3, 0) + number(20, 2))
    nodes = [node(b"Concat", (a, a), (b,), axis) for a, b in itertools.pairwise(names)]
    return whole([*nodes, node(b"Identity", (names[-1],), (b"mean",))], outputs=(b"mean",))


WELL_FORMED = {
    "functions that double twenty-two times": functions(22),
    "functions that double forty times": functions(40),
    "a loop without an end": endless_loop(),
    "branches two thousand deep": branches(2000, LEAF),
    "branches that double": branches(14),
    "weights in a hard link to another file": outside(b"hard"),
    "weights in a link to another file": outside(b"soft"),
    "weights in a folder above": outside(b"../../secret"),
    "weights at an absolute path": outside(b"/etc/hostname"),
    "weights in a device": outside(b"/dev/zero", 2**33),
    "weights in a pipe": outside(b"pipe"),
    "sixteen gigabytes of zeros": filled(2**32),
    "more zeros than there are addresses": filled(2**40, 2**20),
    "concatenations that double forty times": doubled(40),
    "random weights": whole(
        [node(b"RandomNormal", (), (b"mean",), wire.field(5, wire.field(1, b"shape") + number(8, 4) + number(20, 7)))],
        outputs=(b"mean",),
    ),
    "a range of sixteen gigabytes": whole(
        [node(b"Range", (b"from", b"to", b"step"), (b"mean",))],
        [tensor(name, (), 7, struct.pack("<q", size)) for name, size in ((b"from", 0), (b"to", 2**31), (b"step", 1))],
        outputs=(b"mean",),
        kind=7,
    ),
}

GRAPHS = {**MALFORMED, **WELL_FORMED}
