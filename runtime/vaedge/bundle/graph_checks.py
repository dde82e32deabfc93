"""What may reach ONNX Runtime: a graph is walked, byte by byte, before any session is made of it.

ONNX can say far more than a VAE needs: functions that double sixteen times over, loops, files beside the graph, tensors
of any size in a few bytes, operators that draw random numbers. A bundle's graphs hold none of that. What they do hold
is listed here, message by message of onnx.proto; a field, an operator or a size that is not is an error.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from vaedge.bundle import protobuf as wire
from vaedge.errors import BundleError

_IR_VERSIONS = range(8, 11)
_OPSETS = range(17, 21)
_CONTRIB = "com.microsoft"
_MOST_NODES = 20_000
_MOST_ELEMENTS = 2**28  # of one tensor, and of any shape that a constant asks for
_MOST_CONCATENATED = 64  # inputs of all Concats together: each could double what the one before it made
_MOST_SIZES = 16  # elements up to which an int64 constant may be a shape
_END = 2**62  # beyond it a number is no size, but Slice's word for the end

# The fields of each message that may occur: by number, their wire type. Repeated numbers may come packed, as bytes.
_MODEL = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2}
_OPSET = {1: 2, 2: 0}
_GRAPH = {1: 2, 2: 2, 5: 2, 10: 2, 11: 2, 12: 2, 13: 2, 16: 2}
_NODE = {1: 2, 2: 2, 3: 2, 4: 2, 5: 2, 6: 2, 7: 2}
_ATTRIBUTE = {1: 2, 2: 5, 3: 0, 4: 2, 5: 2, 7: 5, 8: 0, 9: 2, 13: 2, 20: 0}  # no graphs, no sparse tensors, no types
_TENSOR = {1: 0, 2: 0, 8: 2, 9: 2, 12: 2, 14: 0}  # elements as plain bytes alone; nothing in another file
_PACKED = {7: 5, 8: 0, 1: 0}

# Bytes of an element, by the number of its type: float32, uint8, int8, int32, int64, bool, float16.
_ELEMENT_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2}
_INT64 = 7

_OPERATORS = frozenset(
    re.findall(
        r"\w+",
        """
        Abs Add And AveragePool BatchNormalization Cast Ceil Celu Clip Concat Constant Conv ConvTranspose Cos
        DepthToSpace DequantizeLinear Div DynamicQuantizeLinear Elu Equal Erf Exp Expand Flatten Floor Gather Gelu Gemm
        GlobalAveragePool Greater GreaterOrEqual HardSigmoid HardSwish Identity InstanceNormalization
        LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul MatMulInteger Max MaxPool Min Mish Mul Neg
        Not Or PRelu Pad Pow QuantizeLinear Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape
        Resize Round Selu Shape Sigmoid Sign Sin Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub
        Tanh Transpose Unsqueeze Where
        """,
    )
)
_CONTRIB_OPERATORS = frozenset({"MatMulNBits", "DequantizeLinear", "QuantizeLinear"})


def check_graph(content: bytes, *, contrib: bool) -> None:
    """Walk one serialised model.

    Args:
        content: the bytes that a session would be made of.
        contrib: whether operators that only ONNX Runtime has are allowed, as smaller variants have them.

    Raises:
        BundleError: it is no model, or holds anything that a bundle's graphs do not; the message says what.
    """
    model = _read(memoryview(content), "the model", _MODEL)
    (version,), graphs = model.get(1, [0])[-1:], model.get(7, [])
    if version not in _IR_VERSIONS:
        raise BundleError(f"IR version {version} is not from {_IR_VERSIONS.start} to {_IR_VERSIONS.stop - 1}")
    if len(graphs) != 1:
        raise BundleError(f"it holds {len(graphs)} graphs; expected one")
    for message in model.get(8, []):
        opset = _read(message, "an operator set", _OPSET)
        domain, number = _text(opset, 1), opset.get(2, [0])[-1]
        if not (domain == "" and number in _OPSETS) and not (domain == _CONTRIB and contrib and number == 1):
            raise BundleError(f"operator set {domain or 'ai.onnx'} {number} is not allowed")
    graph = _read(graphs[0], "the graph", _GRAPH)
    nodes = graph.get(1, [])
    if len(nodes) > _MOST_NODES:
        raise BundleError(f"it has {len(nodes):,} nodes; at most {_MOST_NODES:,} are allowed")
    for tensor in graph.get(5, []):
        _check_tensor(tensor)
    concatenated = sum(_check_node(node, contrib) for node in nodes)
    if concatenated > _MOST_CONCATENATED:
        raise BundleError(f"it concatenates {concatenated} tensors; at most {_MOST_CONCATENATED} are allowed")


def _check_node(message: memoryview, contrib: bool) -> int:
    """Check one node, and return how many tensors it concatenates."""
    node = _read(message, "a node", _NODE)
    operator, domain = _text(node, 4), _text(node, 7)
    known = _OPERATORS if domain == "" else _CONTRIB_OPERATORS if contrib and domain == _CONTRIB else frozenset()
    if operator not in known:
        raise BundleError(f"the operator {f'{domain}.' if domain else ''}{operator} is not allowed")
    for attribute in node.get(5, []):
        tensors = _read(attribute, f"an attribute of {operator}", _ATTRIBUTE).get(5, [])
        if len(tensors) > 1:  # protobuf would make one of them all
            raise BundleError(f"an attribute of {operator} holds {len(tensors)} tensors; expected one")
        for tensor in tensors:
            _check_tensor(tensor)
    return len(node.get(1, [])) if operator == "Concat" else 0


def _check_tensor(message: memoryview) -> None:
    tensor = _read(message, "a tensor", _TENSOR)
    name, kind, raw = _text(tensor, 8), tensor.get(2, [0])[-1], tensor.get(9, [b""])
    if kind not in _ELEMENT_BYTES:
        raise BundleError(f"the tensor {name!r} has elements of type {kind}, which is not allowed")
    if tensor.get(14, [0])[-1]:
        raise BundleError(f"the tensor {name!r} lies in another file")
    elements = math.prod(tensor.get(1, []))
    if elements > _MOST_ELEMENTS or len(raw) != 1 or len(raw[0]) != elements * _ELEMENT_BYTES[kind]:
        raise BundleError(f"the tensor {name!r} has {sum(map(len, raw)):,} bytes, which are not {elements:,} elements")
    if kind == _INT64 and elements <= _MOST_SIZES:
        sizes = memoryview(bytes(raw[0])).cast("q")
        if math.prod(abs(size) for size in sizes if 0 < abs(size) < _END) > _MOST_ELEMENTS:
            raise BundleError(f"the constant {name!r} could be a shape of more than {_MOST_ELEMENTS:,} elements")


def _read(message: memoryview, what: str, allowed: Mapping[int, int]) -> dict[int, list[Any]]:
    """Return the values of a message's fields: numbers, or bytes without a copy."""
    found: dict[int, list[Any]] = {}
    for number, kind, value, content in wire.fields(message):
        if number not in allowed:
            raise BundleError(f"{what} has the field {number}, which no graph of a bundle has")
        values = found.setdefault(number, [])
        if kind == allowed[number]:
            values.append(value if kind == wire.VARINT else content)
        elif kind == wire.BYTES and _PACKED.get(number) == allowed[number]:
            values += wire.packed(content) if allowed[number] == wire.VARINT else [content]
        else:
            raise BundleError(f"field {number} of {what} has the wire type {kind}")
    return found


def _text(message: Mapping[int, list[Any]], number: int) -> str:
    try:
        return str(message[number][-1], "utf-8") if number in message else ""
    except UnicodeDecodeError as error:
        raise BundleError("a name is not UTF-8 text") from error
