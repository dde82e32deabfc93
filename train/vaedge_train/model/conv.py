"""The convolutional encoder and decoder for images: residual blocks at half and a quarter of the resolution."""

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaedge_train.model.gaussian import LOG_VAR_RANGE

_MAX_GROUPS = 8


class Residual(nn.Module):
    """x + convolution(SiLU(convolution(SiLU(normalize(x))))), a pre-activation block (He et al. 2016).

    Group normalization (Wu & He 2018) treats each example by itself. Results therefore do not depend on the batch, and
    the exported graph needs no statistics of the training data. Each block has one normalization instead of the
    usual two, because on a CPU, a normalization takes more time than the convolutions.
    """

    def __init__(self, channels: int) -> None:
        """Create the layers.

        Args:
            channels: Number of channels of input and output.
        """
        super().__init__()
        self.normalize = nn.GroupNorm(math.gcd(_MAX_GROUPS, channels), channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the shape of x, (n, channels, height, width)."""
        hidden: Tensor = self.second(F.silu(self.first(F.silu(self.normalize(x)))))
        return x + hidden


class ConvEncoder(nn.Module):
    """An encoder of convolutional layers. It maps x to mean and log_var of q(z|x).

    Height and width are padded with zeros on the right and at the bottom, up to the next multiples of four.
    """

    def __init__(self, input_shape: Sequence[int], channels: int, hidden: Sequence[int], latent: int) -> None:
        """Create the layers.

        Args:
            input_shape: (colors, height, width).
            channels: Number of channels at half the resolution. The number is doubled at a quarter of the resolution.
            hidden: Widths of fully connected layers between the convolutions and z.
            latent: Size of z.
        """
        super().__init__()
        colors, height, width = input_shape
        rows, columns = _quarter(height), _quarter(width)
        self.padding = (0, 4 * columns - width, 0, 4 * rows - height)
        self.body = nn.Sequential(
            nn.Conv2d(colors, channels, 4, stride=2, padding=1),
            Residual(channels),
            nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
            Residual(2 * channels),
            nn.SiLU(),
            nn.Flatten(),
            *_hidden_layers((2 * channels * rows * columns, *hidden)),
        )
        self.output = nn.Linear((2 * channels * rows * columns, *hidden)[-1], 2 * latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log_var of q(z|x), each (n, latent), for x (n, *input_shape)."""
        if any(self.padding):
            x = F.pad(x, self.padding)
        mean, log_var = self.output(self.body(x)).chunk(2, dim=1)
        return mean, log_var.clamp(*LOG_VAR_RANGE)


class ConvDecoder(nn.Module):
    """A decoder of convolutional layers. It maps z to the parameters of p(x|z), each with the shape of x.

    To increase the resolution, the decoder repeats pixels and then convolves. This method avoids checkerboard
    artifacts (Odena et al. 2016), and needs only operators that every runtime has. If height or width is not a multiple
    of four, the decoder computes a larger image up to the next multiples, and crops it on the right and at the bottom.
    """

    def __init__(
        self, latent: int, channels: int, hidden: Sequence[int], output_shape: Sequence[int], parameters: int
    ) -> None:
        """Create the layers.

        Args:
            latent: Size of z.
            channels: Number of channels at half the resolution. There are twice as many at a quarter of the resolution,
                and half as many at the full resolution.
            hidden: Widths of fully connected layers between z and the convolutions.
            output_shape: (colors, height, width).
            parameters: Number of parameters of p(x|z).
        """
        super().__init__()
        colors, self.height, self.width = output_shape
        rows, columns = _quarter(self.height), _quarter(self.width)
        full = -(-channels // 2)
        self.input = nn.Sequential(
            *_hidden_layers((latent, *hidden)),
            nn.Linear((latent, *hidden)[-1], 2 * channels * rows * columns),
        )
        self.body = nn.Sequential(
            nn.Unflatten(1, (2 * channels, rows, columns)),
            Residual(2 * channels),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * channels, channels, 3, padding=1),
            Residual(channels),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(channels, full, 3, padding=1),
            nn.SiLU(),
        )
        self.output = nn.Conv2d(full, parameters * colors, 3, padding=1)
        self.parameters_per_element = parameters

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        """Return the parameters of p(x|z), each (n, *output_shape), for z (n, latent)."""
        pixels: Tensor = self.output(self.body(self.input(z)))[..., : self.height, : self.width]
        return (pixels,) if self.parameters_per_element == 1 else pixels.chunk(self.parameters_per_element, dim=1)

    @torch.no_grad()
    def start_at(self, parameters: Sequence[Tensor]) -> None:
        """Set the bias of the output layer, so that the untrained decoder returns approximately the mean color.

        Args:
            parameters: One (*output_shape) tensor for each parameter of p(x|z). Its mean over the pixels becomes the
                bias of this parameter.
        """
        bias = self.output.bias
        if bias is not None:
            bias.copy_(torch.cat([parameter.mean((1, 2)) for parameter in parameters]))


def _quarter(side: int) -> int:
    """Return a quarter of the length of a side, rounded up."""
    return -(-side // 4)


def _hidden_layers(sizes: Sequence[int]) -> Iterator[nn.Module]:
    """Yield a linear layer and an activation for each pair of neighboring sizes."""
    for inputs, outputs in itertools.pairwise(sizes):
        yield nn.Linear(inputs, outputs)
        yield nn.SiLU()
