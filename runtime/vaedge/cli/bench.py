"""The command `vaedge bench BUNDLE`."""

import argparse
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path

import vaedge
from vaedge import DependencyError, InputError
from vaedge.benchmark import tables
from vaedge.benchmark.baselines import BASELINES
from vaedge.benchmark.machine import Hardware, software
from vaedge.benchmark.plot import draw_quality, draw_throughput
from vaedge.benchmark.report import MeasuredBundle, Report
from vaedge.benchmark.rounds import BundleCandidates, Group, groups_of, run_rounds
from vaedge.benchmark.timing import BATCH_SIZES, OPERATIONS
from vaedge.bundle.reader import Bundle, read_bundle
from vaedge.bundle.reference import Inputs
from vaedge.cli.arguments import DEVICE_HELP, positive
from vaedge.cli.bench_candidates import Loaded, load_candidates, validate_baselines
from vaedge.cli.bench_compare import compare_reports
from vaedge.cli.bench_process import WorkerProcess, restart_all, share_cpu
from vaedge.cli.output import Output
from vaedge.cli.progress import progress_bar
from vaedge.engine.cpus import usable_cpus
from vaedge.engine.int8 import int8_kernels
from vaedge.errors import install_hint
from vaedge.files.atomic import write_atomically

_STANDARD_OUTPUT = Path("-")
_DEFAULT_SECONDS = 90.0  # for all rows, so that a run with cold starts takes less than two minutes
_DEFAULT_PRECISION = 0.02
_BUDGET_HELP = f"time budget of each row, in seconds (default: {_DEFAULT_SECONDS:.0f} divided by the number of rows)"
_PERCENT_HELP = (
    "end the rounds when the 99 %% interval of each ratio (or of the median time, if there is only one candidate) is "
    "narrower than this (default: 2%%)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge bench`."""
    parser.set_defaults(wrong_call=parser.error)
    parser.add_argument(
        "bundles",
        nargs="*",
        metavar="BUNDLE",
        help="folder of a bundle; several bundles are compared with the first one",
    )
    parser.add_argument("--device", help=DEVICE_HELP)
    parser.add_argument(
        "--batches",
        type=_positive,
        nargs="+",
        metavar="N",
        help="batch sizes to time (default: 1 8 64 512)",
    )
    parser.add_argument(
        "--threads",
        type=_positive,
        nargs="+",
        metavar="N",
        help="numbers of CPU threads to time (default: the number of CPUs that this process may use)",
    )
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="variants to time (default: all variants)")
    parser.add_argument(
        "--operations",
        nargs="+",
        choices=OPERATIONS,
        metavar="NAME",
        help=f"operations to time (default: {', '.join(OPERATIONS)})",
    )
    parser.add_argument(
        "--against",
        nargs="+",
        metavar="NAME",
        help=(
            f"baselines: {', '.join(BASELINES)} (they run the fp32 graphs), and python=PATH, the "
            "path of another Python interpreter, which needs numpy and ONNX Runtime"
        ),
    )
    parser.add_argument("--seconds", type=_seconds, help=_BUDGET_HELP)
    parser.add_argument("--precision", type=_precision, metavar="PERCENT", help=_PERCENT_HELP)
    parser.add_argument(
        "--json",
        type=Path,
        nargs="?",
        const=_STANDARD_OUTPUT,
        metavar="FILE",
        help="write the report as JSON to FILE; without FILE, write it to the standard output",
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the tables to this Markdown file, whose name ends in .md"
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help=(
            "write a plot as .png or .svg: the throughput of one bundle, or the quality of several bundles against "
            "their time and size; needs matplotlib"
        ),
    )
    parser.add_argument(
        "--compare", type=Path, nargs=2, metavar=("OLD", "NEW"), help="compare two JSON reports instead of measuring"
    )
    parser.add_argument(
        "--fail-above",
        type=_percent,
        metavar="PERCENT",
        help="with --compare: exit with status 3 if a row became slower by more than PERCENT",
    )
    parser.add_argument(
        "--force", action="store_true", help="with --compare: compare reports of different machines or settings, too"
    )


def run(args: argparse.Namespace) -> int:
    """Compare two reports, or time the candidates of one or more bundles and print the report.

    Ctrl-C ends the rounds, and the report is then partial.
    """
    if args.compare is not None:
        return compare_reports(args)
    _validate_call(args)
    outputs = _outputs(args)
    validate_baselines(args.against or ())
    _validate_threads(args.threads or ())
    read = [read_bundle(path) for path in dict.fromkeys(args.bundles)]
    bundles = dict(zip(_names(read), read, strict=True))
    with ExitStack() as processes:
        loaded, groups = _load(args, bundles, processes)
        if args.plot is not None and len(bundles) > 1 and all(entry.measured().nats is None for entry in loaded):
            raise InputError(
                "--plot shows the quality of several bundles, and none of these bundles states a `test_elbo`; evaluate "
                "the models before you export them"
            )
        calls = sum(len(group.calls) for group in groups)
        seconds, precision = args.seconds or _DEFAULT_SECONDS / calls, args.precision or _DEFAULT_PRECISION
        finished = _run_rounds(groups, seconds, precision, [entry.process for entry in loaded])
    report = Report(
        partial=not finished,
        bundles=tuple(_measured(name, bundle, loaded) for name, bundle in bundles.items()),
        hardware=Hardware.of_this_machine(),
        software={"vaedge": vaedge.__version__, **software()},
        int8_kernels=int8_kernels(),
        seconds=seconds,
        precision=precision,
        candidates=tuple(entry.measured() for entry in loaded),
        rows=tuple(row for group in groups for row in group.rows()),
    )
    _write(report, outputs, as_json=args.json == _STANDARD_OUTPUT)
    return 0 if finished else 130


