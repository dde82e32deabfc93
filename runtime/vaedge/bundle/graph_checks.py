"""Check the content of a graph before ONNX Runtime reads it.

An ONNX file can hold content that no VAE needs and that can do harm. Examples are functions that expand exponentially,
loops, external files, and operators that create large tensors from a few bytes or draw random numbers. The tables below
list the allowed content for each message type of onnx.proto. Any other field, operator or size is an error.
"""

import math
from collections.abc import Mapping
from typing import Any

from vaedge.bundle import protobuf
from vaedge.errors import BundleError

IR_VERSIONS = range(8, 11)
OPSETS = range(17, 21)
MAX_NODES = 20_000
MAX_ELEMENTS = 2**28  # maximum for a tensor; a constant that may be a shape must not describe a larger tensor either
MAX_CONCATENATED = 64  # maximum number of inputs of all Concat nodes together; each node could double a tensor's size
MAX_SHAPE_AXES = 16  # int64 constants with more elements are not treated as shapes
_SENTINEL = 2**62  # integers from this value on are not sizes; in Slice, for example, they mean "to the end"
_CONTRIB_DOMAIN = "com.microsoft"

# The allowed fields of each message type: dict from field number to wire type. Lists of numbers may also be packed into
# one field.
_MODEL = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2}
_OPERATOR_SET = {1: 2, 2: 0}
_GRAPH = {1: 2, 2: 2, 5: 2, 10: 2, 11: 2, 12: 2, 13: 2, 16: 2}
_NODE = {1: 2, 2: 2, 3: 2, 4: 2, 5: 2, 6: 2, 7: 2}
_ATTRIBUTE = {1: 2, 2: 5, 3: 0, 4: 2, 5: 2, 7: 5, 8: 0, 9: 2, 13: 2, 20: 0}  # no graphs, sparse tensors, or types
_TENSOR = {1: 0, 2: 0, 8: 2, 9: 2, 12: 2, 14: 0}  # elements only in raw_data, not in other fields or files
_PACKED = {7: 5, 8: 0, 1: 0}

# Size of an element in bytes, by element type: float32, uint8, int8, int32, int64, bool, float16.
_ELEMENT_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2}
_INT64 = 7

_OPERATOR_NAMES = """
Abs Add And AveragePool BatchNormalization Cast Ceil Celu Clip Concat Constant Conv ConvTranspose Cos DepthToSpace
DequantizeLinear Div DynamicQuantizeLinear Elu Equal Erf Exp Expand Flatten Floor Gather Gelu Gemm GlobalAveragePool
Greater GreaterOrEqual HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Less
LessOrEqual Log LogSoftmax MatMul MatMulInteger Max MaxPool Min Mish Mul Neg Not Or PRelu Pad Pow QuantizeLinear
Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Resize Round Selu Shape Sigmoid Sign Sin
Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze Where
"""
_OPERATORS = frozenset(_OPERATOR_NAMES.split())
_CONTRIB_OPERATORS = frozenset({"MatMulNBits", "DequantizeLinear", "QuantizeLinear"})


def check_graph(content: bytes, *, contrib: bool) -> None:
    """Check that a serialized ONNX model has only allowed content.

    Args:
        content: The serialized model.
        contrib: Whether operators of ONNX Runtime's domain `com.microsoft` are allowed. Quantized variants use them.

    Raises:
        BundleError: The bytes are not a model, or the model has content that is not allowed. The message names the
            content.
    """
    model = _read(memoryview(content), "the model", _MODEL)
    (version,), graphs = model.get(1, [0])[-1:], model.get(7, [])
    if version not in IR_VERSIONS:
        raise BundleError(
            f"IR version {version} is not allowed; expected {IR_VERSIONS.start} to {IR_VERSIONS.stop - 1}"
        )
    if len(graphs) != 1:
        raise BundleError(f"the model holds {len(graphs)} graphs; expected one")
    for message in model.get(8, []):
        operator_set = _read(message, "an operator set", _OPERATOR_SET)
        domain, number = _text(operator_set, 1), operator_set.get(2, [0])[-1]
        if not (domain == "" and number in OPSETS) and not (domain == _CONTRIB_DOMAIN and contrib and number == 1):
            raise BundleError(f"operator set {domain or 'ai.onnx'} {number} is not allowed")
    graph = _read(graphs[0], "the graph", _GRAPH)
    nodes = graph.get(1, [])
    if len(nodes) > MAX_NODES:
        raise BundleError(f"the graph has {len(nodes):,} nodes; at most {MAX_NODES:,} are allowed")
    for tensor in graph.get(5, []):
        _check_tensor(tensor)
    concatenated = sum(_check_node(node, contrib) for node in nodes)
    if concatenated > MAX_CONCATENATED:
        raise BundleError(f"the graph concatenates {concatenated} tensors; at most {MAX_CONCATENATED} are allowed")


