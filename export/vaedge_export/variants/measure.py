"""Smaller variants of a bundle's graphs: made, measured against float32, and refused where they cost too much."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import onnx

import vaedge
from vaedge.benchmark.timing import median_microseconds, time_in_turn
from vaedge.distributions.bounds import Bounds, bounds
from vaedge.engine.cpus import processor
from vaedge.engine.int8 import int8_kernels
from vaedge_export.errors import ExportError, LossError
from vaedge_export.examples import Array, Rows
from vaedge_export.graphs import serialize
from vaedge_export.variants.quantize import QUANTIZERS, layers

VARIANTS = ("fp32", *QUANTIZERS)
_MOST_ITEMS = 1000
_CALIBRATION_ITEMS = 256
_K = 16
_SEED = 0
_BUDGET, _RELATIVE_BUDGET = 0.3, 0.001
_TIMED_BATCHES = (1, 64)
_SECONDS = 0.5

Graphs = tuple[bytes, bytes]
Open = Callable[[Graphs], vaedge.VAE]


@dataclass(frozen=True)
class Measured:
    """What a variant costs and what it brings, against float32 on the same items with the same noise.

    Attributes:
        bytes: of both graphs.
        elbo_change: nats per item; below zero is worse.
        elbo_change_standard_error: of that mean.
        bound_change: of the importance-weighted bound with k draws.
        psnr: of reconstructions, against those of float32, dB; None where they are the same.
        microseconds: median of a call of reconstruct, by batch.
        kept: layers that stay in float32, because the measurement asked for it.
        items: how many.
        k: draws per item.
        processor: where it was timed.
        int8_kernels: which 8-bit kernels ONNX Runtime used there: "default", or "x64quantprecision".
        threads: how many it used.
    """

    bytes: int
    elbo_change: float
    elbo_change_standard_error: float
    bound_change: float
    psnr: float | None
    microseconds: Mapping[str, float]
    kept: Collection[str]
    items: int
    k: int
    processor: str
    int8_kernels: str
    threads: int

    def to_dict(self) -> dict[str, object]:
        """Return the figures as JSON has them."""
        return {**asdict(self), "kept": list(self.kept)}


class Comparison:
    """Measures variants against the float32 graphs."""

    def __init__(self, fp32: Graphs, open_vae: Open, rows: Rows) -> None:
        """Score the float32 graphs.

        Args:
            fp32: encoder and decoder.
            open_vae: makes a VAE of two graphs.
            rows: held-out items.
        """
        self.fp32 = fp32
        self._open = open_vae
        self.rows = rows.resized(min(len(rows.x), _MOST_ITEMS))
        self._vae = open_vae(fp32)
        self._scores = self._score(self._vae)
        self._reconstructed = self._vae.reconstruct(self.rows.x, **self.rows.told)
        value_range = self._vae.manifest.input_range
        self._peak = value_range[1] - value_range[0] if value_range else float(np.ptp(self.rows.x))
        self.budget = max(_BUDGET, _RELATIVE_BUDGET * abs(float(self._scores.elbo.mean())))

    def loss(self, graphs: Graphs) -> float:
        """Return how many nats of the ELBO the graphs cost, per item; infinity where they yield NaN."""
        try:
            change = float((self._score(self._open(graphs)).elbo - self._scores.elbo).mean())
        except vaedge.InputError:  # the encoder yields NaN, which the decoder does not take
            return float("inf")
        return -change if np.isfinite(change) else float("inf")

    def time(self, variants: Mapping[str, Graphs]) -> dict[str, dict[str, float]]:
        """Return the median microseconds of `reconstruct` by variant and batch, the variants in turn."""
        vaes = {name: self._open(graphs) for name, graphs in variants.items()}
        times: dict[str, dict[str, float]] = {name: {} for name in variants}
        for batch in _TIMED_BATCHES:
            rows = self.rows.resized(batch)
            calls = {name: partial(vae.reconstruct, rows.x, **rows.told) for name, vae in vaes.items()}
            for name, rounds in time_in_turn(calls, _SECONDS).items():
                times[name][str(batch)] = median_microseconds(rounds)
        return times

    def measure(self, graphs: Graphs, kept: Collection[str], microseconds: Mapping[str, float]) -> Measured:
        """Return all figures of the graphs, whose times are known."""
        vae = self._open(graphs)
        scores = self._score(vae)
        change = scores.elbo - self._scores.elbo
        error = np.mean(np.square(vae.reconstruct(self.rows.x, **self.rows.told) - self._reconstructed))
        return Measured(
            bytes=sum(map(len, graphs)),
            elbo_change=float(change.mean()),
            elbo_change_standard_error=float(change.std() / np.sqrt(len(change))),
            bound_change=float((scores.importance_weighted - self._scores.importance_weighted).mean()),
            psnr=float(10 * np.log10(self._peak**2 / error)) if error > 0 else None,
            microseconds=microseconds,
            kept=kept,
            items=len(change),
            k=_K,
            processor=processor(),
            int8_kernels=int8_kernels(),
            threads=vae.threads,
        )

    def _score(self, vae: vaedge.VAE) -> Bounds:
        return bounds(vae, self.rows.x, _K, _SEED, dict(self.rows.told))


def make_variant(name: str, comparison: Comparison, allowed: float | None) -> tuple[Graphs, list[str]]:
    """Quantise both graphs, keeping as few layers in float32 as the budget asks for.

    Where all layers together cost too much, each is tried in float32 on its own; then they are kept in the order of
    nats won per weight, until the rest is within the budget.

    Args:
        name: "fp16", "int8" or "int4".
        comparison: with the float32 graphs.
        allowed: the budget, nats per item; None is 0.3, or a thousandth of the ELBO where that is more.

    Returns:
        The graphs, and the layers that stay in float32.

    Raises:
        LossError: the variant costs more, whatever is kept.
    """
    budget = comparison.budget if allowed is None else allowed
    rows = comparison.rows.resized(_CALIBRATION_ITEMS)
    encoder, decoder = comparison.fp32

    def quantized(keep: Collection[tuple[str, str]]) -> Graphs:
        return (
            _bytes(name, encoder, rows.to_encoder, [layer for graph, layer in keep if graph == "encoder"]),
            _bytes(name, decoder, rows.to_decoder, [layer for graph, layer in keep if graph == "decoder"]),
        )

    kept: list[tuple[str, str]] = []
    graphs = quantized(kept)
    loss = first_loss = comparison.loss(graphs)
    if loss > budget and name != "fp16":
        weights = {
            (graph, layer): count
            for graph, content in (("encoder", encoder), ("decoder", decoder))
            for layer, count in layers(content).items()
        }
        won = {layer: first_loss - comparison.loss(quantized([layer])) for layer in weights}
        order = sorted(weights, key=lambda layer: -won[layer] / weights[layer] if np.isfinite(won[layer]) else 0.0)
        for layer in order[:-1]:  # with all of them kept, nothing would be left of the variant
            kept.append(layer)
            graphs = quantized(kept)
            loss = comparison.loss(graphs)
            if loss <= budget:
                break
    if loss > budget:
        raise LossError(
            f"variant {name} costs {loss:.3f} nats per item, and {budget:.3f} are allowed: leave it out, or raise the "
            f"budget (allow_loss, --allow-loss) to {np.ceil(1000 * loss) / 1000 if np.isfinite(loss) else loss:g}"
        )
    return graphs, [f"{graph}: {layer}" for graph, layer in kept]


def _bytes(name: str, content: bytes, inputs: Mapping[str, Array], keep: Collection[str]) -> bytes:
    """Return the graph in other bits, with the metadata that it had, and the variant's name."""
    original = onnx.load_model_from_string(content)
    metadata = {entry.key: entry.value for entry in original.metadata_props}
    quantized = QUANTIZERS[name](content, inputs, keep)
    return serialize(quantized, original.graph.name, {**metadata, "variant": name})


def require_known(names: Collection[str]) -> None:
    """Raise ExportError for a variant that there is not."""
    for name in names:
        if name not in VARIANTS:
            raise ExportError(f"variant is {name!r}; known are {', '.join(VARIANTS)}")
