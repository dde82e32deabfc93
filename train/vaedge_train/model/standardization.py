"""Standardization: the affine map between the units of the data and those of the networks."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Float64Array: TypeAlias = npt.NDArray[np.float64]

_TINY = torch.finfo(torch.float32).tiny


class Moments(NamedTuple):
    """Mean and standard deviation of a data set, both float32. Their shapes broadcast to the shape of one example.

    Attributes:
        mean: The means.
        std: The standard deviations; 1 for constant data.
    """

    mean: Tensor
    std: Tensor


class Standardization(nn.Module):
    """Map x to (x - mean) / std, and map the parameters of p(x|z) back to the units of the data."""

    mean: Tensor
    std: Tensor

    def __init__(self, moments: Moments) -> None:
        """Store the moments as buffers, which are saved with the model."""
        super().__init__()
        self.register_buffer("mean", moments.mean.clone())
        self.register_buffer("std", moments.std.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return x in standardized units; input and output are (n, *input_shape)."""
        return (x - self.mean) / self.std

    def to_data(self, loc: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
        """Return loc and log_scale in the units of the data; all tensors are (..., *input_shape)."""
        return loc * self.std + self.mean, log_scale + self.std.log()

    def log_volume(self, input_shape: Sequence[int]) -> Tensor:
        """Return the sum of log std over the elements of an example, a float32 scalar in nats.

        The log-density of x in the units of the data is the log-density in standardized units minus this sum.
        """
        return self.std.double().log().expand(*input_shape).sum().float()


class Statistics(NamedTuple):
    """Statistics of each column of a table, or of each channel of images, all float64.

    Their shapes broadcast to the shape of one example.

    Attributes:
        mean: The means.
        std: The standard deviations; exactly 0 for constant data.
        largest: The largest absolute values.
    """

    mean: Float64Array
    std: Float64Array
    largest: Float64Array


def statistics(chunks: Iterable[npt.NDArray[np.floating[Any]]]) -> Statistics:
    """Compute the statistics of floating-point data in float64.

    The function reads the data only once and in chunks, so the data may be larger than memory.

    Args:
        chunks: The data in chunks of any floating-point type, each (n, *input_shape). Examples with three
            axes are images, whose first axis is the channel.
    """
    first = None
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity give NaN, without a warning
        for chunk in chunks:
            axes = (0, 2, 3) if chunk.ndim == 4 else (0,)
            values = np.array(chunk, np.float64)
            if first is None:
                # Sums of differences from the first value stay accurate if the mean is large. For constant data, these
                # sums are 0.
                first = values[:1, :, :1, :1].copy() if chunk.ndim == 4 else values[:1].copy()
                count, (total, squares, largest) = 0, np.zeros((3, *first.shape))
            largest = np.maximum(largest, np.abs(values).max(axes, keepdims=True))
            values -= first
            count += values.size // first.size
            total += values.sum(axes, keepdims=True)
            squares += np.square(values).sum(axes, keepdims=True)
        assert first is not None, "there are no chunks"
        shift = total / count
        variance = squares / count - shift**2
        return Statistics((first + shift)[0], np.sqrt(np.maximum(variance, 0))[0], largest[0])


def measure(chunks: Iterable[Tensor]) -> Moments:
    """Measure mean and standard deviation of each column of a table, or of each channel of images.

    Args:
        chunks: The data in chunks, each (n, *input_shape), of any floating-point type. Examples with three
            axes are images, whose first axis is the channel.
    """
    mean, std, _ = statistics(chunk.numpy() for chunk in chunks)
    # Data counts as constant if the float32 division by its standard deviation could overflow.
    constant = std < _TINY
    return Moments(*(torch.from_numpy(value.astype(np.float32)) for value in (mean, np.where(constant, 1.0, std))))
