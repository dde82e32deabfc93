"""Checks on the form of the traced graphs: signature, operators, versions, and reproducible bytes."""

from collections.abc import Mapping

import onnx
from onnx import TensorProto

from vaedge import BundleError
from vaedge.bundle.graph_checks import check_graph
from vaedge_export.errors import DeterminismError, PurityError, SignatureError
from vaedge_export.graphs import IR_VERSION, OPSET
from vaedge_export.networks import Array, Shapes

CONTRIB = "com.microsoft"  # domain of operators that only ONNX Runtime implements; fp32 does not use it

_DTYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}

# Operators whose results are random.
_RANDOM = frozenset(
    {
        "Bernoulli",
        "Dropout",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)


def check_signature(content: bytes, name: str, inputs: Mapping[str, Array], outputs: Shapes) -> None:
    """Check the names, types and shapes of inputs and outputs. Only the batch axis may have a free size.

    Args:
        content: The serialized graph.
        name: Name of the graph, for the error.
        inputs: Dict from the name of each expected input to an (n, ...) array, in order. The values are not used.
        outputs: Dict from the name of each expected output to the shape of one example, in order. Outputs must be
            float32.

    Raises:
        SignatureError: A name, type or shape differs, or the batch axis has a fixed size.
    """
    graph = onnx.load_model_from_string(content).graph
    taken = {input_name: (str(array.dtype), array.shape[1:]) for input_name, array in inputs.items()}
    returned = {output: ("float32", shape) for output, shape in outputs.items()}
    for kind, found, expected in (("input", graph.input, taken), ("output", graph.output, returned)):
        if [value.name for value in found] != list(expected):
            raise SignatureError(f"{name}: {kind}s are {[value.name for value in found]}; expected {list(expected)}")
        for value in found:
            _check_tensor(name, value, *expected[value.name])


def _check_tensor(name: str, value: onnx.ValueInfoProto, dtype: str, shape: tuple[int, ...]) -> None:
    tensor = value.type.tensor_type
    batch, *axes = tensor.shape.dim
    if tensor.elem_type != _DTYPES[dtype]:
        found = TensorProto.DataType.Name(tensor.elem_type).lower()
        raise SignatureError(f"{name}: {value.name} is {found}; expected {dtype}")
    if not batch.dim_param:
        raise SignatureError(
            f"{name}: the batch axis of {value.name} has the fixed size {batch.dim_value}; expected a free size. The "
            "module must not use a fixed batch size: for example, write view(-1, ...)"
        )
    sizes = tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in axes)
    if sizes != shape:
        raise SignatureError(f"{name}: an example of {value.name} has shape {sizes}; expected {shape}")


def check_purity(content: bytes, name: str, *, contrib: bool = False) -> None:
    """Check that the graph is one self-contained, deterministic function without data about the exporting machine.

    Args:
        content: The serialized graph.
        name: Name of the graph, for the error.
        contrib: Whether operators that only ONNX Runtime has are allowed.

    Raises:
        PurityError: The graph is invalid, or it contains a random operator, a function, a subgraph, external data or
            metadata of nodes. The error is also raised if a supported release of ONNX Runtime does not know the
            operators or the format of the graph.
    """
    model = onnx.load_model_from_string(content)
    is_standard = all(node.domain == "" for node in model.graph.node)  # onnx fully checks only standard graphs
    try:
        onnx.checker.check_model(model, full_check=is_standard)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise PurityError(f"{name}: the graph is not valid ONNX: {error}") from error
    versions = {opset.domain: opset.version for opset in model.opset_import}
    if contrib:
        versions.pop(CONTRIB, None)
    if versions != {"": OPSET} or model.ir_version > IR_VERSION:
        raise PurityError(
            f"{name}: opsets are {versions} and IR version is {model.ir_version}; expected opset {OPSET} and an IR "
            f"version of at most {IR_VERSION}"
        )
    if model.functions or model.graph.sparse_initializer:
        raise PurityError(
            f"{name}: the graph contains local functions or sparse tensors; expected plain operators and tensors"
        )
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise PurityError(f"{name}: weights are stored outside the file; expected one self-contained file")
    for node in model.graph.node:
        if node.op_type in _RANDOM:
            raise PurityError(
                f"{name}: the graph draws random numbers ({node.op_type}), but the runtime must draw them. Return mean "
                "and log_var from the encoder, and the parameters of p(x|z) from the decoder"
            )
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise PurityError(f"{name}: the graph contains a subgraph ({node.op_type}); remove the control flow")
        if node.metadata_props or node.doc_string:
            raise PurityError(f"{name}: node {node.name} contains metadata of the machine that traced the graph")
    try:
        check_graph(content, contrib=contrib)  # the runtime applies the same checks before it loads a graph
    except BundleError as error:
        raise PurityError(f"{name}: {error}") from error


def check_same_bytes(name: str, first: bytes, second: bytes) -> None:
    """Check that two traces of the same module are equal, byte for byte.

    Raises:
        DeterminismError: The two traces differ.
    """
    if first != second:
        raise DeterminismError(
            f"{name}: tracing the module twice gave two different graphs; forward() must not change the module"
        )


def has_convolutions(content: bytes) -> bool:
    """Return whether a serialized graph contains convolutions."""
    return any(node.op_type.startswith("Conv") for node in onnx.load_model_from_string(content).graph.node)
