"""Draws from the posterior q(z|x)."""

import dataclasses
import math

import numpy as np
import pytest

import vaedge
from vaedge.distributions.posterior import standard_deviation


def test_draws_have_the_mean_and_the_variance():
    mean, log_var = np.array([[1.0, -2.0]], np.float32), np.array([[0.5, -1.0]], np.float32)
    n = 100_000
    draws = vaedge.Posterior(np.repeat(mean, n, 0), np.repeat(log_var, n, 0)).sample(seed=0)
    np.testing.assert_allclose(draws.mean(0), mean[0], atol=0.02)
    np.testing.assert_allclose(draws.var(0), np.exp(log_var[0]), rtol=0.02)


def test_draws_are_the_documented_formula():
    rng = np.random.default_rng(0)
    mean, log_var = (rng.standard_normal((4, 3)).astype(np.float32) for _ in range(2))
    noise = np.random.default_rng(9).standard_normal((4, 3)).astype(np.float32)
    expected = mean + np.exp(log_var.astype(float) / 2).astype(np.float32) * noise
    np.testing.assert_array_equal(vaedge.Posterior(mean, log_var).sample(seed=9), expected)


@pytest.mark.parametrize("log_var", [-30, -1.5, 0, 0.1, 20, 88])
def test_standard_deviation_is_rounded_once(log_var):
    found = standard_deviation(np.array([log_var], np.float32))
    assert found.dtype == np.float32
    assert found[0] == np.float32(math.exp(float(np.float32(log_var)) / 2))


@pytest.mark.filterwarnings("error")
def test_overflow_is_infinite_without_a_warning():
    large = vaedge.Posterior(np.zeros((1, 2), np.float32), np.full((1, 2), 1000, np.float32))
    assert np.isinf(large.sample(seed=0)).all()


def test_posterior_is_immutable_and_compared_by_identity():
    arrays = np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32)
    posterior = vaedge.Posterior(*arrays)
    assert posterior == posterior
    assert posterior != vaedge.Posterior(*arrays)
    with pytest.raises(dataclasses.FrozenInstanceError):
        posterior.mean = arrays[0]
