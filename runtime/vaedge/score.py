"""Bounds on log p(x): the ELBO and the importance-weighted bound (Burda et al. 2016), in nats per item."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vaedge.arrays import FloatArray
from vaedge.bundle.manifest import Manifest
from vaedge.errors import InputError
from vaedge.likelihoods import LIKELIHOODS, Likelihood
from vaedge.noise import draw_normals, generator
from vaedge.posterior import Posterior
from vaedge.prior import Prior

_ROWS = 2048  # latents decoded at once

Nats = npt.NDArray[np.float64]


class Bounds(NamedTuple):
    """Two bounds on log p(x) from the same draws of z.

    Attributes:
        elbo: (n,) float64, the mean over the draws of log p(x, z) / q(z|x).
        importance_weighted: (n,) float64, the logarithm of the mean ratio; never less than elbo.
    """

    elbo: Nats
    importance_weighted: Nats


class Model(Protocol):
    """What of a VAE is needed to score."""

    manifest: Manifest
    prior: Prior

    def encode(self, x: FloatArray, **conditions: npt.ArrayLike) -> Posterior:
        """Return q(z|x)."""

    def parameters(self, z: FloatArray, **conditions: npt.ArrayLike) -> dict[str, FloatArray]:
        """Return the parameters of p(x|z)."""


@np.errstate(all="ignore")  # a model that overflows shows it in the result, and not on stderr
def bounds(vae: Model, x: FloatArray, k: int, seed: int | None, told: dict[str, Any]) -> Bounds:
    """Estimate both bounds with k draws per item.

    Args:
        vae: the model.
        x: (n, *input_shape) float32, checked.
        k: draws per item.
        seed: of the draws, which are taken item by item: the first m items' do not depend on how many follow.
        told: the conditions, one value per item.

    Raises:
        InputError: the likelihood is unknown to this vaedge, or is one of bits and x has other values.
    """
    likelihood = LIKELIHOODS.get(vae.manifest.likelihood)
    if likelihood is None:
        raise InputError(f"this vaedge cannot score {vae.manifest.likelihood!r}; it knows {', '.join(LIKELIHOODS)}")
    if likelihood.binary and not np.isin(x, (0, 1)).all():
        raise InputError("x holds values other than 0 and 1, which this model's Bernoulli cannot score: binarise it")
    rng = generator(seed)
    result = Bounds(np.empty(len(x)), np.empty(len(x)))
    together = max(1, _ROWS // k)
    for start in range(0, len(x), together):
        rows = slice(start, start + together)
        given = {name: values[rows] for name, values in told.items()}
        weights = np.concatenate(list(_log_weights(vae, likelihood, x[rows], k, rng, given)), 1)
        greatest = weights.max(1)
        result.elbo[rows] = weights.mean(1)
        result.importance_weighted[rows] = greatest + np.log(np.exp(weights - greatest[:, None]).mean(1))
    return result


def _log_weights(
    vae: Model,
    likelihood: Likelihood,
    x: FloatArray,
    k: int,
    rng: np.random.Generator,
    told: dict[str, Any],
) -> Iterator[Nats]:
    """Yield log p(x, z) / q(z|x) for some of the k draws at a time, (n, draws) float64."""
    n, latent_shape, axes = len(x), vae.manifest.latent_shape, (*range(2, x.ndim + 1),)
    posterior = vae.encode(x, **told)
    mean, log_var = (part.astype(np.float64)[:, None] for part in (posterior.mean, posterior.log_var))
    for done in range(0, k, _ROWS):
        draws = min(k - done, _ROWS)
        eps = draw_normals(rng, (n, draws, *latent_shape))
        z = (mean + np.exp(0.5 * log_var) * eps).astype(np.float32)
        repeated = {name: np.repeat(values, draws, 0) for name, values in told.items()}
        parameters = vae.parameters(z.reshape(n * draws, *latent_shape), **repeated).values()
        shaped = [parameter.reshape(n, draws, *vae.manifest.input_shape) for parameter in parameters]
        log_likelihood = likelihood.log_prob(x[:, None], *shaped).sum(axes, dtype=np.float64)
        latent_axes = (*range(2, z.ndim),)
        squares = (z - mean) ** 2 * np.exp(-log_var)
        log_posterior = -0.5 * (squares + log_var + math.log(2 * math.pi)).sum(latent_axes)
        log_prior = vae.prior.log_prob(z.reshape(n * draws, *latent_shape)).reshape(n, draws)
        yield log_likelihood + log_prior - log_posterior
