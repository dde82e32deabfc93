"""Checks on the graphs: their form, and that they compute what the modules do."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import onnx
from onnx import TensorProto

from vaedge import VAE, BundleError
from vaedge.bundle.graph_checks import check_graph
from vaedge_export.checks.modules import Compute
from vaedge_export.errors import AgreementError, DeterminismError, FiniteError, PurityError, SignatureError
from vaedge_export.examples import Array
from vaedge_export.graphs import IR_VERSION, OPSET

BATCHES = (1, 2, 7, 64)
# Of one, or of the value itself where that is larger: a float32 logit of -145 has neighbours 1.5e-5 away, so no
# absolute bound of 1e-5 can be asked of it. Convolutions add up thousands of products, in another order than torch.
TOLERANCE = 1e-5
CONVOLUTION_TOLERANCE = 1e-4
CONTRIB = "com.microsoft"  # the domain of what only ONNX Runtime has; for variants alone

_DTYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}

# Their results depend on more than their inputs, so a graph that holds one is no function of x or z.
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


@dataclass(frozen=True)
class Difference:
    """How far two arrays are apart.

    Attributes:
        absolute: greatest |found - expected|.
        scaled: greatest |found - expected| / max(1, |expected|), which is what the tolerance bounds.
        magnitude: greatest |expected|.
    """

    absolute: float = 0.0
    scaled: float = 0.0
    magnitude: float = 0.0

    @classmethod
    def between(cls, expected: Array, found: Array) -> "Difference":
        """Compare two arrays of one shape."""
        distance, size = np.abs(found - expected), np.abs(expected)
        return cls(float(distance.max()), float((distance / np.maximum(1, size)).max()), float(size.max()))

    def merged(self, other: "Difference") -> "Difference":
        """Return the worse of the two, figure by figure."""
        return Difference(*map(max, astuple(self), astuple(other)))


def check_signature(
    content: bytes, name: str, inputs: Mapping[str, Array], outputs: Mapping[str, tuple[int, ...]]
) -> None:
    """Check names, types, shapes, and that the batch is the only free axis.

    Args:
        content: the serialised graph.
        name: "encoder" or "decoder", for the error.
        inputs: a batch of each input, by the expected name, in order.
        outputs: the expected names and item shapes of the outputs, which are float32, in order.

    Raises:
        SignatureError: something differs.
    """
    graph = onnx.load_model_from_string(content).graph
    taken = {input_name: (str(array.dtype), array.shape[1:]) for input_name, array in inputs.items()}
    given = {output: ("float32", shape) for output, shape in outputs.items()}
    for kind, found, expected in (("input", graph.input, taken), ("output", graph.output, given)):
        if [value.name for value in found] != list(expected):
            raise SignatureError(f"{name}: {kind}s are {[value.name for value in found]}; expected {list(expected)}")
        for value in found:
            tensor = value.type.tensor_type
            batch, *item = tensor.shape.dim
            dtype, shape = expected[value.name]
            if tensor.elem_type != _DTYPES[dtype]:
                elem_type = TensorProto.DataType.Name(tensor.elem_type).lower()
                raise SignatureError(f"{name}: {value.name} is {elem_type}; expected {dtype}")
            if not batch.dim_param:
                raise SignatureError(
                    f"{name}: the batch of {value.name} is frozen at {batch.dim_value}; "
                    "the module must not fix it, for example by a view with a number in place of -1"
                )
            sizes = tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in item)
            if sizes != shape:
                raise SignatureError(f"{name}: an item of {value.name} has shape {sizes}; expected {shape}")


def check_purity(content: bytes, name: str, *, contrib: bool = False) -> None:
    """Check that the graph is one plain, self-contained, deterministic function that says nothing of its maker.

    Args:
        content: the serialised graph.
        name: for the error.
        contrib: whether operators that only ONNX Runtime has are allowed.

    Raises:
        PurityError: it holds a random operator, a function, a subgraph, external data, metadata, or operators
            or a format outside of what every supported ONNX Runtime runs.
    """
    model = onnx.load_model_from_string(content)
    plain = all(node.domain == "" for node in model.graph.node)  # of others the checker knows nothing
    try:
        onnx.checker.check_model(model, full_check=plain)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise PurityError(f"{name}: it is not a valid ONNX graph: {error}") from error
    versions = {opset.domain: opset.version for opset in model.opset_import}
    if contrib:
        versions.pop(CONTRIB, None)
    if versions != {"": OPSET} or model.ir_version > IR_VERSION:
        raise PurityError(
            f"{name}: opsets {versions}, IR {model.ir_version}; expected opset {OPSET}, IR <= {IR_VERSION}"
        )
    if model.functions or model.graph.sparse_initializer:
        raise PurityError(f"{name}: it holds local functions or sparse tensors")
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise PurityError(f"{name}: weights lie outside the file")
    for node in model.graph.node:
        if node.op_type in _RANDOM:
            raise PurityError(
                f"{name}: it draws random numbers inside ({node.op_type}); return mean and log_var, or parameters: "
                "the runtime draws the noise"
            )
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise PurityError(f"{name}: it holds a subgraph ({node.op_type}); remove the control flow")
        if node.metadata_props or node.doc_string:
            raise PurityError(f"{name}: node {node.name} still carries metadata of the machine that traced it")
    try:
        check_graph(content, contrib=contrib)  # what the runtime will refuse is refused here already
    except BundleError as error:
        raise PurityError(f"{name}: {error}") from error


def check_same_bytes(name: str, first: bytes, second: bytes) -> None:
    """Check that tracing the module again gave the same file.

    Raises:
        DeterminismError: it did not.
    """
    if first != second:
        raise DeterminismError(f"{name}: tracing the module twice gave two different graphs: does it change itself?")


def has_convolutions(content: bytes) -> bool:
    """Say whether a graph convolves."""
    return any(node.op_type.startswith("Conv") for node in onnx.load_model_from_string(content).graph.node)


def check_agreement(
    name: str,
    outputs: Sequence[str],
    torch_side: Compute,
    runtime_side: Compute,
    inputs: Mapping[str, Array],
    tolerance: float,
) -> dict[str, Difference]:
    """Run both sides on batches of 1, 2, 7 and 64 and compare.

    Args:
        name: "encoder" or "decoder", for the error.
        outputs: names of what both sides return, in order.
        torch_side: the original.
        runtime_side: the graph, under the optimisations that users run.
        inputs: at least 64 rows of each input, by name.
        tolerance: of the value, or of one where the value is smaller.

    Returns:
        For each output the worst difference over all batches.

    Raises:
        FiniteError: an output is NaN or infinite.
        AgreementError: a difference exceeds the tolerance.
    """
    worst = {output: Difference() for output in outputs}
    for batch in BATCHES:
        rows = {tensor: array[:batch] for tensor, array in inputs.items()}
        for output, expected, found in zip(outputs, torch_side(rows), runtime_side(rows), strict=True):
            for side, array in (("torch module", expected), ("graph", found)):
                if not np.isfinite(array).all():
                    raise FiniteError(f"the {name}: the {side} yields NaN or infinity in {output} at batch {batch}")
            if expected.shape != found.shape:
                raise AgreementError(f"{name}: {output} has shape {found.shape}, and in torch {expected.shape}")
            difference = Difference.between(expected, found)
            if difference.scaled > tolerance:
                raise AgreementError(
                    f"{name}: {output} differs from torch by {difference.absolute:.1e} at batch {batch}, where values "
                    f"reach {difference.magnitude:.3g}; allowed is {tolerance:.0e} of the value, or of one if larger"
                )
            worst[output] = worst[output].merged(difference)
    return worst


def runtime_encoder(vae: VAE) -> Compute:
    """Return `vae.encode` as a function of arrays."""

    def compute(inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        posterior = vae.encode(**inputs)
        return posterior.mean, posterior.log_var

    return compute


def runtime_decoder(vae: VAE) -> Compute:
    """Return `vae.decode` and `vae.parameters` as one function of arrays."""

    def compute(inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        return vae.decode(**inputs), *vae.parameters(**inputs).values()

    return compute
