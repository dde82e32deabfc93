"""The terms of the detection score: distortion and rate of each example at the mean of q(z|x), in nats.

Both terms are deterministic, and need one evaluation of the decoder. Their negative sum is the bound on log p(x) that a
single z gives (Kingma & Welling 2014, eq. 2, with z = mean instead of a draw):

    log p(x|z) + log p(z) - log q(z|x) = -(distortion + rate)
"""

import math
from typing import NamedTuple

import numpy as np

from vaedge._types import FloatArray, Nats
from vaedge.distributions.likelihoods import Likelihood
from vaedge.distributions.posterior import Posterior
from vaedge.distributions.prior import Prior


class Terms(NamedTuple):
    """The terms of each example at z = mean, in nats.

    Attributes:
        distortion: -log p(x|z), float64, shape (n,). For bce_surrogate, the cross-entropy.
        rate: log q(z|x) - log p(z), float64, shape (n,).
    """

    distortion: Nats
    rate: Nats

    @property
    def bound(self) -> Nats:
        """The bound on log p(x) that z = mean gives, float64, shape (n,)."""
        return -(self.distortion + self.rate)


@np.errstate(all="ignore")  # an overflow is visible in the result, so numpy's warning is not needed
def terms_at_mean(posterior: Posterior, elements: FloatArray, prior: Prior) -> Terms:
    """Return the terms of each example.

    The result of an example does not depend on the other examples: every sum runs over one row alone.

    Args:
        posterior: q(z|x) of n examples.
        elements: -log p(x|z) of each element of x at z = mean, float32, shape (n, *input_shape).
        prior: The prior p(z).
    """
    log_var = posterior.log_var.reshape(len(elements), -1).astype(np.float64)
    log_posterior = -0.5 * (log_var + math.log(2 * math.pi)).sum(1)
    # The explicit conversion matters: a sum with dtype=float64 would convert blocks that extend over several rows.
    distortion = elements.reshape(len(elements), -1).astype(np.float64).sum(1)
    return Terms(distortion, log_posterior - prior.log_prob_by_row(posterior.mean))


@np.errstate(all="ignore")
def distortion_elements(x: FloatArray, parameters: list[FloatArray], likelihood: Likelihood) -> FloatArray:
    """Return -log p(x|z) of each element of x in nats, float32, shape (n, *input_shape).

    Args:
        x: Examples, float32, shape (n, *input_shape).
        parameters: The parameters of p(x|z) at z = mean, each of the shape of x.
        likelihood: The likelihood p(x|z).
    """
    log_prob = likelihood.log_prob(x, *parameters)
    return np.negative(log_prob, out=log_prob)
