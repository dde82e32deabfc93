"""Intervals of ratios agree with scipy."""

import numpy as np
import pytest
from scipy.stats import wilcoxon

from vaedge.benchmark.intervals import ratio_estimate, ratio_interval


@pytest.mark.parametrize("n", [8, 10, 14, 20])
def test_interval_of_ratios_contains_what_the_signed_rank_test_of_scipy_does_not_reject(n):
    ratios = np.random.default_rng(n).lognormal(0.02, 0.03, n)
    low, high = ratio_interval(ratios.tolist())
    assert low < ratio_estimate(ratios.tolist()) < high
    for end, inside in ((low, 1), (high, -1)):
        for step, accepted in ((inside, True), (-inside, False)):
            pvalue = wilcoxon(np.log(ratios) - np.log(end) - 1e-9 * step, method="exact").pvalue
            assert (pvalue > 0.01) == accepted
