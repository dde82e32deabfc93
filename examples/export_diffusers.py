"""Export the autoencoder of a latent diffusion model from diffusers: `AutoencoderKL` or `AutoencoderTiny`.

    pip install diffusers
    python examples/export_diffusers.py models/kl [FOLDER]

FOLDER is a folder that `AutoencoderKL.from_pretrained` can read. Without FOLDER, the script exports a small untrained
model. To export an `AutoencoderTiny`, call the function `export`. The script prints the folder of the bundle. Images
have values from -1 to 1, as in diffusers. The latents are not multiplied by diffusers' scaling factor.
"""

import sys
from typing import Any

import torch
from torch import Tensor, nn

from vaedge_export import export_vae
from vaedge_train.data.torchvision_data import import_torchvision


class Encoder(nn.Module):
    """Compute x -> (mean, log_var). AutoencoderTiny has no posterior, so the variance is set to a very small number."""

    def __init__(self, model: Any) -> None:
        """Wrap a model of diffusers."""
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log_var, each (n, latent channels, latent height, latent width)."""
        encoded = self.model.encode(x)
        if hasattr(encoded, "latent_dist"):
            return encoded.latent_dist.mean, encoded.latent_dist.logvar
        return encoded.latents, torch.full_like(encoded.latents, -30.0)


class Decoder(nn.Module):
    """Compute z -> (loc, log_scale) of a Gaussian p(x|z) with scale 1.

    log p(x|z) is then a constant minus half the squared error.
    """

    def __init__(self, model: Any) -> None:
        """Wrap a model of diffusers."""
        super().__init__()
        self.model = model

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return loc and log_scale, each (n, 3, height, width)."""
        loc = self.model.decode(z).sample
        return loc, torch.zeros_like(loc)


def export(model: Any, out: str, size: tuple[int, int]) -> None:
    """Export a model as a bundle that accepts images of one size, (height, width), and any batch size."""
    shape = (model.config.in_channels, *size)
    with torch.no_grad():
        mean, _ = Encoder(model)(torch.zeros(1, *shape))
    bundle = export_vae(
        Encoder(model).eval(),
        Decoder(model).eval(),
        out,
        input_shape=shape,
        latent_shape=tuple(mean.shape[1:]),
        likelihood="gaussian",
    )
    print(bundle)


def main(out: str, folder: str | None = None) -> None:
    """Load a model and export it."""
    import_torchvision()  # diffusers imports torchvision, which can fail if it was built for CUDA and torch was not
    from diffusers import AutoencoderKL

    if folder:
        model = AutoencoderKL.from_pretrained(folder)
    else:
        model = AutoencoderKL(
            block_out_channels=(32, 64),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
        )
    export(model.eval(), out, (32, 32))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
