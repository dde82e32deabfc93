"""Bounds on log p(x): the ELBO and the importance-weighted bound (Burda et al. 2016), in nats per example."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vaedge._types import FloatArray, Nats
from vaedge.distributions.likelihoods import Likelihood
from vaedge.distributions.posterior import Posterior
from vaedge.distributions.prior import Prior
from vaedge.distributions.random import draw_normals, generator

_MAX_LATENTS = 2048  # maximum number of latents that are decoded at once

Encode = Callable[[slice], Posterior]
Decode = Callable[[FloatArray, slice], Sequence[FloatArray]]


class Bounds(NamedTuple):
    """Two bounds on log p(x), estimated from the same draws of z.

    Attributes:
        elbo: Mean of log(p(x, z) / q(z|x)) over the draws, in nats, float64, shape (n,).
        importance_weighted: Logarithm of the mean of p(x, z) / q(z|x) over the draws, in nats, float64, shape (n,).
            It is never smaller than `elbo`.
    """

    elbo: Nats
    importance_weighted: Nats


@np.errstate(all="ignore")  # an overflow is visible in the result, so numpy's warning is not needed
def estimate_bounds(
    x: FloatArray, encode: Encode, decode: Decode, prior: Prior, likelihood: Likelihood, *, k: int, seed: int | None
) -> Bounds:
    """Estimate the ELBO and the importance-weighted bound with k draws of z per example.

    Args:
        x: Examples, float32, shape (n, *input_shape), already validated.
        encode: Function that takes a slice of the rows of x, and returns q(z|x) of these rows.
        decode: Function that takes latents and a slice of the rows of x, and returns the parameters of p(x|z). The
            latents of a row are consecutive, and all rows have the same number of latents.
        prior: The prior p(z).
        likelihood: The likelihood p(x|z).
        k: Number of draws per example.
        seed: Seed of the draws. The draws of an example do not depend on the examples after it.

    Returns:
        Both bounds of each example.
    """
    rng = generator(seed)
    result = Bounds(np.empty(len(x)), np.empty(len(x)))
    examples = max(1, _MAX_LATENTS // k)
    for start in range(0, len(x), examples):
        rows = slice(start, min(start + examples, len(x)))
        parts = _log_weights(x[rows], rows, encode, decode, prior, likelihood, k, rng)
        weights = np.concatenate(list(parts), 1)
        largest = weights.max(1)
        result.elbo[rows] = weights.mean(1)
        result.importance_weighted[rows] = largest + np.log(np.exp(weights - largest[:, None]).mean(1))
    return result


def _log_weights(
    x: FloatArray,
    rows: slice,
    encode: Encode,
    decode: Decode,
    prior: Prior,
    likelihood: Likelihood,
    k: int,
    rng: np.random.Generator,
) -> Iterator[Nats]:
    """Yield arrays of log(p(x, z) / q(z|x)) in nats, float64, shape (n, draws).

    All arrays together hold k draws per example.
    """
    posterior = encode(rows)
    mean, log_var = (part.astype(np.float64)[:, None] for part in (posterior.mean, posterior.log_var))
    for done in range(0, k, _MAX_LATENTS):
        draws = min(k - done, _MAX_LATENTS)
        eps = draw_normals(rng, (len(x), draws, *posterior.mean.shape[1:]))
        z = (mean + np.exp(0.5 * log_var) * eps).astype(np.float32)
        latents = z.reshape(len(x) * draws, *z.shape[2:])
        parameters = [array.reshape(len(x), draws, *x.shape[1:]) for array in decode(latents, rows)]
        elements = likelihood.log_prob(x[:, None], *parameters)
        log_likelihood = elements.sum((*range(2, elements.ndim),), dtype=np.float64)
        squares = (z - mean) ** 2 * np.exp(-log_var)
        log_posterior = -0.5 * (squares + log_var + math.log(2 * math.pi)).sum((*range(2, z.ndim),))
        log_prior = prior.log_prob(latents).reshape(len(x), draws)
        yield log_likelihood + log_prior - log_posterior
