"""Log-densities agree with independent formulas in float64, and the likelihoods are normalized."""

import math

import numpy as np
import pytest

import vaedge
from vaedge.distributions.likelihoods import LIKELIHOODS, require_scorable

LOGITS = (-80, -12, -3.3, -0.5, -0.11, -0.1, -0.0999, -0.01, 0.0, 1e-4, 0.05, 0.0999, 0.1, 0.11, 1, 7.5, 30)


def log_prob(name, x, *parameters, limits=None):
    found = require_scorable(name, surrogate=True, log_scale_range=limits).log_prob(
        np.float32(x), *map(np.float32, parameters)
    )
    assert found.dtype == np.float32
    return float(found)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize("logits", [value for value in LOGITS if abs(value) < 20])
def test_bernoulli_is_the_probability_of_each_value(logits):
    assert log_prob("bernoulli", 1, logits) == pytest.approx(math.log(sigmoid(logits)), rel=1e-5, abs=1e-6)
    assert log_prob("bernoulli", 0, logits) == pytest.approx(math.log(sigmoid(-logits)), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("x", [0, 0.25, 1])
def test_surrogate_is_the_binary_cross_entropy(x):
    expected = x * math.log(sigmoid(2)) + (1 - x) * math.log(sigmoid(-2))
    assert log_prob("bce_surrogate", x, 2) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("x", [0, 0.3, 1])
@pytest.mark.parametrize("logits", LOGITS)
def test_continuous_bernoulli_is_the_truncated_exponential(logits, x):
    """The density is exp(x * logits) divided by the integral of exp(x * logits) over [0, 1]."""
    integral = 1.0 if logits == 0 else math.expm1(logits) / logits
    expected = x * float(np.float32(logits)) - math.log(integral)
    assert log_prob("continuous_bernoulli", x, logits) == pytest.approx(expected, rel=2e-6, abs=2e-6)


@pytest.mark.parametrize("logits", [-0.0999, -0.05, 0.02, 0.0999])
def test_series_of_the_continuous_bernoulli_is_as_accurate_as_float32(logits):
    """In float64, the series differs from log(logits / tanh(logits / 2)) only by the omitted term of order 6."""
    x = np.float64(0)
    found = LIKELIHOODS["continuous_bernoulli"].log_prob(x, np.float64(logits))
    constant = math.log(logits / math.tanh(logits / 2)) + float(np.float32(math.log(2))) - math.log(2)
    assert float(found) == pytest.approx(constant - math.log1p(math.exp(logits)), abs=2e-9)


@pytest.mark.parametrize("x", [-3, 0.2, 40])
@pytest.mark.parametrize("loc", [0, -1.5])
@pytest.mark.parametrize(
    ("log_scale", "bounded"),
    [(0, 0), (-2, -2), (-6, -6), (-6.5, -6), (-50, -6), (3, 3), (10, 10), (10.5, 10), (50, 10)],
)
def test_gaussian_is_the_normal_density_whose_scale_is_clipped_to_the_given_limits(x, loc, log_scale, bounded):
    variance = math.exp(2 * bounded)
    expected = -((x - loc) ** 2) / (2 * variance) - 0.5 * math.log(2 * math.pi * variance)
    assert log_prob("gaussian", x, loc, bounded) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    clipped = log_prob("gaussian", x, loc, log_scale, limits=(-6, 10))
    assert clipped == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_scale_is_not_clipped_without_limits():
    """A manifest without limits means that the graphs already limit log_scale."""
    for log_scale in (-9.0, 12.0):
        expected = -0.5 * (0.5 * math.exp(-log_scale)) ** 2 - log_scale - 0.5 * math.log(2 * math.pi)
        assert log_prob("gaussian", 0.5, 1, log_scale) == pytest.approx(expected, rel=1e-5)
    assert log_prob("discretized_logistic", 0.2, 0.3, 9) != log_prob("discretized_logistic", 0.2, 0.3, 8)


def logistic_probability(pixel, loc, scale):
    """Return the mass of a logistic distribution in bin `pixel` of 256 bins; the outer bins extend to infinity."""
    edges = -np.inf if pixel == 0 else (pixel - 0.5) / 255, np.inf if pixel == 255 else (pixel + 0.5) / 255
    below, above = (0.5 * (1 + math.tanh((edge - loc) / (2 * scale))) for edge in edges)
    return above - below


# Bins with a smaller mass are omitted, because float64 is not accurate enough for the expected value.
BINS = [
    (pixel, loc, log_scale)
    for pixel in (0, 1, 2, 100, 128, 253, 254, 255)
    for loc in (0.0, 0.41, 1.0)
    for log_scale in (-4, -2.5, -1, 1)
    if logistic_probability(pixel, loc, math.exp(log_scale)) > 1e-12
]


@pytest.mark.parametrize(("pixel", "loc", "log_scale"), BINS)
def test_discretized_logistic_is_the_mass_of_a_bin(pixel, loc, log_scale):
    expected = logistic_probability(pixel, float(np.float32(loc)), math.exp(log_scale))
    found = log_prob("discretized_logistic", pixel / 255, loc, log_scale)
    assert found == pytest.approx(math.log(expected), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("log_scale", "bounded"), [(-9, -8), (-80, -8), (9, 8), (80, 8)])
def test_scale_of_the_discretized_logistic_is_clipped_to_the_given_limits(log_scale, bounded):
    for pixel in (0, 7, 255):
        found, expected = (
            log_prob("discretized_logistic", pixel / 255, 0.03, value, limits=(-8, 8)) for value in (log_scale, bounded)
        )
        assert found == expected
    inner = bounded - math.copysign(0.1, bounded)
    assert log_prob("discretized_logistic", 7 / 255, 0.03, inner, limits=(-8, 8)) != expected


@pytest.mark.parametrize("parameters", [(0.3, -8), (0.0, -3), (0.97, 0), (0.5, 8)])
def test_discretized_logistic_sums_to_one(parameters):
    pixels = np.arange(256, dtype=np.float32) / np.float32(255)
    loc, log_scale = (np.full(256, value, np.float32) for value in parameters)
    log_probs = LIKELIHOODS["discretized_logistic"].log_prob(pixels, loc, log_scale)
    assert np.exp(log_probs.astype(np.float64)).sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "parameters", "interval"),
    [
        ("continuous_bernoulli", (2,), (0, 1)),
        ("continuous_bernoulli", (-0.05,), (0, 1)),
        ("continuous_bernoulli", (-20,), (0, 1)),
        ("gaussian", (0.5, -1), (-6, 7)),
        ("gaussian", (3, 1), (-30, 36)),
    ],
)
def test_density_integrates_to_one(name, parameters, interval):
    x = np.linspace(*interval, 200_001).astype(np.float32)
    density = np.exp(LIKELIHOODS[name].log_prob(x, *(np.full_like(x, value) for value in parameters)).astype(float))
    width = (interval[1] - interval[0]) / 200_000
    assert (density.sum() - 0.5 * (density[0] + density[-1])) * width == pytest.approx(1, abs=1e-4)


