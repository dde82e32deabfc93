"""Encoder and decoder as one graph, x -> the reconstruction through the posterior's mean.

Two sessions, each with its own threads, are slower than one: the threads of the first still wait for work, and take
the processor from those of the second. One graph has one session, and on CUDA the latents stay on the device.
"""

from collections.abc import Callable, Collection

from vaedge.bundle import protobuf as wire

RECONSTRUCTION = "decoder/x"

# Numbers of fields in onnx.proto.
_MODEL_GRAPH, _MODEL_OPSET = 7, 8
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 1, 5, 11, 12, 13
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME = 1, 2, 3
_TENSOR_NAME, _VALUE_NAME = 8, 1


def merge_graphs(encoder: bytes, decoder: bytes, conditions: Collection[str]) -> bytes:
    """Return the graph whose one output, RECONSTRUCTION, is what the decoder makes of the encoder's mean.

    Args:
        encoder: x, conditions -> mean, log_var.
        decoder: z, conditions -> x, ...
        conditions: names of the inputs that both share.

    Raises:
        BundleError: one of them is no protobuf message.
    """

    def rename(name: str) -> str:
        if name == "z":
            return "mean"
        return name if not name or name in conditions else f"decoder/{name}"

    body = [wire.field(n, content) for n, content in _graph(encoder) if n in (_NODE, _INITIALIZER, _INPUT)]
    for number, content in _graph(decoder):
        if number == _NODE:
            body.append(wire.field(number, _renamed(content, (_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME), rename)))
        elif number == _INITIALIZER:
            body.append(wire.field(number, _renamed(content, (_TENSOR_NAME,), rename)))
        elif number == _OUTPUT and _name(content) == "x":
            body.append(wire.field(number, _renamed(content, (_VALUE_NAME,), rename)))
    body.append(wire.field(2, b"reconstruct"))
    head = [_copy(entry) for entry in wire.fields(memoryview(encoder)) if entry[0] not in (_MODEL_GRAPH, _MODEL_OPSET)]
    opsets = dict.fromkeys(
        bytes(content)
        for model in (encoder, decoder)
        for number, _, _, content in wire.fields(memoryview(model))
        if number == _MODEL_OPSET
    )
    head += [wire.field(_MODEL_OPSET, opset) for opset in opsets]
    return b"".join([*head, wire.field(_MODEL_GRAPH, b"".join(body))])


def _graph(model: bytes) -> list[tuple[int, memoryview]]:
    (graph,) = (content for number, _, _, content in wire.fields(memoryview(model)) if number == _MODEL_GRAPH)
    return [(number, content) for number, _, _, content in wire.fields(graph)]


def _name(value_info: memoryview) -> str:
    return next(str(content, "utf-8") for number, _, _, content in wire.fields(value_info) if number == _VALUE_NAME)


def _renamed(message: memoryview, numbers: Collection[int], rename: Callable[[str], str]) -> bytes:
    """Copy a message, with these fields, which are names, renamed."""
    parts = []
    for entry in wire.fields(message):
        number, _, _, content = entry
        parts.append(wire.field(number, rename(str(content, "utf-8")).encode()) if number in numbers else _copy(entry))
    return b"".join(parts)


def _copy(entry: tuple[int, int, int, memoryview]) -> bytes:
    number, kind, value, content = entry
    if kind == wire.BYTES:
        return wire.field(number, content)
    if kind == wire.VARINT:
        return wire.number_field(number, value)
    return wire.encode_varint(number << 3 | kind) + bytes(content)
