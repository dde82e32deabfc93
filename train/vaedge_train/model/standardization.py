"""Standardization: the affine map between the units of the data and those of the networks."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

_CHUNK = 10_000  # rows that are converted to float64 at a time
_TINY = torch.finfo(torch.float32).tiny


class Moments(NamedTuple):
    """Mean and standard deviation of a data set, both float32, in shapes that broadcast to one example.

    Attributes:
        mean: The means.
        std: The standard deviations; 1 where the data is constant.
    """

    mean: Tensor
    std: Tensor


class Standardization(nn.Module):
    """x -> (x - mean) / std, and the map of the parameters of p(x|z) back to the units of the data."""

    mean: Tensor
    std: Tensor

    def __init__(self, moments: Moments) -> None:
        """Store the moments as buffers, which are saved with the model."""
        super().__init__()
        self.register_buffer("mean", moments.mean.clone())
        self.register_buffer("std", moments.std.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return x in standardized units, (n, *input_shape) for x (n, *input_shape)."""
        return (x - self.mean) / self.std

    def to_data(self, loc: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
        """Return loc and log_scale in the units of the data; all tensors are (..., *input_shape)."""
        return loc * self.std + self.mean, log_scale + self.std.log()

    def log_volume(self, input_shape: Sequence[int]) -> Tensor:
        """Return the sum of log std over the elements of an example, a float32 scalar in nats.

        The log-density of x in the units of the data is that in standardized units minus this sum.
        """
        return self.std.double().log().expand(*input_shape).sum().float()


def measure(x: Tensor) -> Moments:
    """Measure mean and standard deviation of each feature of a table, or of each channel of images.

    Two passes over chunks of rows in float64, so that x may be larger than memory if it is memory-mapped.

    Args:
        x: (n, *input_shape) floating-point data. Examples of rank 3 are images, whose first axis is the channel.
    """
    axes = (0, 2, 3) if x.ndim == 4 else (0,)
    first = x[:1].double().mean(axes, keepdim=True)  # its shape is (1, ...), as that of all sums below
    total, squares = torch.zeros_like(first), torch.zeros_like(first)
    low, high = torch.full_like(first, torch.inf), torch.full_like(first, -torch.inf)
    for chunk in x.split(_CHUNK):
        total += chunk.double().sum(axes, keepdim=True)
        low = torch.minimum(low, chunk.amin(axes, keepdim=True))
        high = torch.maximum(high, chunk.amax(axes, keepdim=True))
    count = x.numel() // first.numel()
    mean = total / count
    for chunk in x.split(_CHUNK):
        squares += (chunk.double() - mean).square().sum(axes, keepdim=True)
    std = (squares / count).sqrt()
    # A spread that is not a normal float32 number could not be divided by.
    constant = (low == high) | (std < _TINY)
    return Moments(mean[0].float(), torch.where(constant, 1.0, std)[0].float())
