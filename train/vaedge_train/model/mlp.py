"""The fully connected encoder and decoder."""

import itertools
import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaedge_train.model.gaussian import LOG_VAR_RANGE


class Gated(nn.Module):
    """A linear layer whose outputs are multiplied by learned gates, sigmoid(linear) (Dauphin et al. 2017)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Create the two linear maps as one layer.

        Args:
            inputs: Number of columns of the input.
            outputs: Number of columns of the output.
        """
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


class Encoder(nn.Module):
    """q(z|x) by fully connected layers: x -> (mean, log_var)."""

    def __init__(self, input_shape: Sequence[int], hidden: Sequence[int], latent: int, activation: str) -> None:
        """Create the layers.

        Args:
            input_shape: Shape of one example.
            hidden: Widths of the hidden layers.
            latent: Size of z.
            activation: A key of ACTIVATIONS.
        """
        super().__init__()
        sizes = (math.prod(input_shape), *hidden)
        self.hidden = nn.Sequential(nn.Flatten(), *_hidden_layers(sizes, activation))
        self.output = nn.Linear(sizes[-1], 2 * latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log_var of q(z|x), each (n, latent), for x (n, *input_shape)."""
        mean, log_var = self.output(self.hidden(x)).chunk(2, dim=1)
        return mean, log_var.clamp(*LOG_VAR_RANGE)


class Decoder(nn.Module):
    """The parameters of p(x|z) by fully connected layers: z -> one tensor of the shape of x for each parameter."""

    def __init__(
        self, latent: int, hidden: Sequence[int], output_shape: Sequence[int], activation: str, parameters: int = 1
    ) -> None:
        """Create the layers.

        Args:
            latent: Size of z.
            hidden: Widths of the hidden layers.
            output_shape: Shape of one example.
            activation: A key of ACTIVATIONS.
            parameters: Number of parameters of p(x|z).
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
        """Set the bias of the output, so that training starts near these parameters, each (*output_shape).

        Burda et al. 2016 start at the mean of the data in their code. After ten epochs of MNIST this is worth half a
        nat or more.
        """
        self.output.bias.copy_(torch.cat([parameter.flatten() for parameter in parameters]))


def _hidden_layers(sizes: Sequence[int], activation: str) -> list[nn.Module]:
    """Return a layer from each size to the next; a gated layer is linear map and activation in one."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        if ACTIVATIONS[activation] is Gated:
            layers.append(Gated(inputs, outputs))
        else:
            layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return layers
