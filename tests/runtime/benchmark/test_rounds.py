"""Rounds of measurements are repeated until the confidence interval is narrow or the time is spent.

The measurements of these tests are synthetic.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from vaedge.benchmark import rounds
from vaedge.benchmark.intervals import drift, median_interval, quotient_interval, ratio_estimate, ratio_interval
from vaedge.benchmark.rounds import Group, run_rounds, sufficient_seconds
from vaedge.benchmark.timing import LocalCall, Timed


@dataclass
class SyntheticCall:
    """A simulated call. The function `noise` determines its duration in microseconds."""

    noise: Callable[[], float]

    def timed(self, seconds):
        return Timed(np.array([1000 * self.noise()]), 1.0)


def synthetic_group(monkeypatch, noises):
    """Return a group whose rounds last one second. The functions in `noises` return the times of the candidates."""
    clock = itertools.count()
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: float(next(clock)))
    return Group("decode", 4, {name: SyntheticCall(noise) for name, noise in noises.items()})


def test_interval_of_the_median_has_its_ends_among_the_values():
    assert median_interval(range(7)) is None
    assert median_interval([5, 1, 8, 3, 2, 7, 4, 6]) == (1, 8)
    # Table of the sign test: the 4th and the 17th of 20 values enclose the median with a probability of 99 %.
    assert median_interval(range(1, 21)) == (4, 17)


@pytest.mark.parametrize("n", [8, 20, 57])
def test_interval_covers_the_median_with_99_percent(n):
    generator = np.random.default_rng(0)
    found = [median_interval(generator.lognormal(0, 0.1, n).tolist()) for _ in range(4000)]
    assert np.mean([not low <= 1 <= high for low, high in found]) <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 4000)


def test_estimate_of_ratios_is_the_median_of_the_means_of_all_pairs():
    assert ratio_interval([1.0] * 7) is None
    assert ratio_estimate([1, 4]) == pytest.approx(2)  # 1, 2 and 4
    assert ratio_estimate([1, 1, 1, 1, 1, 100]) == pytest.approx(1)


def test_interval_of_ratios_covers_equal_candidates_with_99_percent():
    """The times have many outliers, as on a busy machine."""
    generator = np.random.default_rng(0)
    times = generator.lognormal(0, 0.02, (2, 4000, 12)) * np.where(generator.random((2, 4000, 12)) < 0.2, 1.5, 1)
    found = [ratio_interval(ratios.tolist()) for ratios in times[0] / times[1]]
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


def run(group, seconds, precision=0.02, advance=lambda _: None):
    """Run rounds. Return how often the processes were restarted."""
    restarts = []
    run_rounds([group], seconds, precision, lambda: restarts.append(None), advance)
    return len(restarts)


def test_rounds_end_at_the_precision(monkeypatch):
    generator = np.random.default_rng(0)
    noises = {"a": lambda: 100.0, "b": lambda: 200 * generator.lognormal(0, 0.005)}
    group = synthetic_group(monkeypatch, noises)
    restarts = run(group, 5000)
    assert group.stopped == rounds.PRECISION
    assert len(group.blocks) == restarts + 1 >= 10
    first, second = group.rows()
    assert (first.ratio, first.ratio_interval) == (1, None)
    assert second.ratio_interval[1] / second.ratio_interval[0] - 1 <= 0.02
    assert second.ratio_interval[0] <= second.ratio <= second.ratio_interval[1]


def test_rounds_end_when_the_time_is_spent(monkeypatch):
    values = itertools.cycle([1.0, 2.0])
    group = synthetic_group(monkeypatch, {"a": lambda: next(values), "b": lambda: 1.0})
    done = []
    run(group, 500, 1e-9, done.append)
    assert group.stopped == rounds.BUDGET
    assert 8 <= len(group.blocks) <= 20
    assert 900 <= sum(done) <= 1000


@pytest.fixture
def clock(monkeypatch):
    """Replace the clock, and return a list with one element: the time in seconds that the clock shows."""
    now = [0.0]
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: now[0])
    return now


@pytest.fixture
def wait(clock):
    """A function that advances the clock by its argument in seconds, and returns 1.0."""

    def wait(seconds):
        clock[0] += seconds
        return 1.0

    return wait


def test_processes_that_start_slowly_leave_time_for_rounds(clock, wait):
    """Each start of a process takes 90 seconds. Starts take at most three quarters of the budget of 1000 seconds."""
    group = Group("decode", 4, {"a": SyntheticCall(lambda: wait(1))})
    starts, done = [], []
    run_rounds([group], 1000, 0, lambda: starts.append(wait(90)), done.append)
    assert sum(done) <= 1000  # progress beyond the budget would be an error of the progress bar
    assert 90 * len(starts) <= 0.75 * clock[0]
    assert clock[0] <= 1100


def test_slow_starts_leave_enough_blocks_for_an_interval(clock, wait):
    """Each start of a process takes 110 seconds.

    A block and the starts of its processes together take at most an eighth of the budget of 1000 seconds.
    """
    group = Group("decode", 4, {"a": SyntheticCall(lambda: wait(0.5)), "b": SyntheticCall(lambda: wait(0.5))})
    run_rounds([group], 500, 0, lambda: wait(110))
    assert len(group.blocks) >= 8
    assert group.rows()[1].ratio_interval is not None
    assert clock[0] <= 1100


@pytest.mark.parametrize(("start", "call"), [(1.0, 0.001), (0.1, 1.0)])
def test_sufficient_seconds_give_enough_blocks_for_an_interval(wait, start, call):
    """The number of blocks is small because of slow starts in one case, and because of slow calls in the other case."""

    def measure(seconds):
        group = Group("decode", 4, {name: SyntheticCall(lambda: wait(call)) for name in "ab"})
        run_rounds([group], seconds, 0, lambda: wait(2 * start))
        return group

    group = measure(3)
    assert len(group.blocks) < 8
    candidates = [SimpleNamespace(cold_start_seconds=start)] * 2
    seconds = sufficient_seconds(SimpleNamespace(seconds=3, candidates=candidates, rows=group.rows()))
    assert len(measure(seconds).blocks) >= 8
    assert seconds <= 24


def test_ratio_of_a_block_is_the_median_of_its_rounds():
    group = Group("decode", 4, {"a": None, "b": None})
    blocks = [[(100, 200), (100, 300), (200, 200)], [(100, 400)]]
    group.blocks = [
        [{"a": Timed(np.array([1000 * a]), 1.0), "b": Timed(np.array([1000 * b]), 1.0)} for a, b in block]
        for block in blocks
    ]
    assert group.ratios("b") == [2, 4]
    assert group.medians("b") == [200, 400]
    row = group.rows()[1]
    assert row.ratio == pytest.approx(math.sqrt(8))  # the median of 2, sqrt(2 * 4) and 4
    assert (row.rounds, row.block_medians) == (((200, 300, 200), (400,)), [200, 400])


def test_groups_and_candidates_take_turns():
    order = []
    groups = [
        Group(name, 1, {c: LocalCall(lambda c=c, name=name: order.append(name + c)) for c in "ab"}) for name in "xy"
    ]
    run_rounds(groups, 0, 0.02, lambda: None)
    assert order == ["xa", "xa", "xb", "xb", "ya", "ya", "yb", "yb"]  # one warm-up call before each timed call
    order.clear()
    groups[0].add_round(0)
    assert order == ["xb", "xb", "xa", "xa"]
