"""The encoder and the decoder of an export, as functions of named arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from vaedge.bundle.reference import Inputs
from vaedge_train.model.likelihoods import Likelihood

Array = npt.NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Network:
    """One of the two networks, in the form that is traced.

    Attributes:
        name: "encoder" or "decoder".
        module: Module that takes the inputs in order and returns the outputs in order.
        main_input: Name of the first input, "x" or "z". The conditions are the further inputs.
        outputs: Dict from the name of each output to the shape of one example, in order. All outputs are float32.
    """

    name: str
    module: nn.Module
    main_input: str
    outputs: Shapes

    def inputs(self, examples: Inputs) -> dict[str, Array]:
        """Return a dict from the name of each input of this network to the array, in order."""
        main = {"x": examples.x, "z": examples.z}[self.main_input]
        return {self.main_input: main, **examples.conditions}

    def compute(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the module in PyTorch.

        Args:
            inputs: Result of `Network.inputs`: a dict from name to (n, ...) array.

        Returns:
            Dict from the name of each output to an (n, ...) array.
        """
        found = [output.detach().numpy() for output in call(self.module, inputs)]
        return dict(zip(self.outputs, found, strict=True))


class DecoderWithMean(nn.Module):
    """A decoder that also returns the mean of p(x|z), as its first output."""

    def __init__(self, decoder: nn.Module, likelihood: Likelihood) -> None:
        """Wrap a decoder.

        Args:
            decoder: z -> the parameters of p(x|z), a tensor or a tuple of tensors.
            likelihood: p(x|z), which computes the mean from the parameters.
        """
        super().__init__()
        self.decoder = decoder
        self.likelihood = likelihood
        self.train(decoder.training)

    def forward(self, z: Tensor, *conditions: Tensor) -> tuple[Tensor, ...]:
        """Return the mean and then the parameters of p(x|z), each (n, *input_shape), for z (n, *latent_shape)."""
        parameters = as_tensors(self.decoder(z, *conditions))
        return (self.likelihood.mean(*parameters), *parameters)


def as_tensors(output: Any) -> tuple[Tensor, ...]:
    """Return the outputs of a module as a tuple. A single tensor becomes a tuple of one tensor."""
    return (output,) if isinstance(output, Tensor) else tuple(output)


def call(module: nn.Module, inputs: Mapping[str, Array]) -> Any:
    """Call a module on arrays without gradients, and return the result of the module."""
    with torch.no_grad():
        return module(*map(torch.from_numpy, inputs.values()))
