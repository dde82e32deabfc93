import numpy as np
import pytest

from vaedge.detection.score import MAX_POINTS, Score
from vaedge.detection.terms import Terms
from vaedge.errors import BundleError


def correlated(n, seed=0):
    """Return the distortions and the rates of n examples in nats, shape (n, 2), float32.

    Both are random. The rate grows with the distortion.
    """
    rng = np.random.default_rng(seed)
    distortion = rng.normal(100, 20, n)
    return np.stack([distortion, 30 + 0.2 * distortion + rng.normal(0, 2, n)], 1).astype(np.float32)


def terms(points):
    return Terms(*points.astype(np.float64).T)


def test_score_is_large_on_both_sides_of_each_statistic():
    score = Score(correlated(500))
    usual = score(terms(np.float32([[100, 50]])))
    for unusual in ([10, 32], [190, 68], [100, 30], [100, 70]):
        assert score(terms(np.float32([unusual]))) > usual + 5


def test_score_does_not_depend_on_units_of_the_data():
    """A change of the units of x adds the same constant to every distortion, and does not change the score."""
    points, examples = correlated(100), correlated(10, seed=1)
    shift = np.float32([1000, 0])
    shifted = Score(points + shift)(terms(examples + shift))
    np.testing.assert_allclose(shifted, Score(points)(terms(examples)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [1, 3, 16, 17, 99])
def test_score_has_the_same_bits_for_every_batch_size(size):
    score, examples = Score(correlated(300)), correlated(100, seed=1)
    parts = [score(terms(examples[start : start + size])) for start in range(0, 100, size)]
    np.testing.assert_array_equal(np.concatenate(parts), score(terms(examples)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_terms_that_are_not_finite_or_huge_give_an_infinite_score(value):
    score = Score(correlated(20))
    assert score(Terms(np.array([value]), np.array([50.0])))[0] == np.inf
    assert score(Terms(np.array([100.0]), np.array([value])))[0] == np.inf


def test_constant_rate_is_allowed():
    """All examples have the same rate if the posterior does not depend on x, for example if it equals the prior."""
    points = correlated(50)
    points[:, 1] = 7
    score = Score(points)
    assert np.isfinite(score(terms(points))).all()
    assert score(terms(np.float32([[100, 8]]))) > score(terms(points)).max()


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((5, 2)),
        np.zeros((5, 3), np.float32),
        np.zeros(5, np.float32),
        np.zeros((1, 2), np.float32),
        np.zeros((MAX_POINTS + 1, 2), np.float32),
        np.full((5, 2), np.nan, np.float32),
        np.full((5, 2), np.inf, np.float32),
    ],
    ids=["float64", "three columns", "one axis", "one point", "too many points", "NaN", "infinity"],
)
def test_invalid_points_are_refused(points):
    with pytest.raises(BundleError, match="points"):
        Score(points)


def test_largest_float32_points_do_not_overflow():
    points = np.float32([[3e38, -3e38], [-3e38, 3e38], [0, 1]])
    assert not np.isnan(Score(points)(terms(points))).any()
