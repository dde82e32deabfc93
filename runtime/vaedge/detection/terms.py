"""The two terms of the anomaly score: distortion and rate of each example at the mean of q(z|x), in nats.

Both terms together need one evaluation of the decoder, and no random numbers. Their negative sum is the estimate of the
ELBO that a single z gives (Kingma & Welling 2014, eq. 2, with z = mean instead of a draw):

    log p(x|z) + log p(z) - log q(z|x) = -(distortion + rate)
"""

import math
from typing import NamedTuple

import numpy as np

from vaedge._types import FloatArray, Nats
from vaedge.distributions.bounds import Decode, Encode
from vaedge.distributions.likelihoods import Likelihood
from vaedge.distributions.prior import Prior


class Terms(NamedTuple):
    """The distortion and the rate of each example at z = mean of q(z|x), in nats.

    Attributes:
        distortion: -log p(x|z), float64, shape (n,). For bce_surrogate, it is the cross-entropy.
        rate: log q(z|x) - log p(z), float64, shape (n,).
    """

    distortion: Nats
    rate: Nats

    @property
    def bound(self) -> Nats:
        """Estimate of the ELBO from the single latent z = mean, in nats, float64, shape (n,)."""
        return -(self.distortion + self.rate)


@np.errstate(all="ignore")  # an overflow is visible in the result, so numpy's warning is not needed
def compute_terms(
    x: FloatArray,
    encode: Encode,
    decode: Decode,
    prior: Prior,
    likelihood: Likelihood,
    *,
    batch_size: int,
    maps: FloatArray | None = None,
) -> Terms:
    """Compute the distortion and the rate of each example.

    In fp32, the result of an example does not depend on the other examples, because each sum is over the elements of
    one example.

    Args:
        x: Examples, float32, shape (n, *input_shape), already validated.
        encode: Function that takes a `slice` object, and returns q(z|x) of the rows of x that this slice selects.
        decode: Function that takes the latents of some rows of x and the `slice` object that selects these rows, and
            returns the parameters of p(x|z).
        prior: The prior p(z).
        likelihood: The likelihood p(x|z).
        batch_size: Number of examples that are encoded and decoded at once.
        maps: Float32 array of the shape of x, into which the distortion of each element is written in nats. If None,
            these distortions are discarded.
    """
    terms = Terms(np.empty(len(x)), np.empty(len(x)))
    for start in range(0, len(x), batch_size):
        rows = slice(start, min(start + batch_size, len(x)))
        posterior = encode(rows)
        elements = -likelihood.log_prob(x[rows], *decode(posterior.mean, rows))
        if maps is not None:
            maps[rows] = elements
        # Convert before the sum. A sum with dtype=float64 would convert blocks that extend over several rows, so the
        # rounding errors of a row would depend on the other rows.
        terms.distortion[rows] = _rows(elements).sum(1)
        log_posterior = -0.5 * (_rows(posterior.log_var) + math.log(2 * math.pi)).sum(1)
        terms.rate[rows] = log_posterior - prior.log_prob_by_row(posterior.mean)
    return terms


def _rows(array: FloatArray) -> Nats:
    """Flatten each row of an array, and convert it to float64: shape (n, elements of a row)."""
    return array.reshape(len(array), -1).astype(np.float64)
