"""One ONNX graph in one session."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from vaedge.arrays import FloatArray
from vaedge.bundle.signature import Signature, Tensor, tensor
from vaedge.engine.forks import no_fork
from vaedge.errors import InferenceError


class Graph:
    """One ONNX graph, ready to run: named arrays in, named arrays out. Safe to share between threads.

    Attributes:
        session: the onnxruntime.InferenceSession.
        shapes: of the outputs, by name, without the batch axis.
        item_elements: how many numbers the largest input or output has for each item.
    """

    def __init__(self, session: Any, name: str, signature: Signature) -> None:
        """Take a session, whose inputs and outputs must be as the signature says.

        Args:
            session: an onnxruntime.InferenceSession.
            name: of the graph's file, for errors.
            signature: what is expected.

        Raises:
            BundleError: they are not.
        """
        signature.require(Signature(_tensors(session.get_inputs()), _tensors(session.get_outputs())), name)
        self.session = session
        self.shapes = {output: shape for output, (_, shape) in signature.outputs.items()}
        every = (*signature.inputs.values(), *signature.outputs.values())
        self.item_elements = max(math.prod(shape) for _, shape in every)

    def __del__(self) -> None:
        """Take the session apart while nobody forks."""
        with no_fork():
            self.__dict__.pop("session", None)

    def run(self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> list[FloatArray]:
        """Run the graph on a batch.

        Args:
            inputs: by name, C-contiguous, (n, *its shape), of its type.
            outputs: names of the outputs to compute, each (n, *its shape) float32.

        Raises:
            InferenceError: ONNX Runtime failed; its exception is the cause.
        """
        try:
            result: list[FloatArray] = self.session.run(outputs, inputs)
        except Exception as error:  # its exceptions share no base class
            shapes = ", ".join(f"{name} {array.shape}" for name, array in inputs.items())
            raise InferenceError(f"ONNX Runtime failed on a batch of {shapes}: {error}") from error
        return result


def _tensors(values: Sequence[Any]) -> dict[str, Tensor]:
    """Describe a session's inputs or outputs."""
    known = {"tensor(float)": "float32", "tensor(int64)": "int64"}
    return {value.name: tensor(known.get(value.type, value.type), value.shape) for value in values}
