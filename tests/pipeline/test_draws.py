"""Each element of a draw from p(x|z) follows the distribution in torch.distributions."""

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, ContinuousBernoulli, Normal, TransformedDistribution, Uniform
from torch.distributions.transforms import AffineTransform, SigmoidTransform

from vaedge.distributions.draws import Draws

N = 50_000
# Limit of the Kolmogorov-Smirnov statistic. With a correct sampler, one test in a thousand exceeds the limit.
LIMIT = 1.95 / np.sqrt(N)
LOGITS = (-60.0, -5.0, -0.3, -1e-4, 0.0, 1e-7, 0.05, 2.0, 40.0, 300.0)
SCALES = ((0.5, -2.5), (0.1, -4.0), (-0.4, 0.0), (0.97, -8.0), (1.6, 1.5), (1e3, 4.0))


def draw(name, *parameters, seed=3):
    rows = [np.full((N, 1), parameter, np.float32) for parameter in parameters]
    found = Draws(name, seed).next(rows)
    assert found.dtype == np.float32
    return found[:, 0].astype(np.float64)


def noise(seed=3):
    return np.random.default_rng((seed, 2))


def statistic(found, cdf):
    """Return the Kolmogorov-Smirnov statistic of samples from a continuous distribution."""
    expected = cdf(torch.from_numpy(np.sort(found))).numpy()
    ranks = np.arange(1, len(found) + 1) / len(found)
    return max((ranks - expected).max(), (expected - ranks).max() + 1 / len(found))


@pytest.mark.parametrize("logits", LOGITS)
def test_bernoulli_is_one_where_the_uniform_number_is_below_the_probability(logits):
    found = draw("bernoulli", logits)
    p = float(Bernoulli(logits=torch.tensor(np.float32(logits), dtype=torch.float64)).mean)
    assert set(np.unique(found)) <= {0, 1}
    np.testing.assert_array_equal(found, noise().random(N) < p)
    assert found.mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / N) + 1e-12)


@pytest.mark.parametrize("logits", LOGITS)
def test_continuous_bernoulli_follows_its_cumulative_distribution(logits):
    found = draw("continuous_bernoulli", logits)
    assert found.min() >= 0
    assert found.max() <= 1
    if 1e-3 < abs(logits) < 20:  # outside of this range, torch is less accurate
        reference = ContinuousBernoulli(logits=torch.tensor(np.float32(logits), dtype=torch.float64))
        assert statistic(found, reference.cdf) < LIMIT
        np.testing.assert_allclose(found, reference.icdf(torch.from_numpy(noise().random(N))), atol=1e-6)
    elif abs(logits) < 1e-3:
        assert statistic(found, Uniform(0.0, 1.0).cdf) < LIMIT
    else:  # close to an exponential distribution that starts at 0 or at 1
        distance = found if logits < 0 else 1 - found
        assert distance.mean() == pytest.approx(1 / abs(logits), rel=0.02)


@pytest.mark.parametrize(("loc", "log_scale"), SCALES)
def test_gaussian_follows_the_normal_distribution(loc, log_scale):
    found = draw("gaussian", loc, log_scale)
    mean, scale = np.float64(np.float32(loc)), np.exp(np.float64(np.float32(log_scale)))
    assert statistic(found, Normal(torch.tensor(mean), torch.tensor(scale)).cdf) < LIMIT
    np.testing.assert_array_equal(found, (mean + scale * noise().standard_normal(N)).astype(np.float32))


@pytest.mark.parametrize(("loc", "log_scale"), SCALES)
def test_discretized_logistic_has_the_probabilities_of_the_256_levels(loc, log_scale):
    found = draw("discretized_logistic", loc, log_scale)
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    assert np.isin(found.astype(np.float32), levels).all()
    base = Uniform(torch.tensor(0.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))
    transforms = [SigmoidTransform().inv, AffineTransform(np.float32(loc), np.exp(np.float64(np.float32(log_scale))))]
    logistic = TransformedDistribution(base, transforms)
    edges = torch.from_numpy((np.arange(255) + 0.5) / 255)
    expected = np.diff(logistic.cdf(edges).numpy(), prepend=0, append=1)
    counts = np.bincount(np.rint(found * 255).astype(int), minlength=256)
    assert abs(counts.cumsum() / N - expected.cumsum()).max() < LIMIT


def test_log_scale_is_limited_where_the_graph_does_not_limit_it():
    parameters = [np.zeros((N, 1), np.float32), np.full((N, 1), -20, np.float32)]
    assert Draws("gaussian", 0).next(parameters).std() == pytest.approx(np.exp(-20), rel=0.02)
    assert Draws("gaussian", 0, (-6, 10)).next(parameters).std() == pytest.approx(np.exp(-6), rel=0.02)
    assert Draws("gaussian", 0, (-6, 10)).next([parameters[1], parameters[0]]).mean() == pytest.approx(-20, rel=0.01)
