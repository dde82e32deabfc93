"""Time the operations of loaded models in turn: latency percentiles, throughput, and ratios to the first model."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray
from vaedge.bundle.reference import Inputs
from vaedge.distributions.posterior import Posterior
from vaedge.errors import InferenceError

BATCH_SIZES = (1, 8, 64, 512)
OPERATIONS = ("encode", "decode", "sample", "reconstruct")
_WARM_UP_CALLS = 3
_MIN_CALLS = 20
_ROUNDS = 5
# Limits for the maximum and for the mean of the relative differences between the outputs of two candidates. The outputs
# agree if one of the limits is kept. Float32 candidates keep the limit for the maximum. Variants with fewer bits keep
# only the limit for the mean.
_MAX_DIFFERENCE, _MEAN_DIFFERENCE = 1e-3, 0.05
_FASTEST_BATCH_SIZES = (1, 64)
_FASTEST_SECONDS = 0.05


class Candidate(Protocol):
    """An object that can be timed: a `vaedge.VAE`, or a baseline that runs the same graphs."""

    def encode(self, x: FloatArray, *, conditions: Mapping[str, npt.ArrayLike]) -> Posterior:
        """Return q(z|x)."""

    def decode(self, z: FloatArray, *, conditions: Mapping[str, npt.ArrayLike]) -> FloatArray:
        """Return the mean of p(x|z)."""

    def sample(self, n: int, *, seed: int | None, conditions: Mapping[str, npt.ArrayLike]) -> FloatArray:
        """Draw n latents from the prior, and return the means of p(x|z)."""

    def reconstruct(self, x: FloatArray, *, conditions: Mapping[str, npt.ArrayLike]) -> FloatArray:
        """Return the mean of p(x|z), where z is the posterior's mean."""


@dataclass(frozen=True)
class Timing:
    """The timing of one operation of one candidate at one batch size.

    Attributes:
        candidate: Name of the candidate.
        operation: "encode", "decode", "sample" or "reconstruct".
        batch_size: Number of examples per call.
        calls: Number of timed calls, after a warm-up.
        p50: Median of the wall time of a call, in microseconds.
        p90: 90th percentile of the wall time, in microseconds.
        p99: 99th percentile of the wall time, in microseconds.
        examples_per_second: Batch size divided by the median time in seconds.
        ratio: Relative duration of a call: 2 means twice as long as a call of the first candidate. In each round, the
            median time is divided by the median time of the first candidate. `ratio` is the median of these quotients.
    """

    candidate: str
    operation: str
    batch_size: int
    calls: int
    p50: float
    p90: float
    p99: float
    examples_per_second: float
    ratio: float


def time_operations(
    candidates: Mapping[str, Candidate],
    inputs: Inputs,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    operations: Sequence[str] = OPERATIONS,
    seconds: float = 0.5,
) -> Iterator[Timing]:
    """Time every operation at every batch size. The candidates take turns (A B A B ...).

    Args:
        candidates: Dict from the name of each candidate to the candidate. All candidates are compared with the first
            candidate.
        inputs: Examples to run, repeated to fill a batch. Use real examples, because the outputs of the candidates must
            agree, and variants with fewer bits are accurate only on real examples.
        batch_sizes: Batch sizes to time.
        operations: Names of the operations to time, from OPERATIONS.
        seconds: Total time in seconds for which each call is repeated. At least 20 calls are timed.

    Yields:
        One Timing for each combination of batch size, operation and candidate.

    Raises:
        InferenceError: The outputs of a candidate differ from those of the first one.
    """
    for batch_size in batch_sizes:
        rows = inputs.repeated(batch_size)
        for operation in operations:
            calls = {name: _call(candidate, operation, rows) for name, candidate in candidates.items()}
            _check_agreement(calls, operation, batch_size)
            durations = time_in_turn(calls, seconds)
            first = [float(np.median(part)) for part in next(iter(durations.values()))]
            for name, parts in durations.items():
                ratios = [float(np.median(part)) / base for part, base in zip(parts, first, strict=True)]
                calls_of_all_rounds = [call for part in parts for call in part]
                yield _summary(name, operation, batch_size, calls_of_all_rounds, float(np.median(ratios)))


