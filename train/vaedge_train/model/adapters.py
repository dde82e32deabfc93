"""Wrappers of networks. One wrapper adds the class as an input, the other adds a shared scale as an output."""

import torch
from torch import Tensor, nn


class Labeled(nn.Module):
    """A network that also takes the class of each example (Sohn et al. 2015).

    The class is appended to x or z as a one-hot vector. For images, it is appended as one-hot channels.
    """

    classes: Tensor

    def __init__(self, network: nn.Module, classes: int, *, flatten: bool = False) -> None:
        """Wrap a network.

        Args:
            network: The network. Its input has the columns (or channels) of x or z, and then one column (or channel)
                for each class.
            classes: Number of classes.
            flatten: Whether to flatten each example to one row first, as a fully connected network requires.
        """
        super().__init__()
        self.network = network
        self.flatten = flatten
        self.register_buffer("classes", torch.arange(classes), persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the network.

        Args:
            x: The input: x (n, channels, ...) for an encoder, or z (n, latent) for a decoder.
            y: (n,) int64, the class of each example.
        """
        x = x.flatten(1) if self.flatten else x
        one_hot = (y[:, None] == self.classes).to(x.dtype)
        planes = one_hot.reshape(*one_hot.shape, *(1,) * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
        outputs: tuple[Tensor, ...] = self.network(torch.cat([x, planes], 1))
        return outputs


class SharedScale(nn.Module):
    """A decoder that returns loc, and one log_scale for all elements of x (sigma-VAE, Rybkin et al. 2021)."""

    log_scale: Tensor

    def __init__(self, decoder: nn.Module, log_scale: float, *, learned: bool) -> None:
        """Wrap a decoder.

        Args:
            decoder: Module that returns a tuple of one tensor, loc.
            log_scale: The initial value if log_scale is learned, otherwise the constant value.
            learned: Whether training changes log_scale.
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
