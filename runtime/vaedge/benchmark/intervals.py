"""Intervals and drift of repeated measurements.

The interval of a median uses order statistics: its ends are two of the sorted values. The values must be independent.
Then the number of values below the true median has a binomial distribution, whatever the distribution of the values is.
Therefore the interval stays about the same if another process slows down a few of the timed calls. The computation
needs no random numbers.

The interval of ratios uses Wilcoxon's signed-rank test, because this interval is narrower. The test assumes that the
logarithms of the ratios have a symmetric distribution. The assumption is plausible, because the times of the candidates
are measured alternately: for equal candidates, a ratio and its reciprocal have the same probability.

Source: Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd edition, sections 3.1 to 3.3 (signed rank)
and 3.6 (median).
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Interval = tuple[float, float]
MIN_VALUES = 8  # the interval of fewer values cannot have a confidence of 99 %


def median_interval(values: Sequence[float]) -> Interval | None:
    """Return the 99 % interval of the median, or None for fewer than 8 values."""
    rank = _rank(len(values))
    return None if rank == 0 else (sorted(values)[rank - 1], sorted(values)[-rank])


def ratio_estimate(ratios: Sequence[float]) -> float:
    """Return the Hodges-Lehmann estimate: the median of the geometric means of all pairs of ratios.

    The pairs of each ratio with itself are included.
    """
    return float(np.median(_pair_means(ratios)))


def ratio_interval(ratios: Sequence[float]) -> Interval | None:
    """Return the 99 % interval of the estimate of `ratio_estimate`, or None for fewer than 8 ratios."""
    rank = _signed_rank(len(ratios))
    if rank == 0:
        return None
    means = _pair_means(ratios)
    return float(means[rank - 1]), float(means[-rank])


def quotient_interval(new: Sequence[float], old: Sequence[float]) -> Interval | None:
    """Return the 99 % interval of the median of `new` divided by the median of `old`.

    `new` and `old` are independent lists of positive values. The method of variance estimates recovery (MOVER) is
    applied to logarithms. Let n and o be the logarithms of the medians, with the intervals [n_low, n_high] and
    [o_low, o_high]. The result is the interval from exp(n - o - sqrt((n - n_low)^2 + (o_high - o)^2))
    to exp(n - o + sqrt((n_high - n)^2 + (o - o_low)^2)).

    Returns:
        The interval, or None if one of the lists has fewer than 8 values.
    """
    new_interval, old_interval = median_interval(new), median_interval(old)
    if new_interval is None or old_interval is None:
        return None
    n, o = math.log(np.median(new)), math.log(np.median(old))
    (n_low, n_high), (o_low, o_high) = (tuple(map(math.log, ends)) for ends in (new_interval, old_interval))
    low = n - o - math.hypot(n - n_low, o_high - o)
    high = n - o + math.hypot(n_high - n, o - o_low)
    return math.exp(low), math.exp(high)


def relative_width(interval: Interval | None) -> float:
    """Return the width of an interval relative to its lower end, or infinity for None."""
    return math.inf if interval is None else interval[1] / interval[0] - 1


def drift(values: Sequence[float]) -> float | None:
    """Return the relative change from the first to the last third of the values, or None for fewer than 8 values."""
    third = len(values) // 3
    return None if len(values) < MIN_VALUES else float(np.median(values[-third:]) / np.median(values[:third]) - 1)


def _pair_means(ratios: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the sorted geometric means of all pairs of n ratios, shape (n (n + 1) / 2,)."""
    logs = np.log(np.asarray(ratios, np.float64))
    first, second = np.triu_indices(len(logs))
    return np.sort(np.exp((logs[first] + logs[second]) / 2))


@functools.cache
def _signed_rank(n: int) -> int:
    """Return the rank of the lower end of `ratio_interval`. The means of all pairs of n values are ranked.

    The result 0 means that n is too small. The interval belongs to the Wilcoxon signed-rank test. Under the null
    hypothesis, the statistic of this test is the sum of a random subset of the ranks 1 to n. All 2^n subsets have the
    same probability.
    """
    choices = [1] + [0] * (n * (n + 1) // 2)  # the number of subsets with each sum
    for rank in range(1, n + 1):
        for total in range(len(choices) - 1, rank - 1, -1):
            choices[total] += choices[total - rank]
    outside, end = choices[0], 0
    while 200 * outside <= 2**n:  # at most 1 % of the subsets are outside of the two ends
        end += 1
        outside += choices[end]
    return end


@functools.cache
def _rank(n: int) -> int:
    """Return the rank of the lower end of `median_interval` among n sorted values. The smallest value has the rank 1.

    The result 0 means that n is too small.
    """
    tail, rank = 1, 0  # the number of the 2^n outcomes with at most `rank` values below the median
    while 200 * tail <= 2**n:  # at most 1 % of the outcomes are outside of the two ends
        rank += 1
        tail += math.comb(n, rank)
    return rank
