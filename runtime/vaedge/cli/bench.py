"""`vaedge bench MODEL`."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from vaedge.benchmark.baselines import PEERS, Peer
from vaedge.benchmark.timing import BATCHES, OPERATIONS, Contestant, Timing, bench
from vaedge.bundle.reader import read_bundle
from vaedge.bundle.reference import Inputs
from vaedge.cli.arguments import positive
from vaedge.engine.cpus import peak_memory, processor
from vaedge.engine.device import thread_count
from vaedge.engine.int8 import int8_kernels
from vaedge.engine.onnxruntime import import_onnxruntime
from vaedge.errors import DependencyError, InputError
from vaedge.files.arrays import require_suffix, write_atomically
from vaedge.loading import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge bench`."""
    parser.add_argument("model", metavar="MODEL", help="a bundle's folder")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1 or auto")
    parser.add_argument("--batches", type=positive, nargs="+", default=BATCHES, metavar="N", help="items per call")
    parser.add_argument("--threads", type=positive, nargs="+", metavar="N", help="one or several (default: all usable)")
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="precisions (default: all that the bundle has)")
    parser.add_argument(
        "--operations", nargs="+", choices=OPERATIONS, default=OPERATIONS, metavar="NAME", help=", ".join(OPERATIONS)
    )
    parser.add_argument(
        "--against",
        default="",
        metavar="NAMES",
        help=f"other engines on the same graphs, with commas: {', '.join(PEERS)}",
    )
    parser.add_argument("--seconds", type=_seconds, default=0.5, help="how long to repeat each call (default: 0.5)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them, .png or .svg; needs matplotlib")


def run(args: argparse.Namespace) -> int:
    """Load, time, print each row as soon as it is known."""
    if args.plot is not None:
        require_suffix(args.plot, ".png", ".svg")
        _matplotlib()
    bundle = read_bundle(args.model)
    manifest = bundle.manifest
    contestants: dict[str, Contestant] = {}
    load_seconds: dict[str, float] = {}
    for threads in args.threads or [thread_count(None)]:
        suffix = f" x{threads}"
        for variant in args.variants or manifest.variants:
            began = time.perf_counter()
            vae = contestants[f"{variant}{suffix}"] = load(
                args.model, device=args.device, variant=variant, threads=threads
            )
            load_seconds[f"{variant}{suffix}"] = time.perf_counter() - began
        for name in filter(None, args.against.split(",")):
            if name not in PEERS:
                raise InputError(f"--against {name}: known are {', '.join(PEERS)}")
            contestants[f"{name}{suffix}"] = Peer(PEERS[name](bundle, threads), vae.prior)
    if not args.json:
        version = import_onnxruntime().__version__
        print(f"{manifest.name} on {args.device}, {processor()}, onnxruntime {version}; times in microseconds")
        print(f"8-bit kernels: {int8_kernels()}")
        loads = ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in load_seconds.items())
        print(f"loaded: {loads}; ratio: of the time to that of {next(iter(contestants))}, the smaller the faster")
        print(
            f"{'':<16}{'operation':<12}{'batch':>6}{'p50':>9}{'p90':>9}{'p99':>9}{'items/s':>11}{'ratio':>7}{'calls':>7}"
        )
    timings = []
    for timing in bench(contestants, Inputs.of(bundle), args.batches, args.operations, args.seconds):
        timings.append(timing)
        if not args.json:
            print(_row(timing), flush=True)
    peak = peak_memory()
    if args.json:
        tree = {
            "model": manifest.name,
            "device": args.device,
            "processor": processor(),
            "int8_kernels": int8_kernels(),
            "onnxruntime": import_onnxruntime().__version__,
            "load_seconds": load_seconds,
            "peak_bytes": peak,
            "timings": [vars(timing) for timing in timings],
        }
        print(json.dumps(tree, indent=2))
    else:
        shown = "not available" if peak is None else f"{peak / 2**20:.0f} MiB"
        print(f"peak memory of this process: {shown}")
    if args.plot is not None:
        _plot(args.plot, timings)
    return 0


def _row(timing: Timing) -> str:
    percentiles = "".join(f"{value:>9.0f}" for value in (timing.p50, timing.p90, timing.p99))
    return (
        f"{timing.contestant:<16}{timing.operation:<12}{timing.batch:>6}{percentiles}{timing.items_per_second:>11,.0f}"
        f"{timing.ratio:>7.2f}{timing.calls:>7}"
    )


def _matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise DependencyError("--plot needs matplotlib, which is not installed: pip install matplotlib") from error


def _plot(path: Path, timings: Sequence[Timing]) -> None:
    """Draw items per second over the batch, a panel for each operation and a line for each contestant."""
    import io

    from matplotlib.figure import Figure

    operations = list(dict.fromkeys(timing.operation for timing in timings))
    figure = Figure(figsize=(4 * len(operations), 4), layout="constrained")
    for axes, operation in zip(figure.subplots(1, len(operations), squeeze=False)[0], operations, strict=True):
        for name in dict.fromkeys(timing.contestant for timing in timings):
            rows = [timing for timing in timings if (timing.operation, timing.contestant) == (operation, name)]
            axes.loglog([row.batch for row in rows], [row.items_per_second for row in rows], marker="o", label=name)
        axes.set(title=operation, xlabel="items per call", ylabel="items per second")
    axes.legend()
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:])
    write_atomically(path, content.getvalue())


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds
