"""The inputs and outputs of a graph: those that the manifest requires, and those that the graph declares."""

from collections.abc import Mapping
from dataclasses import dataclass

from vaedge.bundle import protobuf
from vaedge.bundle.manifest import Manifest
from vaedge.errors import BundleError

Tensor = tuple[str, tuple[int, ...]]  # the element type, and the shape without the batch axis

# Field numbers of onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_INPUT, _GRAPH_OUTPUT = 11, 12
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 2
_SHAPE_AXIS = 1
_AXIS_SIZE, _AXIS_NAME = 1, 2

_DTYPES = {1: "float32", 7: "int64"}


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a graph, in their order. The first axis of each tensor is the batch, of any size.

    Attributes:
        inputs: Dict from the name of each input to a pair: element type, and shape without the batch axis.
        outputs: Dict from the name of each output to a pair: element type, and shape without the batch axis.
    """

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    def require(self, found: "Signature", name: str) -> None:
        """Raise an error if another signature differs from this one.

        Args:
            found: The signature of a graph.
            name: Name of the graph's file, for the error.

        Raises:
            BundleError: The signatures differ.
        """
        pairs = (found.inputs, self.inputs), (found.outputs, self.outputs)
        # Lists are compared, because comparing dicts would ignore the order.
        if any(list(one.items()) != list(other.items()) for one, other in pairs):
            raise BundleError(f"{name} has the tensors {found}; the manifest requires {self}")

    def __str__(self) -> str:
        def describe(tensors: Mapping[str, Tensor]) -> str:
            return ", ".join(f"{name} {dtype} {shape}" for name, (dtype, shape) in tensors.items())

        return f"{describe(self.inputs)} -> {describe(self.outputs)}"


def encoder_signature(manifest: Manifest) -> Signature:
    """Return the signature of the encoder, which maps x and the conditions to mean and log_var."""
    latent = "float32", manifest.latent_shape
    inputs = {"x": ("float32", manifest.input_shape), **_condition_tensors(manifest)}
    return Signature(inputs, {"mean": latent, "log_var": latent})


def decoder_signature(manifest: Manifest) -> Signature:
    """Return the signature of the decoder, which maps z and the conditions to x and the parameters of p(x|z)."""
    example = "float32", manifest.input_shape
    inputs = {"z": ("float32", manifest.latent_shape), **_condition_tensors(manifest)}
    return Signature(inputs, {"x": example, **dict.fromkeys(manifest.parameters, example)})


def declared_signature(model: bytes) -> Signature:
    """Read the signature that a serialized model declares.

    Args:
        model: A model that `check_graph` has accepted.

    Raises:
        BundleError: The declaration is malformed.
    """
    (graph,) = _messages(memoryview(model), _MODEL_GRAPH)
    inputs, outputs = _messages(graph, _GRAPH_INPUT), _messages(graph, _GRAPH_OUTPUT)
    return Signature(dict(map(_declared_tensor, inputs)), dict(map(_declared_tensor, outputs)))


def tensor(element_type: str, shape: list[int | str]) -> Tensor:
    """Describe a tensor of a graph.

    Args:
        element_type: Element type of the tensor.
        shape: Shape of the tensor with the batch axis. A string means an axis of any size.

    Returns:
        The element type as a text, and the shape without the batch axis. If the batch axis is missing or has a fixed
        size, the text also states this, so that the comparison with the manifest fails.
    """
    batch, *example = shape or [0]
    sizes = tuple(size if isinstance(size, int) else 0 for size in example)
    return (element_type if isinstance(batch, str) else f"{element_type}, batch of fixed size,"), sizes


def _condition_tensors(manifest: Manifest) -> dict[str, Tensor]:
    return {name: (condition.dtype, condition.shape) for name, condition in manifest.conditions.items()}


def _declared_tensor(value: memoryview) -> tuple[str, Tensor]:
    types = [found for declared in _messages(value, _VALUE_TYPE) for found in _messages(declared, _TYPE_TENSOR)]
    elements = [
        element for found in types for number, _, element, _ in protobuf.fields(found) if number == _TENSOR_ELEMENT
    ]
    axes = [
        axis for found in types for shape in _messages(found, _TENSOR_SHAPE) for axis in _messages(shape, _SHAPE_AXIS)
    ]
    sizes: list[int | str] = [
        next((size for number, _, size, _ in protobuf.fields(axis) if number == _AXIS_SIZE), "any") for axis in axes
    ]
    (name,) = _messages(value, _VALUE_NAME)[-1:] or [value[:0]]
    try:
        for text in (name, *(part for axis in axes for part in _messages(axis, _AXIS_NAME))):
            str(text, "utf-8")
    except UnicodeDecodeError as error:
        raise BundleError("a name of an input, an output or an axis is not UTF-8 text") from error
    element = elements[-1] if elements else 0
    return str(name, "utf-8"), tensor(_DTYPES.get(element, f"element type {element}"), sizes)


def _messages(message: memoryview, number: int) -> list[memoryview]:
    """Return the content of each field with the given number in a message."""
    return [content for found, _, _, content in protobuf.fields(message) if found == number]
