"""How fast loaded models are on this machine: latency percentiles and throughput of each operation, in turn."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from vaedge.arrays import FloatArray
from vaedge.bundle.reference import Inputs
from vaedge.errors import InferenceError
from vaedge.posterior import Posterior

BATCHES = (1, 8, 64, 512)
OPERATIONS = ("encode", "decode", "sample", "reconstruct")
_WARM_UP = 3
_LEAST_CALLS = 20
_ROUNDS = 5
_EXACT, _ABOUT = 1e-3, 0.05  # how far contestants' pictures may be apart: at most in float32, on average in fewer bits


class Contestant(Protocol):
    """What can be timed: a `vaedge.VAE`, or another engine on the same graphs."""

    def encode(self, x: FloatArray, **conditions: Any) -> Posterior:
        """Return q(z|x)."""

    def decode(self, z: FloatArray, **conditions: Any) -> FloatArray:
        """Return the mean of p(x|z)."""

    def sample(self, n: int, *, seed: int | None = None, **conditions: Any) -> FloatArray:
        """Draw from the prior and decode."""

    def reconstruct(self, x: FloatArray, **conditions: Any) -> FloatArray:
        """Decode the posterior's mean."""


@dataclass(frozen=True)
class Timing:
    """One operation of one contestant at one batch size.

    Attributes:
        contestant: its name.
        operation: encode, decode, sample or reconstruct.
        batch: items per call.
        calls: how many calls were timed, after a warm-up.
        p50, p90, p99: percentiles of one call's wall time, microseconds.
        items_per_second: batch / p50.
        ratio: of its time to the first contestant's, the median over the rounds.
    """

    contestant: str
    operation: str
    batch: int
    calls: int
    p50: float
    p90: float
    p99: float
    items_per_second: float
    ratio: float


def bench(
    contestants: Mapping[str, Contestant],
    inputs: Inputs,
    batches: Sequence[int] = BATCHES,
    operations: Sequence[str] = OPERATIONS,
    seconds: float = 0.5,
) -> Iterator[Timing]:
    """Time every operation at every batch size, the contestants in turn (A B A B ...).

    Args:
        contestants: by name; the first is what the others are compared with.
        inputs: real items: agreement is judged by them. They are repeated to fill a batch.
        batches: items per call.
        operations: some of OPERATIONS.
        seconds: how long to repeat each, over all rounds; at least 20 calls are timed however long they take.

    Yields:
        One Timing per contestant as soon as an operation has been timed at a batch size.

    Raises:
        InferenceError: a contestant's outputs are not those of the first.
    """
    for batch in batches:
        rows = inputs.repeated(batch)
        for operation in operations:
            calls = {name: _call(contestant, operation, rows) for name, contestant in contestants.items()}
            _check_agreement(calls, operation, batch)
            durations = time_in_turn(calls, seconds)
            first = [float(np.median(part)) for part in next(iter(durations.values()))]
            for name, parts in durations.items():
                ratios = [float(np.median(part)) / base for part, base in zip(parts, first, strict=True)]
                yield _summary(
                    name, operation, batch, [call for part in parts for call in part], float(np.median(ratios))
                )


def time_in_turn(calls: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, list[list[int]]]:
    """Repeat several calls in turn (A B A B ...), so that what else the machine does meets them all alike.

    Args:
        calls: by name.
        seconds: how long to repeat each, over all rounds; at least 20 times however long that takes.

    Returns:
        The durations by name and round, nanoseconds.
    """
    durations: dict[str, list[list[int]]] = {name: [] for name in calls}
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            durations[name].append(time_calls(call, seconds / _ROUNDS, _LEAST_CALLS // _ROUNDS))
    return durations


def median_microseconds(rounds: Sequence[Sequence[int]]) -> float:
    """Return the median of the durations, nanoseconds, of all rounds."""
    return float(np.median([duration for part in rounds for duration in part])) / 1000


def time_calls(call: Callable[[], object], seconds: float, least: int = _LEAST_CALLS) -> list[int]:
    """Return the durations of repeated calls, nanoseconds: at least so many, for at least so many seconds."""
    for _ in range(_WARM_UP):
        call()
    durations: list[int] = []
    end = time.perf_counter_ns() + int(seconds * 1e9)
    while len(durations) < least or time.perf_counter_ns() < end:
        start = time.perf_counter_ns()
        call()
        durations.append(time.perf_counter_ns() - start)
    return durations


def _call(contestant: Contestant, operation: str, rows: Inputs) -> Callable[[], Any]:
    if operation == "sample":
        return partial(contestant.sample, len(rows.z), seed=0, **rows.conditions)
    argument = rows.z if operation == "decode" else rows.x
    return partial(getattr(contestant, operation), argument, **rows.conditions)


def _check_agreement(calls: Mapping[str, Callable[[], Any]], operation: str, batch: int) -> None:
    """Refuse to time what does not do the same."""
    results = {name: call() for name, call in calls.items()}
    arrays = {name: result.mean if operation == "encode" else result for name, result in results.items()}
    (first, expected), *others = arrays.items()
    for name, array in others:
        distance = np.abs(array - expected) / np.maximum(1, np.abs(expected))
        if not (distance.max() <= _EXACT or distance.mean() <= _ABOUT):
            raise InferenceError(
                f"{name} and {first} do not compute the same: {operation} of {batch} items differs by up to "
                f"{distance.max():.2g}"
            )


def _summary(contestant: str, operation: str, batch: int, durations: list[int], ratio: float) -> Timing:
    p50, p90, p99 = (float(value) for value in np.percentile(durations, (50, 90, 99)) / 1000)
    return Timing(contestant, operation, batch, len(durations), p50, p90, p99, batch * 1e6 / p50, ratio)
