"""Load the variants and baselines that `vaedge bench` times, and measure what does not depend on the batch size."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import vaedge
from vaedge import InputError
from vaedge.benchmark.accuracy import difference, nats_lost
from vaedge.benchmark.baselines import BASELINES, Baseline, Settings, session_settings
from vaedge.benchmark.report import MeasuredCandidate
from vaedge.benchmark.timing import Candidate
from vaedge.bundle.reader import Bundle, read_bundle
from vaedge.bundle.reference import Inputs
from vaedge.cli.bench_start import VAEDGE, measure_start
from vaedge.engine.cpus import usable_cpus
from vaedge.engine.device import open_session


@dataclass(frozen=True)
class Loaded:
    """A loaded variant or baseline, and what the report says about it."""

    candidate: Candidate
    measured: MeasuredCandidate


def load_candidates(args: argparse.Namespace) -> list[Loaded]:
    """Load every variant and every baseline with every number of threads, and measure their cold starts.

    Raises:
        InputError: A baseline is unknown.
        VaedgeError: The bundle cannot be loaded; see `vaedge.load`.
    """
    baselines = [name for name in args.against.split(",") if name]
    for name in baselines:
        if name not in BASELINES:
            raise InputError(
                f"--against {name} is not a known baseline; expected names from {', '.join(BASELINES)}, separated by "
                "commas"
            )
    return list(_load(args, tuple(dict.fromkeys(baselines))))


def _load(args: argparse.Namespace, baselines: tuple[str, ...]) -> Iterator[Loaded]:
    fp32 = read_bundle(args.model)
    for threads in dict.fromkeys(args.threads or [usable_cpus()]):
        for variant in dict.fromkeys(args.variants or fp32.manifest.variants):
            bundle = read_bundle(args.model, variant)
            vae = vaedge.load(args.model, device=args.device, variant=variant, threads=threads)
            session, device = open_session(bundle.decoder, args.device, threads)
            yield _measure(args.model, vae, VAEDGE, bundle, device, threads, session_settings(session))
        for name in baselines:
            baseline = Baseline(BASELINES[name].run(fp32, threads), vae.prior)
            settings = BASELINES[name].settings(fp32, threads)
            yield _measure(args.model, baseline, name, fp32, "cpu", threads, settings)


def _measure(
    path: str, candidate: Candidate, kind: str, bundle: Bundle, device: str, threads: int, settings: Settings
) -> Loaded:
    start = measure_start(path, kind, bundle.variant, device, threads, Inputs.of(bundle))
    lost, error = nats_lost(bundle.manifest.variants[bundle.variant].measured)
    measured = MeasuredCandidate(
        name=f"{bundle.variant if kind == VAEDGE else kind} x{threads}",
        kind=kind,
        variant=bundle.variant,
        device=device,
        threads=threads,
        spinning=settings.spinning,
        graph_optimization=settings.graph_optimization,
        cold_start_seconds=start.seconds,
        peak_bytes=start.peak_bytes,
        difference=difference(candidate, bundle),
        nats_lost=lost,
        nats_lost_standard_error=error,
    )
    return Loaded(candidate, measured)
