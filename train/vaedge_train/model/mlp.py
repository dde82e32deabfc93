"""The encoder and the decoder: plain modules, which is all that the export stage knows of them."""

import itertools
import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Gated(nn.Module):
    """A linear layer whose outputs are multiplied by learned gates, sigmoid(linear) (Dauphin et al. 2017)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Make both linear maps as one."""
        super().__init__()
        self.both = nn.Linear(inputs, 2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, outputs) for x (n, inputs)."""
        return F.glu(self.both(x), dim=1)


ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "gated": Gated,
}

# exp() stays finite in float32, and far outside anything a trained posterior holds. It is a part of the
# model, so it goes into the exported graph.
LOG_VAR_RANGE = (-30.0, 20.0)


class Encoder(nn.Module):
    """q(z|x) by a multilayer perceptron: x -> (mean, log_var)."""

    def __init__(self, input_shape: Sequence[int], hidden: Sequence[int], latent: int, activation: str) -> None:
        """Make the layers.

        Args:
            input_shape: of one item of x.
            hidden: widths of the hidden layers.
            latent: size of z.
            activation: a key of ACTIVATIONS.
        """
        super().__init__()
        sizes = (math.prod(input_shape), *hidden)
        self.hidden = nn.Sequential(nn.Flatten(), *_hidden_layers(sizes, activation))
        self.output = nn.Linear(sizes[-1], 2 * latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log_var = log sigma^2 of q(z|x), each (n, latent), for x (n, *input_shape)."""
        mean, log_var = self.output(self.hidden(x)).chunk(2, dim=1)
        return mean, log_var.clamp(*LOG_VAR_RANGE)


class Decoder(nn.Module):
    """The parameters of p(x|z) by a multilayer perceptron: z -> one tensor of x's shape for each parameter."""

    def __init__(
        self, latent: int, hidden: Sequence[int], output_shape: Sequence[int], activation: str, parameters: int = 1
    ) -> None:
        """Make the layers.

        Args:
            latent: size of z.
            hidden: widths of the hidden layers.
            output_shape: of one item of x.
            activation: a key of ACTIVATIONS.
            parameters: how many parameters p(x|z) has.
        """
        super().__init__()
        sizes = (latent, *hidden)
        self.hidden = nn.Sequential(*_hidden_layers(sizes, activation))
        self.output = nn.Linear(sizes[-1], parameters * math.prod(output_shape))
        self.shape = nn.Unflatten(1, tuple(output_shape))
        self.parameters_per_element = parameters

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        """Return the parameters of p(x|z), each (n, *output_shape), for z (n, latent)."""
        flat = self.output(self.hidden(z))
        parts = (flat,) if self.parameters_per_element == 1 else flat.chunk(self.parameters_per_element, dim=1)
        return tuple(self.shape(part) for part in parts)

    @torch.no_grad()
    def start_at(self, parameters: Sequence[Tensor]) -> None:
        """Set the output's bias, so that training starts around these parameters, each (*output_shape).

        Starting at the data's mean is worth half a nat or more after ten epochs of MNIST, for nothing; Burda et
        al. 2016 did so in their code.
        """
        self.output.bias.copy_(torch.cat([parameter.flatten() for parameter in parameters]))


def _hidden_layers(sizes: Sequence[int], activation: str) -> list[nn.Module]:
    """Layers from size to size: linear with the activation, or gated, which is both at once."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        if ACTIVATIONS[activation] is Gated:
            layers.append(Gated(inputs, outputs))
        else:
            layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return layers
