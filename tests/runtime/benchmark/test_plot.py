"""The Pareto front holds the points that no other point beats."""

import numpy as np
import pytest

from vaedge.benchmark.plot import pareto_front


@pytest.mark.parametrize("seed", range(5))
def test_pareto_front_holds_the_points_that_no_other_point_beats(seed):
    points = list(map(tuple, np.random.default_rng(seed).integers(0, 8, (12, 2)).tolist()))
    expected = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
    assert pareto_front(points) == sorted(expected)
