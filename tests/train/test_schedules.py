"""The schedules of the learning rate and of beta agree with closed forms."""

import math

import pytest

from vaedge_train.schedules import beta, learning_rate


@pytest.mark.parametrize("position", [0.0, 0.3, 1.0])
def test_constant_schedule_keeps_the_peak(position):
    assert learning_rate("constant", 0.02, position) == 0.02


@pytest.mark.parametrize(
    ("position", "fraction"),
    [(0.0, 1.0), (1 / 3, 0.01 + 0.99 * 0.75), (0.5, 0.505), (2 / 3, 0.01 + 0.99 * 0.25), (1.0, 0.01)],
)
def test_cosine_schedule_falls_from_the_peak_to_one_percent(position, fraction):
    assert learning_rate("cosine", 3e-3, position) == pytest.approx(3e-3 * fraction)


def test_cosine_schedule_never_rises():
    rates = [learning_rate("cosine", 1.0, step / 100) for step in range(101)]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0.0, 0.0), (0.5, 0.125), (1.0, 0.25), (3.0, 0.75), (4.0, 1.0), (4.5, 1.0), (100.0, 1.0)]
)
def test_beta_rises_linearly_during_the_warm_up(epoch, expected):
    assert beta(1.0, 4.0, epoch) == expected
    assert beta(3.0, 4.0, epoch) == 3 * expected


@pytest.mark.parametrize("epoch", [0.0, 0.5, 7.0])
def test_beta_is_constant_without_a_warm_up(epoch):
    assert beta(0.7, 0.0, epoch) == 0.7


def test_schedules_are_finite_everywhere():
    assert all(math.isfinite(beta(1.0, warm_up, epoch)) for warm_up in (0.0, 0.1, 5.0) for epoch in (0.0, 0.05, 5.0))
