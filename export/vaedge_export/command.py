"""`vaedge export RUN --out DIR`."""

import argparse
from pathlib import Path

from vaedge_export.folder import require_absent
from vaedge_export.from_run import export_run
from vaedge_export.triton import write_triton
from vaedge_export.variants import VARIANTS
from vaedge_train import TrainError

ERRORS = (TrainError,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge export`."""
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder that `vaedge train` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder to make, for example models/first")
    parser.add_argument(
        "--variants",
        default="fp32",
        metavar="NAMES",
        help=f"precisions to write, with commas: {', '.join(VARIANTS)} (default: fp32, which is always written)",
    )
    parser.add_argument(
        "--allow-loss",
        type=float,
        metavar="NATS",
        help="what a variant may cost per item (default: 0.3, or a thousandth of the ELBO where that is more)",
    )
    parser.add_argument(
        "--fixed-batch", type=int, metavar="N", help="write a copy for batches of N too, for engines that ask for it"
    )
    parser.add_argument("--triton", type=Path, metavar="DIR", help="write a model repository for the Triton server too")
    parser.add_argument("--note", help="a sentence or two for the model card, beside the figures")


def run(args: argparse.Namespace) -> int:
    """Export and say what to do next."""
    variants = [name.strip() for name in args.variants.split(",")]
    if args.triton is not None:
        require_absent(args.triton)
    export_run(
        args.run,
        args.out,
        variants=variants,
        allow_loss=args.allow_loss,
        fixed_batch=args.fixed_batch,
        note=args.note,
        progress=True,
    )
    if args.triton is not None:
        write_triton(args.out, args.triton)
        print(f"{args.triton}: a model repository for Triton")
    print(f"{args.out}: exported and verified; next: vaedge sample {args.out} --out samples.png")
    return 0
