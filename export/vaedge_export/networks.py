"""The encoder and the decoder of an export, as functions of named arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from vaedge.bundle.reference import Inputs
from vaedge_train.model.likelihoods import Likelihood
from vaedge_train.model.standardization import Standardization

Array = npt.NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Network:
    """One of the two networks, in the form that is traced.

    Attributes:
        name: "encoder" or "decoder".
        module: Module that takes the inputs in order and returns the outputs in order.
        main_input: Name of the first input, "x" or "z"; the conditions follow it.
        outputs: Dict from the name of each output to its shape for one example, in order. Outputs are float32.
        units: Dict from the name of an output to its unit, an array that broadcasts to the output of one example.
            Comparisons express differences in this unit. Outputs without an entry have the unit 1.
    """

    name: str
    module: nn.Module
    main_input: str
    outputs: Shapes
    units: Mapping[str, Array] = field(default_factory=dict)

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


class StandardizedEncoder(nn.Module):
    """A wrapper that standardizes x for an encoder. The wrapper takes x in the units of the data."""

    def __init__(self, encoder: nn.Module, standardization: Standardization) -> None:
        """Wrap an encoder.

        Args:
            encoder: Module that maps x in standardized units to mean and log_var.
            standardization: The map from the units of the data to standardized units.
        """
        super().__init__()
        self.encoder = encoder
        self.standardization = standardization
        self.train(encoder.training)

    def forward(self, x: Tensor, *conditions: Tensor) -> Any:
        """Standardize x, (n, *input_shape), and return the outputs of the encoder."""
        return self.encoder(self.standardization(x), *conditions)


class DecoderWithMean(nn.Module):
    """A wrapper of a decoder. It returns the mean of p(x|z) first, and then the parameters of p(x|z).

    The parameters are clamped as the likelihood requires, and are in the units of the data.
    """

    def __init__(
        self, decoder: nn.Module, likelihood: Likelihood, standardization: Standardization | None = None
    ) -> None:
        """Wrap a decoder.

        Args:
            decoder: Module that maps z to the parameters of p(x|z), a tensor or a tuple of tensors.
            likelihood: p(x|z), which clamps the parameters and computes the mean from them.
            standardization: The map from the units of the data to those of the decoder. None if the units are the same.
        """
        super().__init__()
        self.decoder = decoder
        self.likelihood = likelihood
        self.standardization = standardization
        self.train(decoder.training)

    def forward(self, z: Tensor, *conditions: Tensor) -> tuple[Tensor, ...]:
        """Return the mean and the parameters of p(x|z), each (n, *input_shape), for z (n, *latent_shape)."""
        parameters = self.likelihood.bounded(*as_tensors(self.decoder(z, *conditions)))
        if self.standardization is not None:
            parameters = self.standardization.to_data(*parameters)
        return (self.likelihood.mean(*parameters), *parameters)


def as_tensors(output: Any) -> tuple[Tensor, ...]:
    """Return the outputs of a module as a tuple. A single tensor becomes a tuple of one tensor."""
    return (output,) if isinstance(output, Tensor) else tuple(output)


def call(module: nn.Module, inputs: Mapping[str, Array]) -> Any:
    """Call a module on arrays, without computing gradients, and return the result of the module."""
    with torch.no_grad():
        return module(*map(torch.from_numpy, inputs.values()))
