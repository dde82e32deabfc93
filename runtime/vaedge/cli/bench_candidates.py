"""Load the variants and baselines that `vaedge bench` times, and measure what does not depend on the batch size."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import vaedge
from vaedge import InputError
from vaedge.benchmark.accuracy import difference, nats
from vaedge.benchmark.baselines import BASELINES, Baseline, session_settings
from vaedge.benchmark.report import MeasuredCandidate
from vaedge.benchmark.timing import Call, Candidate, LocalCall, operation_call
from vaedge.bundle.reader import Bundle, read_bundle
from vaedge.bundle.reference import Inputs
from vaedge.cli.bench_process import WorkerProcess
from vaedge.distributions.prior import read_prior
from vaedge.engine.cpus import usable_cpus
from vaedge.engine.device import open_session

VAEDGE = "vaedge"
PYTHON = "python"
_INTERPRETER = "python="  # the start of --against python=PATH


@dataclass(frozen=True)
class Loaded:
    """A loaded variant or baseline.

    Attributes:
        call_of: Function that takes the name of an operation and inputs, and returns the call.
        measured: What the report says about the candidate.
    """

    call_of: Callable[[str, Inputs], Call]
    measured: MeasuredCandidate


@dataclass(frozen=True)
class Options:
    """What a candidate runs, and how.

    Attributes:
        path: The bundle's folder.
        kind: VAEDGE, or the name of a baseline.
        variant: Name of the variant.
        device: As for `vaedge.load`. Baselines ignore it.
        threads: Number of CPU threads.
    """

    path: str
    kind: str
    variant: str
    device: str
    threads: int


def load_candidate(options: Options) -> Candidate:
    """Load a variant or a baseline.

    Raises:
        VaedgeError: The bundle cannot be loaded; see `vaedge.load`.
    """
    path, kind, variant, threads = options.path, options.kind, options.variant, options.threads
    if kind == VAEDGE:
        return vaedge.load(path, device=options.device, variant=variant, threads=threads)
    bundle = read_bundle(path, variant)
    prior = read_prior(bundle.manifest.prior, bundle.prior, bundle.manifest.latent_shape)
    return Baseline(BASELINES[kind].run(bundle, threads), prior, bundle.manifest.parameters)


def describe(candidate: Candidate, options: Options) -> dict[str, Any]:
    """Return those fields of MeasuredCandidate that depend on this process.

    Args:
        candidate: The loaded candidate.
        options: The options with which it was loaded.
    """
    bundle = read_bundle(options.path, options.variant)
    if options.kind == VAEDGE:
        session, device = open_session(bundle.decoder, options.device, options.threads)
        settings = session_settings(session)
    else:
        device, settings = "cpu", BASELINES[options.kind].settings(bundle, options.threads)
    return {"device": device, "difference": difference(candidate, bundle), **asdict(settings)}


def validate_baselines(text: str) -> tuple[str, ...]:
    """Return the names of the baselines in the argument of --against.

    Raises:
        InputError: A baseline is unknown.
    """
    names = tuple(dict.fromkeys(name for name in text.split(",") if name))
    for name in names:
        if name not in BASELINES and not name.startswith(_INTERPRETER):
            raise InputError(
                f"--against {name} is not a known baseline; expected {', '.join(BASELINES)} or python=PATH, separated "
                "by commas"
            )
    return names


def load_candidates(
    args: argparse.Namespace, bundle_name: str, fp32: Bundle, prefixed: bool, processes: ExitStack
) -> Iterator[Loaded]:
    """Load every variant and every baseline with every number of threads, and measure their cold starts.

    Args:
        args: The arguments of `vaedge bench`.
        bundle_name: Name of the bundle in the report.
        fp32: The bundle.
        prefixed: Whether the names of the candidates start with the name of the bundle.
        processes: Object that ends the processes of other interpreters.

    Yields:
        The candidates. For each number of threads, the variants come first.

    Raises:
        VaedgeError: A bundle cannot be loaded (see `vaedge.load`), or a process failed.
    """
    path = str(fp32.path)
    prefix = f"{bundle_name} " if prefixed else ""
    baselines = validate_baselines(args.against)
    variants = tuple(dict.fromkeys(args.variants or fp32.manifest.variants))
    interpreters = [name.removeprefix(_INTERPRETER) for name in baselines if name.startswith(_INTERPRETER)]
    for threads in dict.fromkeys(args.threads or [usable_cpus()]):
        for variant in variants:
            yield _load(Options(path, VAEDGE, variant, args.device, threads), bundle_name, f"{prefix}{variant}")
        for kind in baselines:
            if kind in BASELINES:
                yield _load(Options(path, kind, "fp32", "cpu", threads), bundle_name, f"{prefix}{kind}")
        for interpreter in interpreters:
            for variant in variants:
                options = Options(path, VAEDGE, variant, args.device, threads)
                yield _load_in(interpreter, options, bundle_name, f"{prefix}{variant}", processes)


def _load(options: Options, bundle_name: str, name: str) -> Loaded:
    """Load a candidate in this process, and measure the cold start in a new process."""
    candidate = load_candidate(options)
    described = describe(candidate, options)
    bundle = read_bundle(options.path, options.variant)
    described["software"] = {} if options.kind == VAEDGE else BASELINES[options.kind].software()
    with WorkerProcess(asdict(replace(options, device=described["device"])), Inputs.of(bundle)) as process:
        measured = _measured(bundle, options, process, bundle=bundle_name, name=name, kind=options.kind, **described)
    return Loaded(lambda operation, rows: LocalCall(operation_call(candidate, operation, rows)), measured)


def _load_in(interpreter: str, options: Options, bundle_name: str, name: str, processes: ExitStack) -> Loaded:
    """Load a candidate in a process of another interpreter, which also gives the cold start."""
    bundle = read_bundle(options.path, options.variant)
    process = processes.enter_context(WorkerProcess(asdict(options), Inputs.of(bundle), interpreter))
    described, _ = process.request({"request": "describe"})
    name = f"{name} onnxruntime {described['software']['onnxruntime']}"
    measured = _measured(bundle, options, process, bundle=bundle_name, name=name, kind=PYTHON, **described)
    return Loaded(process.operation_call, measured)


def _measured(
    files: Bundle, options: Options, process: WorkerProcess, *, name: str, **described: Any
) -> MeasuredCandidate:
    manifest = files.manifest
    entry = manifest.variants[files.variant]
    negative_elbo, lost, error = nats(manifest, files.variant)
    return MeasuredCandidate(
        name=f"{name} x{options.threads}",
        variant=files.variant,
        threads=options.threads,
        cold_start_seconds=process.start_seconds,
        peak_bytes=process.peak_bytes,
        bytes=sum(manifest.files[file].bytes for file in (entry.encoder, entry.decoder, manifest.prior_file) if file),
        nats=negative_elbo,
        nats_lost=lost,
        nats_lost_standard_error=error,
        **described,
    )
