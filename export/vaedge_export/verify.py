"""Prove that two graphs are the model they came from: an ordered list of checks, one typed error each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto
from torch import nn

from vaedge import VAE
from vaedge_export.errors import AgreementError, ExportError, FiniteError, PurityError, SignatureError
from vaedge_export.graphs import OPSET
from vaedge_train.likelihoods import Likelihood

BATCHES = (1, 2, 7, 64)
# Of one, or of the value itself where that is larger: a float32 logit of -145 has neighbours 1.5e-5 away, so no
# absolute bound of 1e-5 can be asked of it.
TOLERANCE = 1e-5
IR_VERSION_LIMIT = 10

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

Array = npt.NDArray[Any]
Compute = Callable[[Mapping[str, Array]], tuple[Array, ...]]
_DTYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


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


def check_modules(
    encoder: nn.Module,
    decoder: nn.Module,
    likelihood: Likelihood,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    told: Mapping[str, Array],
) -> None:
    """Call both modules as they are on batches of 2 and 3, and check what comes back: errors in the user's terms.

    Args:
        encoder: x -> (mean, log_var).
        decoder: z -> the parameters of p(x|z).
        likelihood: p(x|z).
        shapes: of one item of x, and of one z.
        told: values of the conditions, by name.

    Raises:
        ExportError: a module fails.
        SignatureError: what it returns is not what the contract says.
    """
    item, latent = shapes
    pairs = ("mean", "log_var")
    for name, module, taken, given, outputs in (
        ("encoder", encoder, item, latent, pairs),
        ("decoder", decoder, latent, item, likelihood.parameters),
    ):
        for batch in (2, 3):
            conditions = [torch.from_numpy(values[:batch]) for values in told.values()]
            try:
                with torch.no_grad():
                    found = module(torch.zeros(batch, *taken), *conditions)
            except Exception as error:
                said = (str(error) or repr(error)).splitlines()[0]
                more = f" with {', '.join(told)}" if told else ""
                raise ExportError(f"the {name} fails on a batch of shape {(batch, *taken)}{more}: {said}") from error
            tensors = (found,) if isinstance(found, torch.Tensor) else found
            if not isinstance(tensors, tuple | list) or not all(isinstance(part, torch.Tensor) for part in tensors):
                raise SignatureError(f"the {name} returns a {type(found).__name__}; expected {' and '.join(outputs)}")
            if len(tensors) != len(outputs):
                hint = "; split it, for example h.chunk(2, dim=1)" if len(tensors) == 1 else ""
                raise SignatureError(
                    f"the {name} returns {len(tensors)} tensors; expected {len(outputs)}: {', '.join(outputs)}{hint}"
                )
            for output, tensor in zip(outputs, tensors, strict=True):
                if tuple(tensor.shape) != (batch, *given):
                    raise SignatureError(
                        f"the {name}'s {output} has shape {tuple(tensor.shape)} for a batch of {batch}; "
                        f"expected {(batch, *given)}"
                    )


def check_parameters(decoder: nn.Module, likelihood: Likelihood, inputs: Sequence[Array]) -> None:
    """Refuse logits that all lie in [0, 1]: a decoder that ends in a sigmoid returns means, not logits.

    Raises:
        SignatureError: they do. (Logits that merely look like logits cannot be told from wrong ones.)
    """
    if likelihood.parameters == ("logits",):
        with torch.no_grad():
            found = decoder(*map(torch.from_numpy, inputs))
        (logits,) = (found,) if isinstance(found, torch.Tensor) else found
        if float(logits.min()) >= 0 and float(logits.max()) <= 1:
            raise SignatureError(
                f"the decoder's logits all lie in [0, 1], as means do: remove its last sigmoid, for {likelihood.name} "
                "takes logits and applies it itself"
            )


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


def check_purity(content: bytes, name: str) -> None:
    """Check that the graph is one plain, self-contained, deterministic function that says nothing of its maker.

    Raises:
        PurityError: it holds a random operator, a function, a subgraph, external data, metadata, or operators
            or a format outside of what every supported ONNX Runtime runs.
    """
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    versions = {opset.domain: opset.version for opset in model.opset_import}
    if versions != {"": OPSET} or model.ir_version > IR_VERSION_LIMIT:
        raise PurityError(f"{name}: opsets {versions}, IR {model.ir_version}; expected opset {OPSET}, IR <= 10")
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


def check_agreement(
    name: str, outputs: Sequence[str], torch_side: Compute, runtime_side: Compute, inputs: Mapping[str, Array]
) -> dict[str, Difference]:
    """Run both sides on batches of 1, 2, 7 and 64 and compare.

    Args:
        name: "encoder" or "decoder", for the error.
        outputs: names of what both sides return, in order.
        torch_side: the original.
        runtime_side: the graph, under the optimisations that users run.
        inputs: at least 64 rows of each input, by name.

    Returns:
        For each output, over all batches: the greatest absolute difference, the greatest difference as the
        tolerance measures it, and the greatest magnitude.

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
                    raise FiniteError(f"{name}: the {side} yields NaN or infinity in {output} at batch {batch}")
            if expected.shape != found.shape:
                raise AgreementError(f"{name}: {output} has shape {found.shape}, and in torch {expected.shape}")
            difference = Difference.between(expected, found)
            if difference.scaled > TOLERANCE:
                raise AgreementError(
                    f"{name}: {output} differs from torch by {difference.absolute:.1e} at batch {batch}, where values "
                    f"reach {difference.magnitude:.3g}; allowed is {TOLERANCE:.0e} of the value, or of one if larger"
                )
            worst[output] = worst[output].merged(difference)
    return worst


def torch_function(module: torch.nn.Module) -> Compute:
    """Return the module as a function of arrays: named ones in, a tuple out."""

    @torch.no_grad()
    def compute(inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        outputs: Any = module(*map(torch.from_numpy, inputs.values()))
        return tuple(output.numpy() for output in outputs)

    return compute


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
