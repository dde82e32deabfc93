"""`vaedge export RUN --out DIR`."""

import argparse
from pathlib import Path

from vaedge.bundle.manifest import FORMAT_VERSION
from vaedge_export.folder import require_absent
from vaedge_export.from_run import export_run
from vaedge_export.triton import write_triton
from vaedge_export.upgrade import upgrade_bundle
from vaedge_export.variants.measure import VARIANTS
from vaedge_train import TrainError

ERRORS = (TrainError,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge export`."""
    parser.add_argument("run", metavar="RUN", nargs="?", type=Path, help="a run folder that `vaedge train` wrote")
    parser.add_argument("--out", type=Path, help="the bundle's folder to make, for example models/first")
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
    parser.add_argument(
        "--upgrade",
        type=Path,
        metavar="BUNDLE",
        help="rewrite a bundle of an older format in the newest one, in place; the ONNX files do not change",
    )
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Export a run, or upgrade a bundle, and say what to do next."""
    if args.upgrade is not None:
        if args.run is not None or args.out is not None:
            args.usage_error("--upgrade takes no RUN and no --out: it rewrites the bundle in place")
        upgrade_bundle(args.upgrade)
        print(f"{args.upgrade}: upgraded to format {FORMAT_VERSION} and checked")
        return 0
    if args.run is None or args.out is None:
        args.usage_error("give RUN and --out, or --upgrade BUNDLE")
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
