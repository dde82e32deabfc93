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
    """One ONNX graph, ready to run: named arrays in, named arrays out. Threads may share it.

    Attributes:
        session: The onnxruntime.InferenceSession.
        shapes: Shapes of the outputs by name, without the batch axis.
        example_elements: Number of elements of the largest input or output, for one example.
    """

    def __init__(self, session: Any, name: str, signature: Signature) -> None:
        """Wrap a session whose inputs and outputs must be those of the signature.

        The reader has compared what the file declares. ONNX Runtime merges the declared shapes with those that it
        infers from the operators, so this comparison also finds, for example, operators that fix the batch size.

        Args:
            session: An onnxruntime.InferenceSession.
            name: Name of the graph's file, for errors.
            signature: The expected inputs and outputs.

        Raises:
            BundleError: The inputs or outputs are different.
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
            inputs: The inputs by name, each C-contiguous, (n, *its shape), of its dtype.
            outputs: Names of the outputs to compute, each (n, *its shape) float32.

        Raises:
            InferenceError: ONNX Runtime failed; its exception is the cause.
        """
        try:
            result: list[FloatArray] = self.session.run(outputs, inputs)
        except Exception as error:  # its exceptions have no common base class
            shapes = ", ".join(f"{name} {array.shape}" for name, array in inputs.items())
            raise InferenceError(f"ONNX Runtime failed on a batch of {shapes}: {error}") from error
        return result


def _tensors(values: Sequence[Any]) -> dict[str, Tensor]:
    """Return the types and shapes of a session's inputs or outputs."""
    return {value.name: tensor(_DTYPES.get(value.type, value.type), value.shape) for value in values}
