"""What goes into each graph and what comes out: as the manifest says, and as the graph itself declares."""

from collections.abc import Mapping
from dataclasses import dataclass

from vaedge.bundle import protobuf as wire
from vaedge.bundle.manifest import Manifest
from vaedge.errors import BundleError

Tensor = tuple[str, tuple[int, ...]]  # type, and shape without the batch axis

# Numbers of fields in onnx.proto: of a model, a graph, a value, its type, its tensor type, its shape, and one axis.
_MODEL_GRAPH, _GRAPH_INPUT, _GRAPH_OUTPUT = 7, 11, 12
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_ELEMENT, _TENSOR_SHAPE, _SHAPE_AXIS, _AXIS_SIZE, _AXIS_NAME = (
    1,
    2,
    1,
    1,
    2,
    1,
    1,
    2,
)
_DTYPES = {1: "float32", 7: "int64"}


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a graph, by name and in their order; each has a batch axis of any size in front.

    Attributes:
        inputs: types and shapes.
        outputs: likewise.
    """

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    def require(self, found: "Signature", name: str) -> None:
        """Raise BundleError, which names the graph, unless what was found is this."""
        if [*found.inputs.items(), *found.outputs.items()] != [*self.inputs.items(), *self.outputs.items()]:
            raise BundleError(f"{name} has the tensors {found}, where the manifest says {self}")

    def __str__(self) -> str:
        def shown(tensors: Mapping[str, Tensor]) -> str:
            return ", ".join(f"{name} {dtype} {shape}" for name, (dtype, shape) in tensors.items())

        return f"{shown(self.inputs)} -> {shown(self.outputs)}"


def encoder_signature(manifest: Manifest) -> Signature:
    """Return that of x, conditions -> mean, log_var."""
    latent = "float32", manifest.latent_shape
    return Signature({"x": ("float32", manifest.input_shape), **_told(manifest)}, {"mean": latent, "log_var": latent})


def decoder_signature(manifest: Manifest) -> Signature:
    """Return that of z, conditions -> x, and the parameters of p(x|z)."""
    item = "float32", manifest.input_shape
    inputs = {"z": ("float32", manifest.latent_shape), **_told(manifest)}
    return Signature(inputs, {"x": item, **dict.fromkeys(manifest.parameters, item)})


def declared_signature(model: bytes) -> Signature:
    """Read what a serialised model, which the gate has let through, declares.

    Raises:
        BundleError: its bytes are no such declaration.
    """
    (graph,) = _fields(memoryview(model), _MODEL_GRAPH)
    return Signature(
        dict(map(_declared, _fields(graph, _GRAPH_INPUT))), dict(map(_declared, _fields(graph, _GRAPH_OUTPUT)))
    )


def tensor(element: str, shape: list[int | str]) -> Tensor:
    """Describe a tensor; one whose batch axis is of fixed size, or that has none, becomes what no signature holds."""
    batch, *item = shape or [0]
    sizes = tuple(size if isinstance(size, int) else 0 for size in item)
    return (element if isinstance(batch, str) else f"{element}, batch of fixed size,"), sizes


def _told(manifest: Manifest) -> dict[str, Tensor]:
    return {name: (condition.dtype, condition.shape) for name, condition in manifest.conditions.items()}


def _declared(value: memoryview) -> tuple[str, Tensor]:
    kinds = [kind for type_ in _fields(value, _VALUE_TYPE) for kind in _fields(type_, _TYPE_TENSOR)]
    elements = [number for kind in kinds for field, _, number, _ in wire.fields(kind) if field == _TENSOR_ELEMENT]
    axes = [axis for kind in kinds for shape in _fields(kind, _TENSOR_SHAPE) for axis in _fields(shape, _SHAPE_AXIS)]
    sizes: list[int | str] = [
        next((size for field, _, size, _ in wire.fields(axis) if field == _AXIS_SIZE), "any") for axis in axes
    ]
    (name,) = _fields(value, _VALUE_NAME)[-1:] or [value[:0]]
    try:
        for text in (name, *(part for axis in axes for part in _fields(axis, _AXIS_NAME))):
            str(text, "utf-8")
    except UnicodeDecodeError as error:
        raise BundleError("a name of an input, an output or an axis is not UTF-8 text") from error
    element = elements[-1] if elements else 0
    return str(name, "utf-8"), tensor(_DTYPES.get(element, f"element type {element}"), sizes)


def _fields(message: memoryview, number: int) -> list[memoryview]:
    return [content for field, _, _, content in wire.fields(message) if field == number]
