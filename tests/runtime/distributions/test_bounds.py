"""Bounds on log p(x) of a linear Gaussian model, compared with the exact log p(x)."""

import math

import numpy as np
import pytest

from vaedge.distributions import bounds
from vaedge.distributions.bounds import estimate_bounds
from vaedge.distributions.likelihoods import LIKELIHOODS
from vaedge.distributions.posterior import Posterior
from vaedge.distributions.prior import StandardNormal

X = np.array([[-1.0], [0.3], [2.5]], np.float32)
# z ~ N(0, 1) and x ~ N(z, 1), so x ~ N(0, 2) and z given x ~ N(x / 2, 1 / 2).
LOG_PROB = -(X[:, 0].astype(float) ** 2) / 4 - 0.5 * math.log(2 * math.pi * 2)
EXACT_LOG_VAR = -math.log(2)


def estimate(x=X, shift=0.0, log_var=EXACT_LOG_VAR, k=10, seed=0):
    """Estimate the bounds with q(z|x) = N(x / 2 + shift, exp(log_var))."""
    mean = (x / 2 + shift).astype(np.float32)
    posterior = Posterior(mean, np.full_like(mean, log_var))

    def encode(rows):
        return Posterior(posterior.mean[rows], posterior.log_var[rows])

    def decode(z, rows):
        assert len(z) % len(x[rows]) == 0
        return [z, np.zeros_like(z)]

    return estimate_bounds(x, encode, decode, StandardNormal((1,)), LIKELIHOODS["gaussian"], k=k, seed=seed)


@pytest.mark.parametrize("k", [1, 2, 100])
def test_bounds_are_exact_with_the_exact_posterior(k):
    found = estimate(k=k)
    np.testing.assert_allclose(found.elbo, LOG_PROB, atol=1e-5)
    np.testing.assert_allclose(found.importance_weighted, LOG_PROB, atol=1e-5)


def test_elbo_is_lower_by_the_divergence_of_the_posterior():
    shift, variance = 0.4, 0.8
    divergence = 0.5 * (variance / 0.5 + shift**2 / 0.5 - 1 - math.log(variance / 0.5))
    found = estimate(shift=shift, log_var=math.log(variance), k=200_000)
    np.testing.assert_allclose(found.elbo, LOG_PROB - divergence, atol=0.01)
    np.testing.assert_allclose(found.importance_weighted, LOG_PROB, atol=0.01)


def test_one_draw_gives_the_same_value_of_both_bounds():
    found = estimate(shift=0.4, k=1)
    np.testing.assert_array_equal(found.elbo, found.importance_weighted)


def test_importance_weighted_bound_is_never_smaller_than_the_elbo():
    found = estimate(shift=1, k=5)
    assert (found.importance_weighted >= found.elbo).all()


@pytest.mark.parametrize("latents", [1, 5, 7, 14, 15, 16, 100])
def test_number_of_latents_per_call_does_not_change_the_bounds(monkeypatch, latents):
    expected = estimate(shift=0.4, k=7)
    sizes = []
    standard = bounds._log_weights

    def recorded(x, rows, *arguments):
        sizes.append(len(x))
        return standard(x, rows, *arguments)

    monkeypatch.setattr(bounds, "_MAX_LATENTS", latents)
    monkeypatch.setattr(bounds, "_log_weights", recorded)
    found = estimate(shift=0.4, k=7)
    if latents >= 7:  # one part holds all draws of an example
        np.testing.assert_allclose(found.importance_weighted, expected.importance_weighted, rtol=1e-12)
    assert sizes == {14: [2, 1], 15: [2, 1], 16: [2, 1], 100: [3]}.get(latents, [1, 1, 1])


def test_draws_of_an_example_do_not_depend_on_the_examples_after_it():
    x = np.random.default_rng(0).standard_normal((500, 1)).astype(np.float32)
    found = estimate(x, shift=0.4, k=10)
    first = estimate(x[:204], shift=0.4, k=10)  # the first part has 2048 // 10 = 204 examples
    np.testing.assert_allclose(found.elbo[:204], first.elbo, rtol=1e-12)


def test_seed_decides_the_bounds():
    np.testing.assert_array_equal(estimate(shift=1, seed=3).elbo, estimate(shift=1, seed=3).elbo)
    assert not np.array_equal(estimate(shift=1, seed=3).elbo, estimate(shift=1, seed=4).elbo)
    assert not np.array_equal(estimate(shift=1, seed=None).elbo, estimate(shift=1, seed=None).elbo)