def time_reconstruct(candidates: Mapping[str, Candidate], inputs: Inputs) -> dict[str, float]:
    """Time `reconstruct` briefly at batch sizes 1 and 64.

    Returns:
        Dict from the name of each candidate to the geometric mean of the two median times, in microseconds.
    """
    logarithms = dict.fromkeys(candidates, 0.0)
    for batch_size in _FASTEST_BATCH_SIZES:
        rows = inputs.repeated(batch_size)
        calls = {name: _call(candidate, "reconstruct", rows) for name, candidate in candidates.items()}
        for name, rounds in time_in_turn(calls, _FASTEST_SECONDS).items():
            logarithms[name] += math.log(median_microseconds(rounds)) / len(_FASTEST_BATCH_SIZES)
    return {name: math.exp(logarithm) for name, logarithm in logarithms.items()}


def time_in_turn(calls: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, list[list[int]]]:
    """Repeat several calls in turn (A B A B ...), so that other load on the machine affects all of them alike.

    Args:
        calls: Dict from the name of each call to a function without arguments that makes the call.
        seconds: Total time in seconds for which each call is repeated. Each call is repeated at least 20 times.

    Returns:
        Dict from the name of each call to one list per round, with the duration of each repetition in nanoseconds.
    """
    durations: dict[str, list[list[int]]] = {name: [] for name in calls}
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            durations[name].append(time_calls(call, seconds / _ROUNDS, _MIN_CALLS // _ROUNDS))
    return durations


def median_microseconds(rounds: Sequence[Sequence[int]]) -> float:
    """Return the median duration over all rounds in microseconds. The given durations are in nanoseconds."""
    return float(np.median([duration for part in rounds for duration in part])) / 1000


def time_calls(call: Callable[[], object], seconds: float, minimum: int = _MIN_CALLS) -> list[int]:
    """Repeat a call at least `minimum` times and at least for `seconds`. Return the durations in nanoseconds."""
    for _ in range(_WARM_UP_CALLS):
        call()
    durations: list[int] = []
    end = time.perf_counter_ns() + int(seconds * 1e9)
    while len(durations) < minimum or time.perf_counter_ns() < end:
        start = time.perf_counter_ns()
        call()
        durations.append(time.perf_counter_ns() - start)
    return durations


def _call(candidate: Candidate, operation: str, rows: Inputs) -> Callable[[], Any]:
    if operation == "sample":
        return partial(candidate.sample, len(rows.z), seed=0, conditions=rows.conditions)
    argument = rows.z if operation == "decode" else rows.x
    return partial(getattr(candidate, operation), argument, conditions=rows.conditions)


def _check_agreement(calls: Mapping[str, Callable[[], Any]], operation: str, batch_size: int) -> None:
    """Raise InferenceError if the outputs of the candidates differ too much."""
    results = {name: call() for name, call in calls.items()}
    arrays = {name: result.mean if operation == "encode" else result for name, result in results.items()}
    (first, expected), *others = arrays.items()
    for name, array in others:
        distance = np.abs(array - expected) / np.maximum(1, np.abs(expected))
        if not (distance.max() <= _MAX_DIFFERENCE or distance.mean() <= _MEAN_DIFFERENCE):
            raise InferenceError(
                f"{name} and {first} give different results: the outputs of {operation} at batch size {batch_size} "
                f"differ by up to {distance.max():.2g}"
            )


def _summary(name: str, operation: str, batch_size: int, durations: list[int], ratio: float) -> Timing:
    p50, p90, p99 = (float(value) for value in np.percentile(durations, (50, 90, 99)) / 1000)
    return Timing(name, operation, batch_size, len(durations), p50, p90, p99, batch_size * 1e6 / p50, ratio)
