"""The images of a model card: samples, reconstructions, and a traverse of the latents."""

import numpy as np

import vaedge
from vaedge.bundle.reference import Inputs
from vaedge.files.images import grid_png, interleave_rows, is_image_shape

_IMAGES = 64
_SEED = 0
_TRAVERSED = 8  # number of latents in the traverse: the most active ones
_STEPS = np.linspace(-3, 3, 13, dtype=np.float32)


def card_images(vae: vaedge.VAE, real: Inputs | None, random: Inputs) -> dict[str, bytes]:
    """Return a dict from file name to PNG content. It is empty if the examples are not images.

    Args:
        vae: The float32 graphs.
        real: Real examples, for reconstructions and the traverse of the latents, or None.
        random: Random examples. If there are no real examples, the samples use the conditions of the random ones.
    """
    if not is_image_shape(vae.input_shape):
        return {}
    images = {"samples.png": samples_png(vae, real or random)}
    if real is not None:
        shown = real.repeated(min(_IMAGES, len(real.x)))
        reconstructions = vae.reconstruct(shown.x, conditions=shown.conditions)
        images["reconstructions.png"] = grid_png(*interleave_rows(shown.x, reconstructions))
        images["traverse.png"] = _traverse_png(vae, real)
    return images


def samples_png(vae: vaedge.VAE, examples: Inputs) -> bytes:
    """Return a grid of samples as PNG, with the conditions of the examples."""
    return grid_png(vae.sample(_IMAGES, seed=_SEED, conditions=examples.repeated(_IMAGES).conditions))


def _traverse_png(vae: vaedge.VAE, examples: Inputs) -> bytes:
    """Return a grid as PNG. Each row varies one of the most active latents from -3 to 3.

    The other latents keep the values of the first example.
    """
    means = vae.encode(examples.x, conditions=examples.conditions).mean.reshape(len(examples.x), -1)
    chosen = np.argsort(-means.var(0), kind="stable")[:_TRAVERSED]
    z = np.tile(means[0], (len(chosen), len(_STEPS), 1))
    z[np.arange(len(chosen)), :, chosen] = _STEPS
    flat = z.reshape(-1, *vae.latent_shape)
    conditions = {name: np.repeat(values[:1], len(flat), 0) for name, values in examples.conditions.items()}
    return grid_png(vae.decode(flat, conditions=conditions), len(_STEPS))
