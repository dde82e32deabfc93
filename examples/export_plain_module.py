"""Export your own module as a bundle.

As in many tutorials, the encoder of this example returns one tensor that holds mean and log_var, and the decoder ends
in a sigmoid. Two small wrappers convert these outputs to the form that `export_vae` takes.

    python examples/export_plain_module.py models/plain

The script prints the folder of the bundle.
"""

import sys

import torch
from torch import Tensor, nn

from vaedge_export import export_vae


class YourVAE(nn.Module):
    """A VAE whose encoder and decoder are in one PyTorch module."""

    def __init__(self, latent: int = 8) -> None:
        """Create the layers."""
        super().__init__()
        self.encode = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 2 * latent))
        self.decode = nn.Sequential(nn.Linear(latent, 128), nn.ReLU(), nn.Linear(128, 784), nn.Sigmoid())


class Encoder(nn.Module):
    """Compute x -> (mean, log_var), which are the two halves of the output of the wrapped encoder."""

    def __init__(self, vae: YourVAE) -> None:
        """Wrap the trained model."""
        super().__init__()
        self.encode = vae.encode

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log_var, each (n, latent). If your encoder returns log sigma, multiply it by 2."""
        mean, log_var = self.encode(x).chunk(2, dim=1)
        return mean, log_var


class Decoder(nn.Module):
    """Compute z -> logits, without the final sigmoid, which the likelihood "bernoulli" applies."""

    def __init__(self, vae: YourVAE) -> None:
        """Wrap the trained model."""
        super().__init__()
        self.decode = vae.decode[:-1]

    def forward(self, z: Tensor) -> Tensor:
        """Return logits (n, 1, 28, 28)."""
        logits: Tensor = self.decode(z).view(-1, 1, 28, 28)
        return logits


def main(out: str) -> None:
    """Export the model. Pass real images as `examples` to verify the export on them and to show them on the card."""
    torch.manual_seed(0)
    vae = YourVAE().eval()  # load your weights here
    bundle = export_vae(
        Encoder(vae).eval(),
        Decoder(vae).eval(),
        out,
        input_shape=(1, 28, 28),
        latent_shape=(8,),
        likelihood="bernoulli",
    )
    print(bundle)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