def _check_node(message: memoryview, contrib: bool) -> int:
    """Check one node of the graph. Return the number of its inputs if its operator is Concat, otherwise 0."""
    node = _read(message, "a node", _NODE)
    operator, domain = _text(node, 4), _text(node, 7)
    known = _OPERATORS if domain == "" else _CONTRIB_OPERATORS if contrib and domain == _CONTRIB_DOMAIN else frozenset()
    if operator not in known:
        raise BundleError(f"the operator {f'{domain}.' if domain else ''}{operator} is not allowed")
    for attribute in node.get(5, []):
        tensors = _read(attribute, f"an attribute of {operator}", _ATTRIBUTE).get(5, [])
        if len(tensors) > 1:  # protobuf would merge them into one tensor
            raise BundleError(f"an attribute of {operator} holds {len(tensors)} tensors; expected one")
        for tensor in tensors:
            _check_tensor(tensor)
    return len(node.get(1, [])) if operator == "Concat" else 0


def _check_tensor(message: memoryview) -> None:
    tensor = _read(message, "a tensor", _TENSOR)
    name, element_type, raw = _text(tensor, 8), tensor.get(2, [0])[-1], tensor.get(9, [b""])
    if element_type not in _ELEMENT_BYTES:
        raise BundleError(f"the tensor {name!r} has elements of type {element_type}, which is not allowed")
    if tensor.get(14, [0])[-1]:
        raise BundleError(f"the tensor {name!r} is stored in another file, which is not allowed")
    elements = math.prod(tensor.get(1, []))
    if elements > MAX_ELEMENTS or len(raw) != 1 or len(raw[0]) != elements * _ELEMENT_BYTES[element_type]:
        raise BundleError(
            f"the tensor {name!r} has {sum(map(len, raw)):,} bytes, which do not match its {elements:,} elements"
        )
    if element_type == _INT64 and elements <= MAX_SHAPE_AXES:
        sizes = memoryview(bytes(raw[0])).cast("q")
        if math.prod(abs(size) for size in sizes if 0 < abs(size) < _SENTINEL) > MAX_ELEMENTS:
            raise BundleError(
                f"the constant {name!r} could be used as the shape of a tensor with more than {MAX_ELEMENTS:,} elements"
            )


def _read(message: memoryview, description: str, allowed: Mapping[int, int]) -> dict[int, list[Any]]:
    """Read a protobuf message. Return a dict from each field number to a list of values: integers or views of bytes."""
    found: dict[int, list[Any]] = {}
    for number, wire_type, value, content in protobuf.fields(message):
        if number not in allowed:
            raise BundleError(f"{description} has the field {number}, which is not allowed in a bundle")
        values = found.setdefault(number, [])
        if wire_type == allowed[number]:
            values.append(value if wire_type == protobuf.VARINT else content)
        elif wire_type == protobuf.BYTES and _PACKED.get(number) == allowed[number]:
            values += protobuf.packed_varints(content) if allowed[number] == protobuf.VARINT else [content]
        else:
            raise BundleError(f"field {number} of {description} has the wrong wire type {wire_type}")
    return found


def _text(message: Mapping[int, list[Any]], number: int) -> str:
    try:
        return str(message[number][-1], "utf-8") if number in message else ""
    except UnicodeDecodeError as error:
        raise BundleError("a name in the graph is not UTF-8 text") from error
