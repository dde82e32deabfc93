"""The images of a model card.

The card of a model of images shows samples, reconstructions, and the effect of the most active elements of z. The card
of a model of tables shows histograms. If z has two elements, the card also shows a map of the latent space.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

import vaedge
from vaedge.bundle.reference import Inputs
from vaedge.detection import Calibration
from vaedge.distributions.likelihoods import LIKELIHOODS
from vaedge.files.images import grid_png, interleave_rows, is_image_shape
from vaedge_export.card.plots import histograms_png, scatter_png, scores_png

_IMAGES = 64
_SEED = 0
_TRAVERSED = 8  # number of rows of the traverse, each of which varies one element of z
_STEPS = np.linspace(-3, 3, 13, dtype=np.float32)


_MANIFOLD = 20  # number of images in each direction of the manifold
_MANIFOLD_ENDS = 0.005, 0.995  # the manifold extends between these quantiles of N(0, 1)
_MIN_SCATTER_LIMIT, _SCATTER_PIXELS = 3.0, 460
_SHOWN_MEANS = 0.99  # share of the posterior means inside the axes; all other means are drawn at the edge
_HISTOGRAM_SAMPLES = 5000
_MAX_HISTOGRAMS = 16  # maximum number of features with a histogram
_MARKED_RATES = 0.1, 0.01


def card_images(vae: vaedge.VAE, real: Inputs | None, random: Inputs, labels: Sequence[str] = ()) -> dict[str, bytes]:
    """Make the images of a card.

    Args:
        vae: The float32 graphs.
        real: Real examples, or None. Without real examples, the card has only samples and, if z has two elements, a
            grid of images for a grid of values of z.
        random: Random examples. If there are no real examples, the images use the conditions of the random examples.
        labels: Name of the class of each real example, for a map of the latent space; empty if there are no classes.

    Returns:
        Dict from file name to PNG image. The dict is empty if nothing can be shown.
    """
    images = {}
    if is_image_shape(vae.input_shape):
        images["samples.png"] = samples_png(vae, real or random)
        if real is not None:
            shown = real.repeated(min(_IMAGES, len(real.x)))
            reconstructions = vae.reconstruct(shown.x, conditions=shown.conditions)
            images["reconstructions.png"] = grid_png(*interleave_rows(shown.x, reconstructions))
            images["traverse.png"] = _traverse_png(vae, real)
        if math.prod(vae.latent_shape) == 2:
            images["manifold.png"] = _manifold_png(vae, real or random)
    if real is not None:
        if len(vae.input_shape) == 1:
            images["histograms.png"] = _histograms_png(vae, real)
        if math.prod(vae.latent_shape) == 2 and labels:
            means = vae.encode(real.x, conditions=real.conditions).mean.reshape(-1, 2)
            limit = max(_MIN_SCATTER_LIMIT, 1.05 * float(np.quantile(np.abs(means).max(1), _SHOWN_MEANS)))
            images["latents.png"] = scatter_png(means, labels, limit, _SCATTER_PIXELS)
    return images


def _manifold_png(vae: vaedge.VAE, examples: Inputs) -> bytes:
    """Decode a grid of values of a z with two elements, and return the images as PNG.

    The first element of z grows from left to right, and the second one from bottom to top. The values are quantiles of
    N(0, 1). In a conditional model, all images have the conditions of the first example.
    """
    quantiles = np.array([NormalDist().inv_cdf(p) for p in np.linspace(*_MANIFOLD_ENDS, _MANIFOLD)], np.float32)
    first, second = np.meshgrid(quantiles, quantiles[::-1])
    z = np.stack([first, second], -1).reshape(-1, *vae.latent_shape)
    conditions = {name: np.repeat(values[:1], len(z), 0) for name, values in examples.conditions.items()}
    return grid_png(vae.decode(z, conditions=conditions), _MANIFOLD)


def _histograms_png(vae: vaedge.VAE, examples: Inputs) -> bytes:
    """Return histograms of samples and of held-out examples as PNG, one panel for each column of the table.

    The samples are draws from p(x|z). If the likelihood cannot be sampled, they are means of p(x|z).
    """
    likelihood = LIKELIHOODS.get(vae.manifest.likelihood)
    draw = likelihood is not None and likelihood.normalized
    conditions = examples.repeated(_HISTOGRAM_SAMPLES).conditions
    samples = vae.sample(_HISTOGRAM_SAMPLES, seed=_SEED, draw=draw, conditions=conditions)
    names = vae.manifest.features or tuple(f"x{index}" for index in range(vae.input_shape[0]))
    shown = slice(_MAX_HISTOGRAMS)
    return histograms_png(examples.x[:, shown], samples[:, shown], names[shown])


def detection_png(calibration: Calibration) -> bytes:
    """Return histograms of the calibration scores and of the evaluation scores as PNG, with thresholds marked."""
    scores, evaluation = (np.nan_to_num(array) for array in (calibration.scores, calibration.evaluation))  # finite
    p_values = calibration.p_values(scores)
    thresholds = {
        f"{100 * rate:g} %": float(scores[p_values > rate].max())
        for rate in _MARKED_RATES
        if rate >= calibration.smallest_rate
    }
    return scores_png(scores, evaluation, thresholds)


def samples_png(vae: vaedge.VAE, examples: Inputs) -> bytes:
    """Return a grid of samples as PNG. In a conditional model, samples have the conditions of the examples."""
    return grid_png(vae.sample(_IMAGES, seed=_SEED, conditions=examples.repeated(_IMAGES).conditions))


def _traverse_png(vae: vaedge.VAE, examples: Inputs) -> bytes:
    """Decode values of z, and return a grid of the images as PNG.

    Each row varies one of the most active elements of z from -3 to 3. All other elements have the values of the
    posterior mean of the first example.
    """
    means = vae.encode(examples.x, conditions=examples.conditions).mean.reshape(len(examples.x), -1)
    chosen = np.argsort(-means.var(0), kind="stable")[:_TRAVERSED]
    z = np.tile(means[0], (len(chosen), len(_STEPS), 1))
    z[np.arange(len(chosen)), :, chosen] = _STEPS
    flat = z.reshape(-1, *vae.latent_shape)
    conditions = {name: np.repeat(values[:1], len(flat), 0) for name, values in examples.conditions.items()}
    return grid_png(vae.decode(flat, conditions=conditions), len(_STEPS))
