"""The pictures of a model card."""

from typing import Any

import numpy as np

import vaedge
from vaedge.files.images import beside, grid_png, is_picture_shape
from vaedge_export.examples import Rows

_PICTURED = 64
_SEED = 0
_TRAVERSED = 8  # latents, the most active ones
_STEPS = np.linspace(-3, 3, 13, dtype=np.float32)


def card_pictures(vae: vaedge.VAE, random: Rows, given: Rows | None) -> dict[str, bytes]:
    """Return the pictures by file name; none for items that cannot be shown.

    Args:
        vae: the float32 graphs.
        random: whose conditions the samples have, where there are no examples.
        given: real items, for reconstructions and the latents' traverse.
    """
    if not is_picture_shape(vae.input_shape):
        return {}
    pictures = {"samples.png": samples_png(vae, given or random)}
    if given is not None:
        x = given.x[:_PICTURED]
        some: dict[str, Any] = {name: values[:_PICTURED] for name, values in given.told.items()}
        pictures["reconstructions.png"] = grid_png(*beside(x, vae.reconstruct(x, **some)))
        pictures["traverse.png"] = _traverse(vae, given)
    return pictures


def samples_png(vae: vaedge.VAE, rows: Rows) -> bytes:
    """Return a grid of samples, with the rows' conditions."""
    conditions: dict[str, Any] = dict(rows.resized(_PICTURED).told)
    return grid_png(vae.sample(_PICTURED, seed=_SEED, **conditions))


def _traverse(vae: vaedge.VAE, given: Rows) -> bytes:
    """Walk each of the most active latents from -3 to 3, the others where the first example has them."""
    means = vae.encode(given.x, **given.told).mean.reshape(len(given.x), -1)
    chosen = np.argsort(-means.var(0), kind="stable")[:_TRAVERSED]
    z = np.tile(means[0], (len(chosen), len(_STEPS), 1))
    z[np.arange(len(chosen)), :, chosen] = _STEPS
    flat = z.reshape(-1, *vae.latent_shape)
    told = {name: np.repeat(values[:1], len(flat), 0) for name, values in given.told.items()}
    return grid_png(vae.decode(flat, **told), len(_STEPS))
