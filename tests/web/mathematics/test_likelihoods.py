"""The log-density of each element of x, and draws of x from p(x|z), in JavaScript."""

import numpy as np
import pytest

from vaedge.distributions.draws import Draws
from vaedge.distributions.likelihoods import LIKELIHOODS, require_scorable

EXTREME_LOGITS = [0, 1e-6, 0.05, 0.0999, 0.1, 0.11, 1, 5, 20, 88, 104, 1000, 3e38]


def likelihood_arrays(name):
    """Return x, and a dict of the parameters of p(x|z) with the names that `calculate.mjs` expects.

    Both include extreme values.
    """
    rng = np.random.default_rng(len(name))
    if name in ("bernoulli", "bce_surrogate", "continuous_bernoulli"):
        logits = np.float32([*EXTREME_LOGITS, *np.negative(EXTREME_LOGITS), *rng.normal(0, 5, 500)])
        x = np.float32([0, 1] if name == "bernoulli" else [0, 1, 0.25, 1 / 255])
        return x.repeat(len(logits)), {"parameter.logits": np.tile(logits, len(x))}
    if name == "gaussian":
        x, loc = rng.normal(0, 3, (2, 2000)).astype(np.float32)
        log_scale = np.resize(np.float32([-6, 10, 0, -1, 2.5, -30, 80]), 2000)
    else:
        x = np.resize(np.arange(256, dtype=np.float32) / np.float32(255), 2048)
        loc = (x + rng.normal(0, 0.05, 2048)).astype(np.float32)
        loc[::7] = x[::7]
        log_scale = rng.uniform(-9, 9, 2048).astype(np.float32)
        log_scale[::5] = np.resize(np.float32([-8, 8, -12, 60, -3]), len(log_scale[::5]))
    return x, {"parameter.loc": loc, "parameter.log_scale": log_scale}


RANGES = [("bernoulli", None), ("bce_surrogate", None), ("continuous_bernoulli", None), ("gaussian", None)]
RANGES += [("gaussian", [-1.1, 1.3]), ("discretized_logistic", None), ("discretized_logistic", [-4.7, 3.3])]


@pytest.mark.parametrize(("name", "limits"), RANGES)
def test_log_prob_of_each_element_agrees(calculate, name, limits):
    x, parameters = likelihood_arrays(name)
    likelihood = require_scorable(name, surrogate=True, log_scale_range=limits and tuple(limits))
    with np.errstate(all="ignore"):
        expected = likelihood.log_prob(x, *parameters.values())
    arrays = {"x": x[None], **{key: value[None] for key, value in parameters.items()}}
    found = calculate("logProb", arrays, likelihood=name, surrogate=True, logScaleRange=limits)["logProb"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6)


def test_each_example_is_scored_with_its_own_draws(calculate):
    """With three draws per example, the rows 3 i, 3 i + 1 and 3 i + 2 of the parameters belong to example i."""
    rng = np.random.default_rng(0)
    x, logits = rng.integers(0, 2, (4, 2, 2)).astype(np.float32), rng.normal(0, 2, (12, 2, 2)).astype(np.float32)
    expected = LIKELIHOODS["bernoulli"].log_prob(x.repeat(3, 0), logits)
    found = calculate("logProb", {"x": x, "parameter.logits": logits}, likelihood="bernoulli")["logProb"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(("name", "limits"), [case for case in RANGES if case[0] != "bce_surrogate"])
def test_draws_agree(calculate, name, limits):
    _, parameters = likelihood_arrays(name)
    rows = {key: value[: len(value) // 4 * 4].reshape(-1, 4) for key, value in parameters.items()}
    expected = Draws(name, 11, limits and tuple(limits)).next(list(rows.values()))
    found = calculate("draw", rows, likelihood=name, logScaleRange=limits, seed=11, split=13)
    drawn = np.concatenate([found["part0"], found["part1"]])
    assert drawn.dtype == np.float32
    if name in ("bernoulli", "discretized_logistic"):
        np.testing.assert_array_equal(drawn, expected)
    else:
        np.testing.assert_allclose(drawn, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("function", "name", "x", "message"),
    [
        ("logProb", "cauchy", 0, "cannot compute the likelihood 'cauchy'; expected one of bernoulli"),
        ("draw", "cauchy", 0, "cannot draw from the likelihood 'cauchy'; expected one of bernoulli"),
        ("logProb", "toString", 0, "cannot compute the likelihood 'toString'"),
        ("logProb", "bce_surrogate", 0, "log p(x) does not exist"),
        ("draw", "bce_surrogate", 0, "nothing can be drawn from it"),
        ("logProb", "bernoulli", 0.5, "binarize x"),
    ],
)
def test_likelihood_that_cannot_be_used_is_refused(calculate, function, name, x, message):
    arrays = {"x": np.full((1, 2), x, np.float32), "parameter.logits": np.zeros((1, 2), np.float32)}
    found = calculate(function, arrays, likelihood=name, seed=0, split=1)
    assert found["error"] == "InputError"
    assert message in found["message"]
