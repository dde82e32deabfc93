"""Calls are repeated and timed. Candidates with different results are refused."""

import itertools

import numpy as np
import pytest

import vaedge
from vaedge.benchmark import timing
from vaedge.benchmark.rounds import BundleCandidates, groups_of
from vaedge.bundle.reference import Inputs
from vaedge.distributions.posterior import Posterior

INPUTS = Inputs(np.ones((2, 3), np.float32), np.ones((2, 1), np.float32), {"y": np.arange(2)})


class Candidate:
    """A candidate that records its calls, and whose results are its inputs times a factor."""

    def __init__(self, factor=1.0):
        self.factor, self.calls = factor, []

    def encode(self, x, *, conditions):
        self.calls.append(("encode", x.shape, conditions["y"].tolist()))
        return Posterior(self.factor * x, x)

    def decode(self, z, *, conditions):
        self.calls.append(("decode", z.shape, conditions["y"].tolist()))
        return self.factor * z

    def sample(self, n, *, seed, conditions):
        self.calls.append(("sample", n, conditions["y"].tolist()))
        return np.full((n, 3), self.factor)

    def reconstruct(self, x, *, conditions):
        self.calls.append(("reconstruct", x.shape, conditions["y"].tolist()))
        return self.factor * x


def call_of(candidate):
    """Return a function that takes an operation and inputs. It returns a `LocalCall` of the candidate."""
    return lambda operation, rows: timing.LocalCall(timing.operation_call(candidate, operation, rows))


@pytest.fixture
def clock(monkeypatch):
    """Replace the clock. The first reading is 1 us. The time between two readings grows by 1 us with each reading."""
    steps = itertools.accumulate(itertools.count(1))
    monkeypatch.setattr(timing.time, "perf_counter_ns", lambda: 1000 * next(steps))


def test_candidates_are_called_in_turn(monkeypatch):
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    durations = timing.time_in_turn(calls, 0)
    assert [len(part) for part in durations["a"]] == [4] * 5
    assert "".join(order) == ("a" * 7 + "b" * 7) * 5  # three warm-up calls before four timed calls


def test_calls_are_repeated_for_the_time(clock):
    """The clock is read once at the start, and three times per call: before it, after it, and for the time limit."""
    assert timing.time_calls(lambda: None, 1e-9, 1) == [3000]
    assert len(timing.time_calls(lambda: None, 0, 20)) == 20
    calls = len(timing.time_calls(lambda: None, 1e-3, 1))  # at most 1000 us in steps that become longer
    assert 2 <= calls < 20


def test_fastest_is_judged_by_the_geometric_mean_of_both_batch_sizes(monkeypatch):
    durations = iter([{"a": [[2000, 4000, 9000]], "b": [[1000]]}, {"a": [[16_000]], "b": [[100_000]]}])
    monkeypatch.setattr(timing, "time_in_turn", lambda calls, seconds: next(durations))
    candidates = {"a": Candidate(), "b": Candidate()}
    found = timing.time_reconstruct(candidates, INPUTS)
    assert found == {"a": pytest.approx(8), "b": pytest.approx(10)}


def test_fastest_is_measured_at_batch_sizes_1_and_64(monkeypatch):
    monkeypatch.setattr(timing, "_FASTEST_SECONDS", 0)
    candidate = Candidate()
    assert timing.time_reconstruct({"a": candidate}, INPUTS)["a"] > 0
    assert {shape for _, shape, _ in candidate.calls} == {(1, 3), (64, 3)}


@pytest.mark.parametrize(
    ("factor", "agrees"), [(1.0009, True), (0.9991, True), (1.049, True), (1.051, False), (0.9, False), (np.nan, False)]
)
@pytest.mark.parametrize("operation", timing.OPERATIONS)
def test_candidates_must_compute_the_same(factor, agrees, operation):
    candidates = {"a": call_of(Candidate()), "b": call_of(Candidate(factor))}
    if agrees:
        assert len(groups_of([BundleCandidates(candidates, INPUTS)], (4,), (operation,))) == 1
    else:
        with pytest.raises(
            vaedge.InferenceError, match=f"b and a give different results: .* {operation} at batch size 4"
        ):
            groups_of([BundleCandidates(candidates, INPUTS)], (4,), (operation,))


def test_operations_are_called_with_their_arguments():
    candidates = {"a": Candidate(), "b": Candidate()}
    calls = {name: call_of(candidate) for name, candidate in candidates.items()}
    groups_of([BundleCandidates(calls, INPUTS)], (1, 5), timing.OPERATIONS)
    assert candidates["b"].calls == [
        call
        for n, y in ((1, [0]), (5, [0, 1, 0, 1, 0]))
        for call in (("encode", (n, 3), y), ("decode", (n, 1), y), ("sample", n, y), ("reconstruct", (n, 3), y))
    ]
