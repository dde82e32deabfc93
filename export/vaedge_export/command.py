"""`vaedge export RUN --out DIR`."""

import argparse
from pathlib import Path

from vaedge_export.from_run import export_run
from vaedge_train import TrainError

ERRORS = (TrainError,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge export`."""
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder that `vaedge train` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder to make, for example models/first")
    parser.add_argument("--note", help="a sentence or two for the model card, beside the figures")


def run(args: argparse.Namespace) -> int:
    """Export and say what to do next."""
    export_run(args.run, args.out, note=args.note, progress=True)
    print(f"{args.out}: exported and verified; next: vaedge sample {args.out} --out samples.png")
    return 0
