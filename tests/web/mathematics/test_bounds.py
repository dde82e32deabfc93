"""Bounds on log p(x), and the two terms of the anomaly score, in JavaScript. A linear model replaces the graphs."""

import math

import numpy as np
import pytest
from web.mathematics.helpers import prior_arrays

from vaedge.detection.terms import compute_terms
from vaedge.distributions.bounds import estimate_bounds
from vaedge.distributions.likelihoods import LIKELIHOODS
from vaedge.distributions.posterior import Posterior
from vaedge.distributions.prior import Mixture, StandardNormal


@pytest.fixture(scope="module")
def model():
    """A linear model and ten examples.

    Return a dict of arrays: the examples x, the mean and the log_var of q(z|x), and two matrices that replace the
    decoder.
    """
    rng = np.random.default_rng(6)
    arrays = {
        "x": rng.integers(0, 2, (10, 6)),
        "mean": rng.normal(0, 1, (10, 3)),
        "log_var": rng.normal(-1, 1, (10, 3)),
    }
    arrays |= {"W": rng.normal(0, 1, (3, 6)), "V": rng.normal(0, 0.3, (3, 6))}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def steps(arrays):
    """Return the functions `encode` and `decode` that `estimate_bounds` takes, for a linear model."""
    matrices = [arrays[name].astype(np.float64) for name in ("W", "V") if name in arrays]
    return (
        lambda rows: Posterior(arrays["mean"][rows], arrays["log_var"][rows]),
        lambda z, rows: [(z.astype(np.float64) @ matrix).astype(np.float32) for matrix in matrices],
    )


def linear_model(model, likelihood, prior_name):
    """Return the arrays of the model, the arrays of the prior, the prior, and the options for `calculate.mjs`."""
    arrays = {name: array for name, array in model.items() if likelihood == "gaussian" or name != "V"}
    prior, files = StandardNormal((3,)), {}
    if prior_name == "mixture":
        rng = np.random.default_rng(2)
        prior = Mixture.from_parameters(
            np.log(np.float32([0.25, 0.75])), *rng.normal(0, 1, (2, 2, 3)).astype(np.float32)
        )
        files = prior_arrays(prior)
    return arrays, files, prior, {"likelihood": likelihood, "prior": prior_name, "latentShape": [3]}


CASES = [("bernoulli", "standard_normal"), ("gaussian", "mixture")]


@pytest.mark.parametrize("k", [1, 7, 1000, 5000])
@pytest.mark.parametrize(("likelihood", "prior_name"), CASES)
def test_bounds_agree(calculate, model, likelihood, prior_name, k):
    arrays, files, prior, options = linear_model(model, likelihood, prior_name)
    elbo, bound = estimate_bounds(arrays["x"], *steps(arrays), prior, LIKELIHOODS[likelihood], k=k, seed=3)
    found = calculate("bounds", arrays | files, **options, k=k, seed=3)
    np.testing.assert_allclose(found["elbo"], elbo, rtol=1e-6)
    np.testing.assert_allclose(found["bound"], bound, rtol=1e-6)
    np.testing.assert_allclose(-(found["rate"] + found["distortion"]), elbo, rtol=1e-6)
    assert (found["bound"] >= found["elbo"]).all()


def test_bounds_of_an_unlikely_example_are_finite(calculate, model):
    """The importance weights of this example are so small that only their logarithms can be represented."""
    arrays, files, prior, options = linear_model(model, "gaussian", "standard_normal")
    arrays |= {"x": arrays["x"] + 1000}
    expected = estimate_bounds(arrays["x"], *steps(arrays), prior, LIKELIHOODS["gaussian"], k=5, seed=0)
    found = calculate("bounds", arrays | files, **options, k=5, seed=0)
    assert (expected.importance_weighted < -1e5).all()
    np.testing.assert_allclose(found["bound"], expected.importance_weighted, rtol=1e-6)


def test_rate_agrees_with_the_formula(calculate, model):
    arrays, _, _, options = linear_model(model, "bernoulli", "standard_normal")
    mean, log_var = (arrays[name].astype(np.float64)[:, None] for name in ("mean", "log_var"))
    eps = np.random.default_rng(3).standard_normal((10, 9, 3)).astype(np.float32)
    z = (mean + np.exp(log_var / 2) * eps).astype(np.float32).astype(np.float64)
    log_q = -0.5 * ((z - mean) ** 2 / np.exp(log_var) + log_var + math.log(2 * math.pi)).sum(2)
    log_p = -0.5 * (z**2 + math.log(2 * math.pi)).sum(2)
    found = calculate("bounds", arrays, **options, k=9, seed=3)
    np.testing.assert_allclose(found["rate"], (log_q - log_p).mean(1), rtol=1e-9)


@pytest.mark.parametrize(("likelihood", "prior_name"), CASES)
@pytest.mark.parametrize("batch_size", [3, 100])
def test_terms_and_maps_agree(calculate, model, likelihood, prior_name, batch_size):
    arrays, files, prior, options = linear_model(model, likelihood, prior_name)
    maps = np.empty((10, 6), np.float32)
    expected = compute_terms(
        arrays["x"], *steps(arrays), prior, LIKELIHOODS[likelihood], batch_size=batch_size, maps=maps
    )
    found = calculate("terms", arrays | files, **options, batchSize=batch_size, maps=True)
    np.testing.assert_allclose(found["distortion"], expected.distortion, rtol=1e-6)
    np.testing.assert_allclose(found["rate"], expected.rate, rtol=1e-10)
    np.testing.assert_allclose(found["maps"], maps, rtol=1e-5, atol=1e-6)
    without = calculate("terms", arrays | files, **options, batchSize=batch_size, maps=False)
    assert without.keys() == {"distortion", "rate"}