def _validate_call(args: argparse.Namespace) -> None:
    """End with the exit status 2 if BUNDLE is missing, or if there are options that need --compare."""
    file = None if args.json == _STANDARD_OUTPUT else args.json
    if file is not None and (not args.bundles or file.is_dir()):
        args.wrong_call(f"{file} was taken as the report FILE of --json: put BUNDLE first, or write --json=FILE")
    if not args.bundles:
        args.wrong_call(
            "expected either BUNDLE or --compare OLD NEW; if you gave BUNDLE, put it before options with several "
            "values, such as --variants"
        )
    if args.fail_above is not None or args.force:
        args.wrong_call("--fail-above and --force need --compare OLD NEW")


def _validate_threads(threads: Sequence[int]) -> None:
    """Raise InputError if a number of threads is larger than the number of CPUs that this process may use."""
    cpus = usable_cpus()
    for number in threads:
        if number > cpus:
            raise InputError(
                f"--threads {number} is larger than the number of CPUs that this process may use; expected an integer "
                f"from 1 to {cpus}"
            )


def _outputs(args: argparse.Namespace) -> list[Output]:
    """Validate the files to write, and import matplotlib, before the measurement begins."""
    outputs = []
    if args.json not in (None, _STANDARD_OUTPUT):
        outputs.append(Output.of(args.json, ".json"))
    if args.markdown is not None:
        outputs.append(Output.of(args.markdown, ".md"))
    if args.plot is not None:
        outputs.append(Output.of(args.plot, ".png", ".svg"))
        try:
            import matplotlib  # noqa: F401
        except ImportError as error:
            hint = install_hint("plot")
            raise DependencyError(f"--plot needs matplotlib, which is not installed: {hint}") from error
    return outputs


def _names(bundles: Sequence[Bundle]) -> list[str]:
    """Return a name for each bundle: the name in its manifest, or its folder if several bundles have this name."""
    names = [bundle.manifest.name for bundle in bundles]
    return [str(bundle.path) if names.count(name) > 1 else name for bundle, name in zip(bundles, names, strict=True)]


def _load(
    args: argparse.Namespace, bundles: Mapping[str, Bundle], processes: ExitStack
) -> tuple[list[Loaded], list[Group]]:
    """Load all candidates of all bundles, and prepare their calls."""
    loaded = [
        list(load_candidates(args, name, bundle, len(bundles) > 1, processes)) for name, bundle in bundles.items()
    ]
    candidates = [
        BundleCandidates({entry.name: entry.process.operation_call for entry in entries}, Inputs.of(bundle))
        for entries, bundle in zip(loaded, bundles.values(), strict=True)
    ]
    groups = groups_of(
        candidates, dict.fromkeys(args.batches or BATCH_SIZES), dict.fromkeys(args.operations or OPERATIONS)
    )
    return list(chain.from_iterable(loaded)), groups


def _run_rounds(groups: Sequence[Group], seconds: float, precision: float, processes: Sequence[WorkerProcess]) -> bool:
    """Run the rounds with a progress bar. Return False if Ctrl-C ended them."""
    share_cpu(processes)
    total = sum(seconds * len(group.calls) for group in groups)
    try:
        with progress_bar(round(total), "timing", "seconds", rate=False) as advance:
            run_rounds(groups, seconds, precision, partial(restart_all, processes), advance)
    except KeyboardInterrupt:
        return False
    return True


def _measured(name: str, bundle: Bundle, loaded: Sequence[Loaded]) -> MeasuredBundle:
    """Describe a bundle by the SHA-256 of its manifest and of the graphs that were measured."""
    manifest = bundle.manifest
    measured = {entry.options.variant for entry in loaded if entry.bundle == name}
    variants = [manifest.variants[variant] for variant in measured]
    graphs = sorted(file for variant in variants for file in (variant.encoder, variant.decoder))
    return MeasuredBundle(
        name=name,
        sha256=bundle.sha256,
        likelihood=manifest.likelihood,
        graphs={file: manifest.files[file].sha256 for file in graphs},
    )


def _write(report: Report, outputs: Sequence[Output], *, as_json: bool) -> None:
    """Print the report, and write it to each output."""
    if as_json:
        print(report.to_json(), end="")
    else:
        parts = (tables.head(report), tables.candidates(report).text(), tables.rows(report).text())
        print(*("\n".join(part) + "\n" for part in parts), *tables.remarks(report), sep="\n")
    for output in outputs:
        if output.suffix == ".json":
            write_atomically(output.path, report.to_json().encode())
        elif output.suffix == ".md":
            write_atomically(output.path, tables.markdown(report).encode())
        elif report.rows:
            draw = draw_throughput if len(report.bundles) == 1 else draw_quality
            write_atomically(output.path, draw(report, output.suffix))


def _positive(text: str) -> int:
    if "," in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer; separate several numbers by spaces")
    return positive(text)


def _seconds(text: str) -> float:
    seconds = _number(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds; expected a number larger than 0")
    return seconds


def _precision(text: str) -> float:
    percent = _number(text.strip().removesuffix("%"))
    if not 0 < percent < math.inf:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a precision; expected a percentage larger than 0, such as 2%"
        )
    return percent / 100


def _percent(text: str) -> float:
    percent = _number(text.strip().removesuffix("%"))
    if not 0 <= percent < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a valid percentage; expected 0 or more, such as 2%")
    return percent / 100


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
