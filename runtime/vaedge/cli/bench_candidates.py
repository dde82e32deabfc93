"""Load the variants and baselines that `vaedge bench` times."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import vaedge
from vaedge import InputError
from vaedge.benchmark.accuracy import difference, nats
from vaedge.benchmark.baselines import BASELINES, Baseline, session_settings
from vaedge.benchmark.machine import software
from vaedge.benchmark.report import MeasuredCandidate
from vaedge.benchmark.timing import Candidate
from vaedge.bundle.reader import Bundle, read_bundle
from vaedge.bundle.reference import Inputs
from vaedge.cli.bench_process import COLD_STARTS, WorkerProcess
from vaedge.distributions.prior import read_prior
from vaedge.engine.cpus import usable_cpus
from vaedge.engine.device import open_session

VAEDGE = "vaedge"
PYTHON = "python"
_INTERPRETER = "python="  # the start of --against python=PATH


@dataclass(frozen=True)
class Options:
    """The graphs that a candidate runs, and the settings of the candidate.

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
    versions = software() if options.kind == VAEDGE else BASELINES[options.kind].software()
    return {
        "device": device,
        "difference": difference(candidate, bundle),
        "software": versions,
        **asdict(settings),
    }


def validate_baselines(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the baselines in the arguments of --against, which may hold commas.

    Raises:
        InputError: A baseline is unknown, or PATH is missing.
    """
    names = tuple(dict.fromkeys(name for text in texts for name in text.split(",") if name))
    for name in names:
        if name == _INTERPRETER:
            raise InputError(
                "--against python= has no path; give the path of a Python interpreter after the equals sign"
            )
        if name not in BASELINES and not name.startswith(_INTERPRETER):
            raise InputError(
                f"--against {name} is not a known baseline; expected {', '.join(BASELINES)} or python=PATH; put each "
                "BUNDLE before --against"
            )
    return names


@dataclass(frozen=True)
class Loaded:
    """A loaded variant or baseline.

    Attributes:
        name: Name of the candidate in the report.
        bundle: Name of the bundle in the report.
        kind: "vaedge", "python", or the name of another baseline.
        options: The graphs that the candidate runs, and the settings of the candidate.
        files: The bundle.
        process: The process that runs the candidate.
        described: The fields of MeasuredCandidate that `describe` returned in the process.
    """

    name: str
    bundle: str
    kind: str
    options: Options
    files: Bundle
    process: WorkerProcess
    described: Mapping[str, Any]

    def measured(self) -> MeasuredCandidate:
        """Return the entry of the candidate in the report."""
        manifest = self.files.manifest
        entry = manifest.variants[self.files.variant]
        graphs_and_prior = filter(None, (entry.encoder, entry.decoder, manifest.prior_file))
        negative_elbo, lost, error = nats(manifest, self.files.variant)
        return MeasuredCandidate(
            name=self.name,
            bundle=self.bundle,
            kind=self.kind,
            variant=self.options.variant,
            threads=self.options.threads,
            cold_start_seconds=float(np.median(self.process.start_seconds[:COLD_STARTS])),
            peak_bytes=self.process.peak_bytes,
            bytes=sum(manifest.files[name].bytes for name in graphs_and_prior),
            nats=negative_elbo,
            nats_lost=lost,
            nats_lost_standard_error=error,
            **self.described,
        )


def load_candidates(
    args: argparse.Namespace, bundle_name: str, fp32: Bundle, prefixed: bool, processes: ExitStack
) -> Iterator[Loaded]:
    """Load every variant and every baseline with every number of threads, each in a new process.

    Args:
        args: The arguments of `vaedge bench`.
        bundle_name: Name of the bundle in the report.
        fp32: The bundle, read with its variant fp32.
        prefixed: Whether the names of the candidates start with the name of the bundle.
        processes: Object that ends the processes.

    Yields:
        The candidates. For each number of threads, the variants come first.

    Raises:
        VaedgeError: A bundle cannot be loaded (see `vaedge.load`), or a process failed.
    """
    path, inputs = str(fp32.path), Inputs.of(fp32)
    device = "cpu" if args.device is None else args.device
    baselines = validate_baselines(args.against or ())
    variants = tuple(dict.fromkeys(args.variants or fp32.manifest.variants))
    interpreters = [name.removeprefix(_INTERPRETER) for name in baselines if name.startswith(_INTERPRETER)]
    for threads in dict.fromkeys(args.threads or [usable_cpus()]):
        candidates = [
            *((None, Options(path, VAEDGE, variant, device, threads)) for variant in variants),
            *((None, Options(path, kind, "fp32", "cpu", threads)) for kind in baselines if kind in BASELINES),
            *(
                (interpreter, Options(path, VAEDGE, variant, device, threads))
                for interpreter in interpreters
                for variant in variants
            ),
        ]
        for interpreter, options in candidates:
            files = read_bundle(options.path, options.variant)
            process = processes.enter_context(WorkerProcess(asdict(options), inputs, interpreter))
            described, _ = process.request({"request": "describe"})
            name = options.variant if options.kind == VAEDGE else options.kind
            kind = options.kind
            if interpreter is not None:
                name, kind = f"{name} onnxruntime {described['software']['onnxruntime']}", PYTHON
            elif kind == VAEDGE:
                described["software"] = {}
            name = f"{bundle_name} {name} x{threads}" if prefixed else f"{name} x{threads}"
            yield Loaded(name, bundle_name, kind, options, files, process, described)
