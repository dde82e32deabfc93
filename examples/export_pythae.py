"""Export a VAE that was trained with pythae.

    pip install pythae
    python examples/export_pythae.py models/pythae [FOLDER]

FOLDER is a folder that pythae's `AutoModel.load_from_folder` can read. Without FOLDER, the script exports an untrained
model. The script prints the folder of the bundle.
"""

import sys
from typing import Any

import torch
from torch import Tensor, nn

from vaedge_export import export_vae


class Encoder(nn.Module):
    """Compute x -> (mean, log_var), which pythae calls embedding and log_covariance."""

    def __init__(self, model: Any) -> None:
        """Wrap a model of pythae."""
        super().__init__()
        self.encoder = model.encoder

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log_var, each (n, latent)."""
        output = self.encoder(x)
        return output["embedding"], output["log_covariance"]


class Decoder(nn.Module):
    """Compute z -> (loc, log_scale). The reconstruction loss "mse" of pythae corresponds to a Gaussian with scale 1."""

    def __init__(self, model: Any) -> None:
        """Wrap a model of pythae."""
        super().__init__()
        self.decoder = model.decoder

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return loc and log_scale, each (n, *input_dim)."""
        loc = self.decoder(z)["reconstruction"]
        return loc, torch.zeros_like(loc)


def export(model: Any, out: str) -> None:
    """Export a `pythae.models.VAE`, or another pythae model with a Gaussian posterior and the prior N(0, I)."""
    config = model.model_config
    bundle = export_vae(
        Encoder(model).eval(),
        Decoder(model).eval(),
        out,
        input_shape=config.input_dim,
        latent_shape=(config.latent_dim,),
        likelihood="gaussian",
    )
    print(bundle)


def main(out: str, folder: str | None = None) -> None:
    """Load a model and export it."""
    from pythae.models import VAE, AutoModel, VAEConfig

    untrained = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=16))
    model = AutoModel.load_from_folder(folder) if folder else untrained
    export(model.eval(), out)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
