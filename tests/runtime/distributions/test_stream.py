"""A stream of samples gives the same rows in several parts as in one call of `sample`.

The density of a prior is normalized.
"""

import numpy as np
import pytest

from vaedge.distributions.prior import Mixture, StandardNormal

RNG = np.random.default_rng(0)
MIXTURE = Mixture.from_parameters(
    np.log(np.array([0.2, 0.8], np.float32)),
    RNG.standard_normal((2, 3), np.float32),
    RNG.standard_normal((2, 3), np.float32),
)


@pytest.mark.parametrize("prior", [StandardNormal((3,)), MIXTURE], ids=["normal", "mixture"])
def test_stream_gives_the_draws_of_one_call(prior):
    draw = prior.stream(7)
    parts = np.concatenate([draw(n) for n in (1, 511, 7, 1, 480)])
    np.testing.assert_array_equal(parts, prior.sample(1000, 7))
    np.testing.assert_array_equal(prior.sample(10, 7), prior.sample(1000, 7)[:10])


@pytest.mark.parametrize("prior", [StandardNormal((3,)), MIXTURE], ids=["normal", "mixture"])
def test_density_integrates_to_one(prior):
    """The integral is estimated by importance sampling from a wide Gaussian."""
    z = (4 * np.random.default_rng(1).standard_normal((400_000, 3))).astype(np.float32)
    log_proposal = -0.5 * ((z.astype(float) / 4) ** 2 + np.log(2 * np.pi * 16)).sum(1)
    assert np.exp(prior.log_prob(z) - log_proposal).mean() == pytest.approx(1, abs=0.03)
