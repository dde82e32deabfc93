"""The convolutional encoder and decoder: residual blocks at two scales, for pictures."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaedge_train.model.mlp import LOG_VAR_RANGE


class Residual(nn.Module):
    """x + convolution(SiLU(convolution(SiLU(x)))), after He et al. 2016's pre-activation."""

    def __init__(self, channels: int) -> None:
        """Make both convolutions, 3 x 3."""
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, channels, height, width), as x has."""
        hidden: Tensor = self.second(F.silu(self.first(F.silu(x))))
        return x + hidden


class ConvEncoder(nn.Module):
    """q(z|x) by convolutions: x -> (mean, log_var)."""

    def __init__(self, input_shape: Sequence[int], channels: int, latent: int) -> None:
        """Make the layers.

        Args:
            input_shape: (colours, height, width), height and width multiples of four.
            channels: at half the size; twice as many at a quarter.
            latent: size of z.
        """
        super().__init__()
        colours, height, width = input_shape
        self.body = nn.Sequential(
            nn.Conv2d(colours, channels, 4, stride=2, padding=1),
            Residual(channels),
            nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
            Residual(2 * channels),
            nn.SiLU(),
            nn.Flatten(),
        )
        self.output = nn.Linear(2 * channels * (height // 4) * (width // 4), 2 * latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log_var = log sigma^2 of q(z|x), each (n, latent), for x (n, *input_shape)."""
        mean, log_var = self.output(self.body(x)).chunk(2, dim=1)
        return mean, log_var.clamp(*LOG_VAR_RANGE)


class ConvDecoder(nn.Module):
    """The parameters of p(x|z) by convolutions: z -> one tensor of x's shape for each parameter.

    It grows by repeating pixels and convolving, which leaves no chequerboard and runs everywhere (Odena et al. 2016).
    """

    def __init__(self, latent: int, channels: int, output_shape: Sequence[int], parameters: int) -> None:
        """Make the layers.

        Args:
            latent: size of z.
            channels: as for the encoder.
            output_shape: (colours, height, width), height and width multiples of four.
            parameters: how many parameters p(x|z) has.
        """
        super().__init__()
        colours, height, width = output_shape
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
        self.output = nn.Conv2d(channels, parameters * colours, 3, padding=1)
        self.parameters_per_element = parameters

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        """Return the parameters of p(x|z), each (n, *output_shape), for z (n, latent)."""
        pixels: Tensor = self.output(self.body(self.input(z)))
        return (pixels,) if self.parameters_per_element == 1 else pixels.chunk(self.parameters_per_element, dim=1)

    @torch.no_grad()
    def start_at(self, parameters: Sequence[Tensor]) -> None:
        """Set the output's bias, so that training starts around these parameters' mean colour, each (*output_shape)."""
        bias = self.output.bias
        if bias is not None:
            bias.copy_(torch.cat([parameter.mean((1, 2)) for parameter in parameters]))
