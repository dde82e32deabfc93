"""Rounds are repeated until the interval is narrow or the time is spent. Synthetic rounds test the statistics."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from vaedge.benchmark import rounds
from vaedge.benchmark.intervals import drift, median_interval, quotient_interval
from vaedge.benchmark.rounds import Group, run_rounds
from vaedge.benchmark.timing import LocalCall, Timed


@dataclass
class SyntheticCall:
    """A call whose duration in microseconds is the result of a function."""

    noise: Callable[[], float]

    def timed(self, seconds):
        return Timed(np.array([1000 * self.noise()]), 1.0)


def synthetic_group(monkeypatch, noises):
    """Return a group whose rounds last one second, and whose median times are given by one function per candidate."""
    clock = itertools.count()
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: float(next(clock)))
    return Group("decode", 4, {name: SyntheticCall(noise) for name, noise in noises.items()})


def test_interval_of_the_median_has_its_ends_among_the_values():
    assert median_interval(range(7)) is None
    assert median_interval([5, 1, 8, 3, 2, 7, 4, 6]) == (1, 8)
    # Table of the sign test: of 20 values, the 4th and the 17th enclose the median with 99 %.
    assert median_interval(range(1, 21)) == (4, 17)


@pytest.mark.parametrize("n", [8, 20, 57])
def test_interval_covers_the_median_with_99_percent(n):
    generator = np.random.default_rng(0)
    found = [median_interval(generator.lognormal(0, 0.1, n).tolist()) for _ in range(4000)]
    assert np.mean([not low <= 1 <= high for low, high in found]) <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 4000)


def test_equal_reports_rarely_differ_and_slow_downs_are_found():
    generator = np.random.default_rng(0)
    intervals = {factor: [] for factor in (1, 1.05)}
    for factor, _ in itertools.product(intervals, range(1000)):
        old, new = generator.lognormal(0, 0.03, (2, 60))
        intervals[factor].append(quotient_interval((factor * new).tolist(), old.tolist()))
    assert np.mean([not low <= 1 <= high for low, high in intervals[1]]) <= 0.02
    assert np.mean([low > 1.01 for low, _ in intervals[1.05]]) >= 0.95


def test_drift_compares_the_first_and_the_last_third():
    assert drift([1.0] * 7) is None
    assert drift([1.0] * 3 + [9.0] * 3 + [1.5] * 3) == pytest.approx(0.5)


def test_rounds_end_at_the_precision(monkeypatch):
    generator = np.random.default_rng(0)
    noises = {"a": lambda: 100.0, "b": lambda: 200 * generator.lognormal(0, 0.02)}
    group = synthetic_group(monkeypatch, noises)
    run_rounds([group], 1000, 0.02)
    assert group.stopped == rounds.PRECISION
    assert 10 < len(group.rounds) < 1000
    first, second = group.rows()
    assert (first.ratio, first.ratio_interval) == (1, None)
    assert second.ratio_interval[1] / second.ratio_interval[0] - 1 <= 0.02
    assert second.ratio_interval[0] <= second.ratio <= second.ratio_interval[1]


def test_rounds_end_when_the_time_is_spent(monkeypatch):
    values = itertools.cycle([1.0, 2.0])
    group = synthetic_group(monkeypatch, {"a": lambda: next(values)})
    done = []
    run_rounds([group], 30, 0.02, done.append)
    assert (group.stopped, len(group.rounds)) == (rounds.BUDGET, 30)
    assert sum(done) == 30


def test_groups_and_candidates_take_turns():
    order = []
    groups = [
        Group(name, 1, {c: LocalCall(lambda c=c, name=name: order.append(name + c)) for c in "ab"}) for name in "xy"
    ]
    run_rounds(groups, 0, 0.02)
    assert order == ["xa", "xa", "xb", "xb", "ya", "ya", "yb", "yb"]  # one warm-up call before each timed call
    order.clear()
    groups[0].add_round(0)
    assert order == ["xb", "xb", "xa", "xa"]
