"""Modules around a network: a label as a further input, or one scale for all elements as a further output."""

import torch
from torch import Tensor, nn


class Labeled(nn.Module):
    """A network whose input is x or z together with the class of each example, one-hot (Sohn et al. 2015)."""

    classes: Tensor

    def __init__(self, network: nn.Module, classes: int, *, flatten: bool = False) -> None:
        """Wrap a network.

        Args:
            network: The network; its input has `classes` more columns or channels than x or z.
            classes: Number of classes.
            flatten: Flatten each example to one row first, for a network that takes rows.
        """
        super().__init__()
        self.network = network
        self.flatten = flatten
        self.register_buffer("classes", torch.arange(classes), persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the network.

        Args:
            x: (n, channels, ...).
            y: (n,) int64, the class of each example.
        """
        x = x.flatten(1) if self.flatten else x
        one_hot = (y[:, None] == self.classes).to(x.dtype)
        planes = one_hot.reshape(*one_hot.shape, *(1,) * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
        outputs: tuple[Tensor, ...] = self.network(torch.cat([x, planes], 1))
        return outputs


class SharedScale(nn.Module):
    """A decoder of loc with one log_scale for all elements, learned or constant (sigma-VAE, Rybkin et al. 2021)."""

    log_scale: Tensor

    def __init__(self, decoder: nn.Module, log_scale: float, *, learned: bool) -> None:
        """Wrap a decoder.

        Args:
            decoder: Returns loc alone.
            log_scale: The initial value, or the constant.
            learned: Whether training changes the value.
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
