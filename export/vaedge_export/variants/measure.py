"""Measure variants in comparison with float32: loss in nats, quality of reconstructions, size and time."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np

import vaedge
from vaedge.benchmark.timing import median_microseconds, time_in_turn
from vaedge.bundle.manifest import Manifest
from vaedge.bundle.reference import Inputs
from vaedge.distributions.bounds import Bounds
from vaedge.engine.cpus import describe_cpu
from vaedge.engine.int8 import int8_kernels
from vaedge_export.graphs import Graphs

_MAX_EXAMPLES = 1000
_K = 16
_SEED = 0
_BUDGET, _RELATIVE_BUDGET = 0.3, 0.001
_TIMED_BATCH_SIZES = (1, 64)
_SECONDS = 0.5
_SLOWER = 1.05  # ratio of times above which a variant is reported as slower; smaller ratios are noise

Open = Callable[[str, Graphs], vaedge.VAE]


@dataclass(frozen=True)
class Measurements:
    """The properties of a variant, in comparison with the float32 graphs on the same examples with the same noise.

    Attributes:
        bytes: Size of both graphs together, in bytes.
        elbo_change: Mean change of the ELBO, nats per example; negative values are losses.
        elbo_change_standard_error: Standard error of `elbo_change`.
        bound_change: Mean change of the importance-weighted bound with k draws, nats per example.
        psnr: Peak signal-to-noise ratio of the reconstructions against those of float32, in dB; None if both are equal.
        microseconds: Dict from batch size to the median time of a call of `reconstruct`.
        kept: Names of the layers that stay in float32.
        examples: Number of examples.
        k: Number of draws of z per example.
        cpu: CPU on which the time was measured.
        int8_kernels: 8-bit kernels that ONNX Runtime used: "default", or "x64quantprecision".
        threads: Number of threads.
    """

    bytes: int
    elbo_change: float
    elbo_change_standard_error: float
    bound_change: float
    psnr: float | None
    microseconds: Mapping[str, float]
    kept: Collection[str]
    examples: int
    k: int
    cpu: str
    int8_kernels: str
    threads: int

    def to_manifest(self) -> dict[str, object]:
        """Return the value of `measured` in the manifest.

        In the manifest, `examples` is called "items", and `cpu` is called "processor".
        """
        keys = {"examples": "items", "cpu": "processor"}
        return {keys.get(name, name): value for name, value in {**asdict(self), "kept": list(self.kept)}.items()}


class Comparison:
    """A comparison of variants with the float32 graphs."""

    def __init__(self, fp32: Graphs, open_vae: Open, examples: Inputs) -> None:
        """Compute bounds on log p(x), and reconstructions, with the float32 graphs.

        Args:
            fp32: The float32 graphs.
            open_vae: Function that takes the name and the graphs of a variant, and opens them as a `vaedge.VAE`.
            examples: Held-out examples; at most 1000 of them are used.
        """
        self.fp32 = fp32
        self.examples = examples.repeated(min(len(examples.x), _MAX_EXAMPLES))
        self._open = open_vae
        vae = open_vae("fp32", fp32)
        self._bounds = self._score(vae)
        self._reconstructions = vae.reconstruct(self.examples.x, conditions=self.examples.conditions)
        value_range = vae.manifest.input_range
        self._peak = value_range[1] - value_range[0] if value_range else float(np.ptp(self.examples.x))
        self.budget = default_budget(float(self._bounds.elbo.mean()))

    def loss(self, name: str, graphs: Graphs) -> float:
        """Return the mean ELBO of fp32 minus that of a variant, in nats per example.

        If the variant returns NaN, return infinity.
        """
        change = float((self._score(self._open(name, graphs)).elbo - self._bounds.elbo).mean())
        return -change if np.isfinite(change) else float("inf")

    def time(self, variants: Mapping[str, Graphs]) -> dict[str, dict[str, float]]:
        """Measure the time of `reconstruct` for each variant. The variants take turns.

        Returns:
            Nested dict: name of a variant -> batch size -> median time of a call in microseconds.
        """
        vaes = {name: self._open(name, graphs) for name, graphs in variants.items()}
        times: dict[str, dict[str, float]] = {name: {} for name in variants}
        for batch_size in _TIMED_BATCH_SIZES:
            batch = self.examples.repeated(batch_size)
            calls = {name: partial(vae.reconstruct, batch.x, conditions=batch.conditions) for name, vae in vaes.items()}
            for name, rounds in time_in_turn(calls, _SECONDS).items():
                times[name][str(batch_size)] = median_microseconds(rounds)
        return times

    def measure(
        self, name: str, graphs: Graphs, kept: Collection[str], microseconds: Mapping[str, float]
    ) -> Measurements:
        """Measure a variant.

        Args:
            name: Name of the variant.
            graphs: Graphs of the variant.
            kept: Names of the layers that stay in float32.
            microseconds: Dict from batch size to the median time of a call, the result of `time` for this variant.
        """
        vae = self._open(name, graphs)
        bounds = self._score(vae)
        change = bounds.elbo - self._bounds.elbo
        reconstructions = vae.reconstruct(self.examples.x, conditions=self.examples.conditions)
        return Measurements(
            bytes=sum(map(len, graphs)),
            elbo_change=float(change.mean()),
            elbo_change_standard_error=float(change.std() / np.sqrt(len(change))),
            bound_change=float((bounds.importance_weighted - self._bounds.importance_weighted).mean()),
            psnr=psnr(float(np.mean(np.square(reconstructions - self._reconstructions))), self._peak),
            microseconds=microseconds,
            kept=kept,
            examples=len(change),
            k=_K,
            cpu=describe_cpu(),
            int8_kernels=int8_kernels(),
            threads=vae.threads,
        )

    def _score(self, vae: vaedge.VAE) -> Bounds:
        return vae.bounds(self.examples.x, k=_K, seed=_SEED, conditions=self.examples.conditions)


def with_measurements(
    manifest: Manifest,
    comparison: Comparison,
    made: Mapping[str, tuple[Graphs, list[str]]],
    say: Callable[[str], object],
) -> Manifest:
    """Measure fp32 and the other variants side by side, and return the manifest with the results.

    Args:
        manifest: The manifest.
        comparison: The comparison of variants with the float32 graphs.
        made: The variants other than fp32, as a dict from names to pairs. A pair holds the graphs of the variant,
            and the names of the layers that stay in float32.
        say: Function that receives one line of text for each variant other than fp32.
    """
    compared = {"fp32": (comparison.fp32, list[str]()), **made}
    times = comparison.time({name: graphs for name, (graphs, _) in compared.items()})
    measured = {name: comparison.measure(name, graphs, kept, times[name]) for name, (graphs, kept) in compared.items()}
    for line in describe_costs(measured):
        say(line)
    variants = {
        name: replace(manifest.variants[name], measured=found.to_manifest()) for name, found in measured.items()
    }
    return replace(manifest, variants=variants)


def describe_costs(measured: Mapping[str, Measurements]) -> list[str]:
    """Return lines about each variant other than fp32: its loss in nats and its size, and a note if it is slower.

    Args:
        measured: Dict from the name of each variant, including fp32, to its measurements.
    """
    lines = []
    for name, found in measured.items():
        if name == "fp32":
            continue
        lost = max(0.0, -found.elbo_change)
        lines.append(f"{name}: {lost:.3f} nats of the ELBO lost per example, {found.bytes:,} bytes")
        pairs = {size: (time, measured["fp32"].microseconds[size]) for size, time in found.microseconds.items()}
        slower = [
            f"{time:.0f} us instead of {fp32:.0f} us for a batch of {size}"
            for size, (time, fp32) in pairs.items()
            if time > _SLOWER * fp32
        ]
        if slower:
            lines.append(
                f"{name} is slower than fp32 on this machine: {', '.join(slower)}; choose it only for its size"
            )
    return lines


def default_budget(elbo: float) -> float:
    """Return how much ELBO a variant may lose: 0.3 nats or a thousandth of |ELBO|, whichever is larger.

    Args:
        elbo: Mean ELBO of the float32 graphs, in nats per example.
    """
    return max(_BUDGET, _RELATIVE_BUDGET * abs(elbo))


def psnr(error: float, peak: float) -> float | None:
    """Return the peak signal-to-noise ratio in dB, or None if the mean squared error is 0.

    Args:
        error: Mean squared error.
        peak: Difference between the maximum and the minimum of the values of x.
    """
    return float(10 * np.log10(peak**2 / error)) if error > 0 else None
