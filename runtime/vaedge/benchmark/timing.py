"""Call loaded models repeatedly, and measure the time of each call."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

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

    def parameters(self, z: FloatArray, *, conditions: Mapping[str, npt.ArrayLike]) -> dict[str, FloatArray]:
        """Return the parameters of p(x|z)."""

    def sample(self, n: int, *, seed: int | None, conditions: Mapping[str, npt.ArrayLike]) -> FloatArray:
        """Draw n latents from the prior, and return the means of p(x|z)."""

    def reconstruct(self, x: FloatArray, *, conditions: Mapping[str, npt.ArrayLike]) -> FloatArray:
        """Return the mean of p(x|z), where z is the posterior's mean."""


def time_reconstruct(candidates: Mapping[str, Candidate], inputs: Inputs) -> dict[str, float]:
    """Time `reconstruct` briefly at batch sizes 1 and 64.

    Returns:
        Dict from the name of each candidate to the geometric mean of the two median times, in microseconds.
    """
    logarithms = dict.fromkeys(candidates, 0.0)
    for batch_size in _FASTEST_BATCH_SIZES:
        rows = inputs.repeated(batch_size)
        calls = {name: operation_call(candidate, "reconstruct", rows) for name, candidate in candidates.items()}
        for name, rounds in time_in_turn(calls, _FASTEST_SECONDS).items():
            logarithms[name] += math.log(median_microseconds(rounds)) / len(_FASTEST_BATCH_SIZES)
    return {name: math.exp(logarithm) for name, logarithm in logarithms.items()}


def time_in_turn(calls: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, list[list[int]]]:
    """Repeat several calls in turn (A B A B ...), so that other load on the machine affects all of them alike.

    Args:
        calls: Dict of functions without arguments. Each function makes one call, and its key is the name of the call.
        seconds: Total time in seconds for which each call is repeated. Each call is repeated at least 20 times.

    Returns:
        Dict from the name of each call to its durations in nanoseconds: one list for each round, and in this list one
            number for each repetition of the call.
    """
    durations: dict[str, list[list[int]]] = {name: [] for name in calls}
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            durations[name].append(time_calls(call, seconds / _ROUNDS, _MIN_CALLS // _ROUNDS))
    return durations


def median_microseconds(rounds: Sequence[Sequence[int]]) -> float:
    """Return the median duration over all rounds in microseconds. The given durations are in nanoseconds."""
    return float(np.median([duration for part in rounds for duration in part])) / 1000


def time_calls(
    call: Callable[[], object], seconds: float, minimum: int = _MIN_CALLS, warm_up: int = _WARM_UP_CALLS
) -> list[int]:
    """Repeat a call at least `minimum` times and at least for `seconds`, after `warm_up` calls that are not timed.

    Returns:
        The durations in nanoseconds.
    """
    for _ in range(warm_up):
        call()
    durations: list[int] = []
    end = time.perf_counter_ns() + int(seconds * 1e9)
    while len(durations) < minimum or time.perf_counter_ns() < end:
        start = time.perf_counter_ns()
        call()
        durations.append(time.perf_counter_ns() - start)
    return durations


class Timed(NamedTuple):
    """Timed calls.

    Attributes:
        durations: Wall time of each call in nanoseconds, int64.
        cpus: CPU time of all threads of the process divided by the wall time, over all calls.
    """

    durations: npt.NDArray[np.int64]
    cpus: float


class Call(Protocol):
    """A call that can be repeated and timed, in this process or in another process."""

    def result(self) -> FloatArray:
        """Make the call, and return its result. For `encode`, this is the mean of q(z|x)."""

    def timed(self, seconds: float) -> Timed:
        """Make one call that is not timed. Then time calls for the given number of seconds, but at least one call."""


@dataclass(frozen=True)
class LocalCall:
    """A call in this process.

    Attributes:
        function: Function without arguments that makes the call.
    """

    function: Callable[[], Any]

    def result(self) -> FloatArray:
        """Make the call, and return its result. For `encode`, this is the mean of q(z|x)."""
        result = self.function()
        return result.mean if isinstance(result, Posterior) else result

    def timed(self, seconds: float) -> Timed:
        """Make one call that is not timed. Then time calls for the given number of seconds, but at least one call."""
        self.function()
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        durations = np.array(time_calls(self.function, seconds, minimum=1, warm_up=0), np.int64)
        return Timed(durations, (time.process_time_ns() - cpu) / max(1, time.perf_counter_ns() - wall))


def operation_call(candidate: Candidate, operation: str, rows: Inputs) -> Callable[[], Any]:
    """Return a function without arguments that runs an operation of a candidate on all rows of the inputs."""
    if operation == "sample":
        return partial(candidate.sample, len(rows.z), seed=0, conditions=rows.conditions)
    argument = rows.z if operation == "decode" else rows.x
    return partial(getattr(candidate, operation), argument, conditions=rows.conditions)


def check_agreement(calls: Mapping[str, Call], operation: str, batch_size: int) -> None:
    """Run each call once, and compare the outputs.

    Raises:
        InferenceError: The outputs of a call differ too much from those of the first call.
    """
    (first, expected), *others = ((name, call.result()) for name, call in calls.items())
    for name, array in others:
        distance = np.abs(array - expected) / np.maximum(1, np.abs(expected))
        if not (distance.max() <= _MAX_DIFFERENCE or distance.mean() <= _MEAN_DIFFERENCE):
            raise InferenceError(
                f"{name} and {first} give different results: the outputs of {operation} at batch size {batch_size} "
                f"differ by up to {distance.max():.2g}"
            )
