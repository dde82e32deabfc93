"""How fast a loaded VAE is on this machine: latency percentiles and throughput of each operation."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vaedge.vae import VAE

BATCHES = (1, 8, 64, 512)
_WARM_UP = 3
_LEAST_CALLS = 20


@dataclass(frozen=True)
class Timing:
    """One operation at one batch size.

    Attributes:
        operation: encode, decode, sample or reconstruct.
        batch: items per call.
        calls: how many calls were timed, after a warm-up.
        p50, p90, p99: percentiles of one call's wall time, microseconds.
        items_per_second: batch / p50.
    """

    operation: str
    batch: int
    calls: int
    p50: float
    p90: float
    p99: float
    items_per_second: float


def bench(vae: VAE, batches: Sequence[int] = BATCHES, seconds: float = 0.5) -> Iterator[Timing]:
    """Time every operation at every batch size, one after the other.

    Args:
        vae: the loaded bundle.
        batches: items per call.
        seconds: how long to repeat each; at least 20 calls are timed however long they take.

    Yields:
        One Timing as soon as it is known.
    """
    low, high = vae.manifest.input_range or (0.0, 1.0)
    for batch in batches:
        rng = np.random.default_rng(0)
        x = (low + (high - low) * rng.random((batch, *vae.input_shape), np.float32)).astype(np.float32)
        z = rng.standard_normal((batch, *vae.latent_shape), np.float32)
        told: dict[str, Any] = {
            name: np.zeros(condition.shape, condition.dtype) for name, condition in vae.manifest.conditions.items()
        }
        calls: dict[str, Callable[[], object]] = {
            "encode": partial(vae.encode, x, **told),
            "decode": partial(vae.decode, z, **told),
            "sample": partial(vae.sample, batch, seed=0, **told),
            "reconstruct": partial(vae.reconstruct, x, **told),
        }
        for operation, call in calls.items():
            yield _summary(operation, batch, time_calls(call, seconds))


def time_calls(call: Callable[[], object], seconds: float) -> list[int]:
    """Return the durations of repeated calls, nanoseconds: at least 20 of them, for at least so many seconds."""
    for _ in range(_WARM_UP):
        call()
    durations: list[int] = []
    end = time.perf_counter_ns() + int(seconds * 1e9)
    while len(durations) < _LEAST_CALLS or time.perf_counter_ns() < end:
        start = time.perf_counter_ns()
        call()
        durations.append(time.perf_counter_ns() - start)
    return durations


def _summary(operation: str, batch: int, durations: list[int]) -> Timing:
    p50, p90, p99 = (float(value) for value in np.percentile(durations, (50, 90, 99)) / 1000)
    return Timing(operation, batch, len(durations), p50, p90, p99, batch * 1e6 / p50)
