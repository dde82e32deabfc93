"""The convolutional encoder and decoder for images: residual blocks at two scales."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaedge_train.model.gaussian import LOG_VAR_RANGE


class Residual(nn.Module):
    """A residual block with pre-activation (He et al. 2016): x + convolution(SiLU(convolution(SiLU(x))))."""

    def __init__(self, channels: int) -> None:
        """Create the two 3 x 3 convolutions.

        Args:
            channels: Number of channels of input and output.
        """
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the shape of x, (n, channels, height, width)."""
        hidden: Tensor = self.second(F.silu(self.first(F.silu(x))))
        return x + hidden


class ConvEncoder(nn.Module):
    """An encoder of convolutional layers. It maps x to mean and log_var of q(z|x)."""

    def __init__(self, input_shape: Sequence[int], channels: int, latent: int) -> None:
        """Create the layers.

        Args:
            input_shape: (colors, height, width); height and width are multiples of four.
            channels: Number of channels at half the resolution. The number is doubled at a quarter of the resolution.
            latent: Size of z.
        """
        super().__init__()
        colors, height, width = input_shape
        self.body = nn.Sequential(
            nn.Conv2d(colors, channels, 4, stride=2, padding=1),
            Residual(channels),
            nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
            Residual(2 * channels),
            nn.SiLU(),
            nn.Flatten(),
        )
        self.output = nn.Linear(2 * channels * (height // 4) * (width // 4), 2 * latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log_var of q(z|x), each (n, latent), for x (n, *input_shape)."""
        mean, log_var = self.output(self.body(x)).chunk(2, dim=1)
        return mean, log_var.clamp(*LOG_VAR_RANGE)


class ConvDecoder(nn.Module):
    """A decoder of convolutional layers. It maps z to the parameters of p(x|z), each with the shape of x.

    To increase the resolution, the decoder repeats pixels and then convolves. This method avoids checkerboard
    artifacts (Odena et al. 2016), and needs only operators that every runtime has.
    """

    def __init__(self, latent: int, channels: int, output_shape: Sequence[int], parameters: int) -> None:
        """Create the layers.

        Args:
            latent: Size of z.
            channels: Number of channels at half the resolution. The number is doubled at a quarter of the resolution.
            output_shape: (colors, height, width); height and width are multiples of four.
            parameters: Number of parameters of p(x|z).
        """
        super().__init__()
        colors, height, width = output_shape
        self.input = nn.Linear(latent, 2 * channels * (height // 4) * (width // 4))
        self.body = nn.Sequential(
            nn.Unflatten(1, (2 * channels, height // 4, width // 4)),
            Residual(2 * channels),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * channels, channels, 3, padding=1),
            Residual(channels),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
        )
        self.output = nn.Conv2d(channels, parameters * colors, 3, padding=1)
        self.parameters_per_element = parameters

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        """Return the parameters of p(x|z), each (n, *output_shape), for z (n, latent)."""
        pixels: Tensor = self.output(self.body(self.input(z)))
        return (pixels,) if self.parameters_per_element == 1 else pixels.chunk(self.parameters_per_element, dim=1)

    @torch.no_grad()
    def start_at(self, parameters: Sequence[Tensor]) -> None:
        """Set the bias of the output layer, so that the untrained decoder returns about the given parameters.

        A channel of an image has one bias, so the parameters are averaged over the pixels.

        Args:
            parameters: One (*output_shape) tensor for each parameter of p(x|z).
        """
        bias = self.output.bias
        if bias is not None:
            bias.copy_(torch.cat([parameter.mean((1, 2)) for parameter in parameters]))
