"""One ONNX graph in one session."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from vaedge._types import FloatArray
from vaedge.bundle.signature import Signature, Tensor, tensor
from vaedge.engine.forks import no_fork
from vaedge.errors import InferenceError

_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}


class Graph:
    """One ONNX graph that maps named input arrays to output arrays. Threads may share it.

    Attributes:
        session: The onnxruntime.InferenceSession.
        shapes: Dict from the name of each output to its shape without the batch axis.
        example_elements: Number of elements per example in the largest input or output.
    """

    def __init__(self, session: Any, name: str, signature: Signature) -> None:
        """Wrap a session, and compare its inputs and outputs with a signature.

        `vaedge.bundle.reader` has already compared the shapes that the file declares. ONNX Runtime also infers shapes
        from the operators. This second comparison therefore finds further errors, such as a fixed batch size.

        Args:
            session: An onnxruntime.InferenceSession.
            name: Name of the graph's file, for errors.
            signature: The expected inputs and outputs.

        Raises:
            BundleError: The inputs or outputs of the session differ from the signature.
        """
        signature.require(Signature(_tensors(session.get_inputs()), _tensors(session.get_outputs())), name)
        self.session = session
        self.shapes = {output: shape for output, (_, shape) in signature.outputs.items()}
        tensors = (*signature.inputs.values(), *signature.outputs.values())
        self.example_elements = max(math.prod(shape) for _, shape in tensors)

    def __del__(self) -> None:
        """Destroy the session while no fork can happen."""
        with no_fork():
            self.__dict__.pop("session", None)

    def run(self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> list[FloatArray]:
        """Run the graph on a batch.

        Args:
            inputs: Dict from the name of each input to a C-contiguous array of n rows, with the dtype of the input.
            outputs: Names of the outputs to compute.

        Returns:
            One float32 array of n rows per output.

        Raises:
            InferenceError: ONNX Runtime failed. `__cause__` holds the exception of ONNX Runtime.
        """
        try:
            result: list[FloatArray] = self.session.run(outputs, inputs)
        except Exception as error:  # the exceptions of ONNX Runtime have no common base class
            shapes = ", ".join(f"{name} {array.shape}" for name, array in inputs.items())
            raise InferenceError(f"ONNX Runtime failed on a batch of {shapes}: {error}") from error
        return result


def _tensors(values: Sequence[Any]) -> dict[str, Tensor]:
    """Return a dict from the name of each input or output of a session to its type and shape."""
    return {value.name: tensor(_DTYPES.get(value.type, value.type), value.shape) for value in values}
