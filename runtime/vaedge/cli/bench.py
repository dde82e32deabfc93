"""The command `vaedge bench BUNDLE`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import vaedge
from vaedge import DependencyError, InputError
from vaedge.benchmark import tables
from vaedge.benchmark.baselines import BASELINES
from vaedge.benchmark.compare import SLOWER, compare, conflicts
from vaedge.benchmark.machine import Hardware, software
from vaedge.benchmark.plot import draw
from vaedge.benchmark.report import MeasuredBundle, Report, read_report
from vaedge.benchmark.rounds import Group, groups_of, run_rounds
from vaedge.benchmark.timing import BATCH_SIZES, OPERATIONS
from vaedge.bundle.reader import read_bundle
from vaedge.bundle.reference import Inputs
from vaedge.cli.arguments import DEVICE_HELP, positive
from vaedge.cli.bench_candidates import Loaded, load_candidates
from vaedge.cli.output import Output
from vaedge.cli.progress import progress_bar
from vaedge.engine.int8 import int8_kernels
from vaedge.files.atomic import write_atomically

_STANDARD_OUTPUT = Path("-")
_DEFAULT_SECONDS = 90.0  # for all rows, so that a run with cold starts takes less than two minutes
_BUDGET_HELP = f"time in seconds to repeat each call (default: {_DEFAULT_SECONDS:.0f} seconds in all)"
_PERCENT_HELP = "end the rounds when the 99 %% interval of each ratio is narrower than this (default: 2%%)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge bench`."""
    parser.set_defaults(wrong_call=parser.error)
    parser.add_argument("model", nargs="?", metavar="BUNDLE", help="folder of the bundle")
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
    parser.add_argument("--seconds", type=_seconds, help=_BUDGET_HELP)
    parser.add_argument("--precision", type=_percent, default=0.02, metavar="PERCENT", help=_PERCENT_HELP)
    parser.add_argument(
        "--json",
        type=Path,
        nargs="?",
        const=_STANDARD_OUTPUT,
        metavar="FILE",
        help="write the report as JSON to a file, or to the standard output without FILE",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="file for a plot of the measurements, .png or .svg; needs matplotlib"
    )
    parser.add_argument(
        "--compare", type=Path, nargs=2, metavar=("OLD", "NEW"), help="compare two reports instead of measuring"
    )
    parser.add_argument(
        "--fail-above",
        type=_percent,
        metavar="PERCENT",
        help="with --compare: exit with status 3 if a row became slower by more than this",
    )
    parser.add_argument(
        "--force", action="store_true", help="with --compare: compare reports of different machines or settings, too"
    )


def run(args: argparse.Namespace) -> int:
    """Compare two reports, or time the candidates of a bundle and print the report.

    Ctrl-C ends the rounds, and the report is then partial.
    """
    if (args.model is None) == (args.compare is None):
        args.wrong_call("expected either BUNDLE or --compare OLD NEW")
    if args.compare is not None:
        return _compare(args)
    if args.fail_above is not None or args.force:
        args.wrong_call("--fail-above and --force need --compare OLD NEW")
    plot = None if args.plot is None else _validate_plot(args.plot)
    target = None if args.json in (None, _STANDARD_OUTPUT) else Output.of(args.json, ".json")
    loaded = load_candidates(args)
    inputs = Inputs.of(read_bundle(args.model))
    candidates = {entry.measured.name: entry.candidate for entry in loaded}
    groups = groups_of(candidates, inputs, dict.fromkeys(args.batches), dict.fromkeys(args.operations))
    seconds = _DEFAULT_SECONDS / (len(groups) * len(candidates)) if args.seconds is None else args.seconds
    finished = _run_rounds(groups, seconds, args.precision)
    report = _report(args, loaded, groups, seconds, partial=not finished)
    if args.json == _STANDARD_OUTPUT:
        print(report.to_json(), end="")
    else:
        print(*tables.head(report), *tables.rows(report), sep="\n")
    if target is not None:
        write_atomically(target.path, report.to_json().encode())
    if plot is not None and report.rows:
        write_atomically(plot.path, draw(report.rows, plot.suffix))
    return 0 if finished else 130


def _compare(args: argparse.Namespace) -> int:
    """Print the comparison of two reports. Return 3 if a row became slower by more than --fail-above."""
    old, new = map(read_report, args.compare)
    reasons = list(conflicts(old, new))
    if reasons and not args.force:
        raise InputError(
            f"{args.compare[0]} and {args.compare[1]} are not comparable: {'; '.join(reasons)}. Measure both on one "
            "machine with the same options, or add --force"
        )
    changes = compare(old, new)
    print(*tables.changes(changes, reasons), sep="\n")
    if args.fail_above is None:
        return 0
    return 3 if any(change.verdict == SLOWER and change.relative > args.fail_above for change in changes) else 0


def _run_rounds(groups: Sequence[Group], seconds: float, precision: float) -> bool:
    """Run the rounds with a progress bar. Return False if Ctrl-C ended them."""
    total = sum(seconds * len(group.calls) for group in groups)
    try:
        with progress_bar(round(total), "timing", "seconds") as advance:
            run_rounds(groups, seconds, precision, advance)
    except KeyboardInterrupt:
        return False
    return True


def _report(
    args: argparse.Namespace, loaded: Sequence[Loaded], groups: Sequence[Group], seconds: float, *, partial: bool
) -> Report:
    bundle = read_bundle(args.model)
    manifest = bundle.manifest
    variants = [manifest.variants[name] for name in {entry.measured.variant for entry in loaded}]
    graphs = sorted(name for variant in variants for name in (variant.encoder, variant.decoder))
    return Report(
        partial=partial,
        bundle=MeasuredBundle(
            name=manifest.name, sha256=bundle.sha256, graphs={name: manifest.files[name].sha256 for name in graphs}
        ),
        hardware=Hardware.of_this_machine(),
        software=software(vaedge.__version__, {entry.measured.kind for entry in loaded}),
        int8_kernels=int8_kernels(),
        seconds=seconds,
        precision=args.precision,
        candidates=tuple(entry.measured for entry in loaded),
        rows=tuple(row for group in groups for row in group.rows()),
    )


def _validate_plot(path: Path) -> Output:
    """Validate the path and import matplotlib before the measurement begins."""
    output = Output.of(path, ".png", ".svg")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise DependencyError("--plot needs matplotlib, which is not installed: pip install matplotlib") from error
    return output


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds that is 0 or larger")
    return seconds


def _percent(text: str) -> float:
    try:
        percent = float(text.strip().removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage that is 0 or larger, such as 2%")
    return percent / 100
