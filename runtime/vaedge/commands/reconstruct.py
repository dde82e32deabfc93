"""`vaedge reconstruct MODEL INPUT --out FILE`."""

import argparse
from pathlib import Path

from vaedge.commands import add_condition_argument, add_model_arguments, load_model, read_conditions, seed
from vaedge.errors import InputError
from vaedge.files import read_items, require_suffix, write_items


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge reconstruct`."""
    add_model_arguments(parser)
    add_condition_argument(parser)
    parser.add_argument("--resize", action="store_true", help="bring pictures of another size to the model's")
    parser.add_argument("input", metavar="INPUT", type=Path, help=".npy, .npz, a picture, or a folder of pictures")
    parser.add_argument("--sample", action="store_true", help="draw z from q(z|x) instead of taking its mean")
    parser.add_argument("--seed", type=seed, help="for --sample")
    parser.add_argument(
        "--out", type=Path, required=True, help=".png (rows of originals above their reconstructions) or .npy"
    )


def run(args: argparse.Namespace) -> int:
    """Reconstruct, write."""
    if args.seed is not None and not args.sample:
        raise InputError("--seed is for --sample: without it nothing is drawn")
    require_suffix(args.out, ".npy", ".png")
    vae = load_model(args)
    x = read_items(args.input, vae.input_shape, resize=args.resize)
    y = vae.reconstruct(x, sample=args.sample, seed=args.seed, **read_conditions(args, vae.manifest))
    if args.out.suffix.lower() == ".png":
        from vaedge.pictures import beside

        write_items(args.out, *beside(x, y))
    else:
        write_items(args.out, y)
    print(f"{args.out}: {len(y)} reconstructions")
    return 0
