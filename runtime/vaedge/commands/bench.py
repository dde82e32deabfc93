"""`vaedge bench MODEL`."""

import argparse
import json

from vaedge.bench import BATCHES, bench
from vaedge.commands import add_model_arguments, load_model, positive
from vaedge.cpus import usable_cpus
from vaedge.engine import import_onnxruntime


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge bench`."""
    add_model_arguments(parser)
    parser.add_argument(
        "--batches",
        type=positive,
        nargs="+",
        default=BATCHES,
        metavar="N",
        help="items per call (default: 1 8 64 512)",
    )
    parser.add_argument("--seconds", type=_seconds, default=0.5, help="time spent on each figure (default: 0.5)")
    parser.add_argument("--json", action="store_true", help="print JSON; times in microseconds")


def run(args: argparse.Namespace) -> int:
    """Measure, and print each row as soon as it is known (with --json, everything at the end)."""
    vae = load_model(args)
    threads = args.threads or usable_cpus()
    if not args.json:
        print(f"{vae!r}, {threads} threads, onnxruntime {import_onnxruntime().__version__}; times in microseconds")
        print(f"{'operation':<12}{'batch':>6}{'p50':>10}{'p90':>10}{'p99':>10}{'items/s':>12}{'calls':>8}")
    timings = []
    for timing in bench(vae, args.batches, args.seconds):
        timings.append(timing)
        if not args.json:
            percentiles = "".join(f"{value:>10.0f}" for value in (timing.p50, timing.p90, timing.p99))
            row = f"{timing.operation:<12}{timing.batch:>6}{percentiles}{timing.items_per_second:>12,.0f}"
            print(f"{row}{timing.calls:>8}", flush=True)
    if args.json:
        tree = {
            "model": vae.manifest.name,
            "variant": vae.variant,
            "device": vae.device,
            "threads": threads,
            "onnxruntime": import_onnxruntime().__version__,
            "timings": [vars(timing) for timing in timings],
        }
        print(json.dumps(tree, indent=2))
    return 0


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds
