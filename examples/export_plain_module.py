"""Export a module of your own, whose encoder returns one tensor of 2 * latent and whose decoder ends in a sigmoid.

python examples/export_plain_module.py models/plain
"""

import sys

import torch
from torch import Tensor, nn

from vaedge_export import export_vae


class YourVAE(nn.Module):
    """As tutorials write it: everything in one module."""

    def __init__(self, latent: int = 8) -> None:
        """Make the layers."""
        super().__init__()
        self.encode = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 2 * latent))
        self.decode = nn.Sequential(nn.Linear(latent, 128), nn.ReLU(), nn.Linear(128, 784), nn.Sigmoid())


class Encoder(nn.Module):
    """x -> (mean, log_var): the two halves of what yours returns."""

    def __init__(self, vae: YourVAE) -> None:
        """Take the trained model."""
        super().__init__()
        self.encode = vae.encode

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log_var, each (n, latent). If your second half is log sigma, return twice of it."""
        mean, log_var = self.encode(x).chunk(2, dim=1)
        return mean, log_var


class Decoder(nn.Module):
    """z -> logits: without the sigmoid, which the likelihood "bernoulli" applies itself."""

    def __init__(self, vae: YourVAE) -> None:
        """Take the trained model."""
        super().__init__()
        self.decode = vae.decode[:-1]

    def forward(self, z: Tensor) -> Tensor:
        """Return logits (n, 1, 28, 28)."""
        logits: Tensor = self.decode(z).view(-1, 1, 28, 28)
        return logits


def main(out: str) -> None:
    """Export; `examples=` would take some real pictures, to compare on and to show on the card."""
    torch.manual_seed(0)
    vae = YourVAE().eval()  # load your weights here
    export_vae(
        Encoder(vae).eval(),
        Decoder(vae).eval(),
        out,
        input_shape=(1, 28, 28),
        latent_shape=(8,),
        likelihood="bernoulli",
    )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1])