def test_only_the_surrogate_is_not_normalized_and_only_bernoulli_is_binary():
    assert {name for name, likelihood in LIKELIHOODS.items() if not likelihood.normalized} == {"bce_surrogate"}
    assert {name for name, likelihood in LIKELIHOODS.items() if likelihood.binary} == {"bernoulli"}


def test_unknown_likelihood_is_refused():
    with pytest.raises(vaedge.InputError, match="cannot compute the likelihood 'poisson'; expected one of bernoulli"):
        require_scorable("poisson")


def test_surrogate_is_refused_unless_it_is_allowed():
    with pytest.raises(vaedge.InputError, match="not a normalized distribution"):
        require_scorable("bce_surrogate")
    assert require_scorable("bce_surrogate", surrogate=True) is LIKELIHOODS["bce_surrogate"]


def test_bernoulli_refuses_values_between_0_and_1():
    gray = np.array([0, 0.5, 1], np.float32)
    with pytest.raises(vaedge.InputError, match="x holds values other than 0 and 1.*binarize x"):
        require_scorable("bernoulli", gray)
    assert require_scorable("bernoulli", gray.round()) is LIKELIHOODS["bernoulli"]
    assert require_scorable("continuous_bernoulli", gray) is LIKELIHOODS["continuous_bernoulli"]
