"""The command `vaedge bench BUNDLE`."""

import argparse
import io
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import vaedge
from vaedge import DependencyError, InputError
from vaedge.benchmark.baselines import BASELINES, Baseline
from vaedge.benchmark.timing import BATCH_SIZES, OPERATIONS, Candidate, Timing, time_operations
from vaedge.bundle.reader import Bundle, read_bundle
from vaedge.bundle.reference import Inputs
from vaedge.cli.arguments import DEVICE_HELP, positive
from vaedge.cli.output import Output
from vaedge.engine.cpus import describe_cpu, peak_memory, usable_cpus
from vaedge.engine.int8 import int8_kernels
from vaedge.engine.onnxruntime import import_onnxruntime
from vaedge.files.atomic import write_atomically


@dataclass
class _Candidates:
    """The loaded variants and baselines that are timed.

    Attributes:
        by_name: Dict from the name of each candidate to the candidate. All candidates are compared with the first one.
        load_seconds: Dict from the name of each candidate that is a variant to its load time in seconds.
    """

    by_name: dict[str, Candidate] = field(default_factory=dict)
    load_seconds: dict[str, float] = field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge bench`."""
    parser.add_argument("model", metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("--device", default="cpu", help=DEVICE_HELP)
    parser.add_argument(
        "--batches",
        type=positive,
        nargs="+",
        default=BATCH_SIZES,
        metavar="N",
        help="batch sizes to time (default: 1 8 64 512)",
    )
    parser.add_argument(
        "--threads",
        type=positive,
        nargs="+",
        metavar="N",
        help="numbers of CPU threads to time (default: all CPUs that this process may use)",
    )
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="variants to time (default: all variants)")
    parser.add_argument(
        "--operations",
        nargs="+",
        choices=OPERATIONS,
        default=OPERATIONS,
        metavar="NAME",
        help=f"operations to time (default: {', '.join(OPERATIONS)})",
    )
    parser.add_argument(
        "--against",
        default="",
        metavar="NAMES",
        help=f"baselines that also run the fp32 graphs, separated by commas: {', '.join(BASELINES)}",
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=0.5, help="time in seconds to repeat each call (default: 0.5)"
    )
    parser.add_argument("--json", action="store_true", help="print the measurements as JSON")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="file for a plot of the measurements, .png or .svg; needs matplotlib"
    )


def run(args: argparse.Namespace) -> int:
    """Load the candidates, time them, and print each row as soon as it is measured."""
    plot = None if args.plot is None else _validate_plot(args.plot)
    bundle = read_bundle(args.model)
    candidates = _load_candidates(args, bundle)
    if not args.json:
        _print_head(bundle.manifest.name, args.device, candidates)
    timings = []
    operations = time_operations(candidates.by_name, Inputs.of(bundle), args.batches, args.operations, args.seconds)
    for timing in operations:
        timings.append(timing)
        if not args.json:
            print(_row(timing), flush=True)
    if args.json:
        print(json.dumps(_tree(bundle.manifest.name, args.device, candidates.load_seconds, timings), indent=2))
    else:
        peak = peak_memory()
        print(f"peak memory of this process: {'not available' if peak is None else f'{peak / 2**20:.0f} MiB'}")
    if plot is not None:
        _draw(plot, timings)
    return 0


def _load_candidates(args: argparse.Namespace, bundle: Bundle) -> _Candidates:
    """Load every variant and every baseline with every number of threads."""
    baselines = [name for name in args.against.split(",") if name]
    for name in baselines:
        if name not in BASELINES:
            raise InputError(
                f"--against {name} is not a known baseline; expected names from {', '.join(BASELINES)}, separated by "
                "commas"
            )
    candidates = _Candidates()
    for threads in args.threads or [usable_cpus()]:
        for variant in args.variants or bundle.manifest.variants:
            name = f"{variant} x{threads}"
            start = time.perf_counter()
            vae = vaedge.load(args.model, device=args.device, variant=variant, threads=threads)
            candidates.load_seconds[name] = time.perf_counter() - start
            candidates.by_name[name] = vae
        for baseline in baselines:
            run_graph = BASELINES[baseline](bundle, threads)
            candidates.by_name[f"{baseline} x{threads}"] = Baseline(run_graph, vae.prior)
    return candidates


def _print_head(name: str, device: str, candidates: _Candidates) -> None:
    version = import_onnxruntime().__version__
    print(f"{name} on {device}, {describe_cpu()}, onnxruntime {version}; times in microseconds")
    print(f"8-bit kernels: {int8_kernels()}")
    loads = ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in candidates.load_seconds.items())
    print(f"loaded in: {loads}; ratio: time divided by the time of {next(iter(candidates.by_name))}")
    print(
        f"{'':<16}{'operation':<12}{'batch':>6}{'p50':>9}{'p90':>9}{'p99':>9}{'examples/s':>12}{'ratio':>7}{'calls':>7}"
    )


def _row(timing: Timing) -> str:
    percentiles = "".join(f"{value:>9.0f}" for value in (timing.p50, timing.p90, timing.p99))
    return (
        f"{timing.candidate:<16}{timing.operation:<12}{timing.batch_size:>6}{percentiles}"
        f"{timing.examples_per_second:>12,.0f}{timing.ratio:>7.2f}{timing.calls:>7}"
    )


def _tree(name: str, device: str, load_seconds: Mapping[str, float], timings: Iterable[Timing]) -> dict[str, object]:
    """Return the measurements as the dict that --json prints."""
    return {
        "model": name,
        "device": device,
        "cpu": describe_cpu(),
        "int8_kernels": int8_kernels(),
        "onnxruntime": import_onnxruntime().__version__,
        "load_seconds": load_seconds,
        "peak_bytes": peak_memory(),
        "timings": [vars(timing) for timing in timings],
    }


def _validate_plot(path: Path) -> Output:
    """Validate the path and import matplotlib before the measurement begins."""
    output = Output.of(path, ".png", ".svg")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise DependencyError("--plot needs matplotlib, which is not installed: pip install matplotlib") from error
    return output


def _draw(output: Output, timings: Sequence[Timing]) -> None:
    """Draw examples per second over the batch size: one panel per operation, and one line per candidate."""
    from matplotlib.figure import Figure

    operations = list(dict.fromkeys(timing.operation for timing in timings))
    figure = Figure(figsize=(4 * len(operations), 4), layout="constrained")
    for axes, operation in zip(figure.subplots(1, len(operations), squeeze=False)[0], operations, strict=True):
        for name in dict.fromkeys(timing.candidate for timing in timings):
            rows = [timing for timing in timings if (timing.operation, timing.candidate) == (operation, name)]
            axes.loglog(
                [row.batch_size for row in rows], [row.examples_per_second for row in rows], marker="o", label=name
            )
        axes.set(title=operation, xlabel="batch size", ylabel="examples per second")
    axes.legend()
    content = io.BytesIO()
    figure.savefig(content, format=output.suffix[1:])
    write_atomically(output.path, content.getvalue())


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds that is 0 or larger")
    return seconds
