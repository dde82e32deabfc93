"""Merge the encoder and the decoder into one graph, which computes the reconstruction of x at the posterior's mean.

Two sessions are slower than one, because each session has its own threads. The threads of the first session still spin
while the threads of the second session compute. The merged graph needs one session, and on CUDA the latents stay on the
device. The merged graph is made when it is first needed. The bundle does not store this graph, because the bundle would
then hold all weights twice.
"""

from collections.abc import Callable, Collection

from vaedge.bundle import protobuf

RECONSTRUCTION = "decoder/x"
_PREFIX = "decoder/"

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_OPSET = 7, 8
_GRAPH_NODE, _GRAPH_NAME, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 2, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME = 1, 2, 3
_TENSOR_NAME, _VALUE_NAME = 8, 1


def merge_graphs(encoder: bytes, decoder: bytes, conditions: Collection[str]) -> bytes:
    """Merge two serialized models into one, in which the encoder's output `mean` is the decoder's input `z`.

    The merged model has one output: the decoder's output `x` under the name RECONSTRUCTION.

    Args:
        encoder: Serialized model that maps x and the conditions to mean and log_var.
        decoder: Serialized model that maps z and the conditions to x and further outputs.
        conditions: Names of the inputs that both graphs share.

    Raises:
        BundleError: A model is not a valid protobuf message.
    """

    def rename(name: str) -> str:
        if name == "z":
            return "mean"
        return name if not name or name in conditions else f"{_PREFIX}{name}"

    kept = (_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT)
    graph = [protobuf.bytes_field(number, content) for number, content in _graph_fields(encoder) if number in kept]
    for number, content in _graph_fields(decoder):
        if number == _GRAPH_NODE:
            renamed = _with_renamed(content, (_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME), rename)
        elif number == _GRAPH_INITIALIZER:
            renamed = _with_renamed(content, (_TENSOR_NAME,), rename)
        elif number == _GRAPH_OUTPUT and _value_name(content) == "x":
            renamed = _with_renamed(content, (_VALUE_NAME,), rename)
        else:
            continue
        graph.append(protobuf.bytes_field(number, renamed))
    graph.append(protobuf.bytes_field(_GRAPH_NAME, b"reconstruct"))
    model = [
        _serialized(field)
        for field in protobuf.fields(memoryview(encoder))
        if field[0] not in (_MODEL_GRAPH, _MODEL_OPSET)
    ]
    opsets = dict.fromkeys(
        bytes(content)
        for source in (encoder, decoder)
        for number, _, _, content in protobuf.fields(memoryview(source))
        if number == _MODEL_OPSET
    )
    model += [protobuf.bytes_field(_MODEL_OPSET, opset) for opset in opsets]
    return b"".join([*model, protobuf.bytes_field(_MODEL_GRAPH, b"".join(graph))])


def _graph_fields(model: bytes) -> list[tuple[int, memoryview]]:
    (graph,) = (content for number, _, _, content in protobuf.fields(memoryview(model)) if number == _MODEL_GRAPH)
    return [(number, content) for number, _, _, content in protobuf.fields(graph)]


def _value_name(value: memoryview) -> str:
    return next(str(content, "utf-8") for number, _, _, content in protobuf.fields(value) if number == _VALUE_NAME)


def _with_renamed(message: memoryview, numbers: Collection[int], rename: Callable[[str], str]) -> bytes:
    """Copy a message, and apply `rename` to the fields whose numbers are in `numbers`."""
    parts = []
    for field in protobuf.fields(message):
        number, _, _, content = field
        if number in numbers:
            parts.append(protobuf.bytes_field(number, rename(str(content, "utf-8")).encode()))
        else:
            parts.append(_serialized(field))
    return b"".join(parts)


def _serialized(field: tuple[int, int, int, memoryview]) -> bytes:
    number, wire_type, value, content = field
    if wire_type == protobuf.BYTES:
        return protobuf.bytes_field(number, content)
    if wire_type == protobuf.VARINT:
        return protobuf.varint_field(number, value)
    return protobuf.varint(number << 3 | wire_type) + bytes(content)
