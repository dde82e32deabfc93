"""What stands around a network: labels that come in beside x or z, a scale that goes out beside loc."""

import torch
from torch import Tensor, nn


class Labelled(nn.Module):
    """A network that is told the class of each item, one-hot beside its input (Sohn et al. 2015)."""

    classes: Tensor

    def __init__(self, network: nn.Module, classes: int, *, flatten: bool = False) -> None:
        """Wrap a network whose input has `classes` more columns, or channels, than what is given.

        Args:
            network: of one input.
            classes: how many there are.
            flatten: make one row of each item first, for a network that does so anyway.
        """
        super().__init__()
        self.network = network
        self.flatten = flatten
        self.register_buffer("classes", torch.arange(classes), persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """Return what the network makes of x (n, channels, ...) and y (n,) int64, the number of each item's class."""
        x = x.flatten(1) if self.flatten else x
        one_hot = (y[:, None] == self.classes).to(x.dtype)
        planes = one_hot.reshape(*one_hot.shape, *(1,) * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
        outputs: tuple[Tensor, ...] = self.network(torch.cat([x, planes], 1))
        return outputs


class SharedScale(nn.Module):
    """A decoder of loc, with one log_scale for all elements: learned, or a constant (sigma-VAE, Rybkin et al. 2021)."""

    log_scale: Tensor

    def __init__(self, decoder: nn.Module, log_scale: float, *, learned: bool) -> None:
        """Wrap a decoder.

        Args:
            decoder: returns loc alone.
            log_scale: where to start, or to stay.
            learned: whether training moves it.
        """
        super().__init__()
        self.decoder = decoder
        value = torch.tensor(log_scale)
        if learned:
            self.log_scale = nn.Parameter(value)
        else:
            self.register_buffer("log_scale", value)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return loc and log_scale, each (n, *output_shape)."""
        (loc,) = self.decoder(*inputs)
        return loc, self.log_scale.expand_as(loc)
