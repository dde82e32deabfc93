"""`vaedge reconstruct MODEL INPUT --out FILE`."""

import argparse
from pathlib import Path

from vaedge.commands import (
    add_condition_argument,
    add_items_arguments,
    add_model_arguments,
    load_model,
    read_conditions,
    seed,
)
from vaedge.commands.rows import write_decoded
from vaedge.errors import InputError
from vaedge.files.items import read_items, require_output, write_items


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge reconstruct`."""
    add_model_arguments(parser)
    add_condition_argument(parser)
    add_items_arguments(parser)
    parser.add_argument("--sample", action="store_true", help="draw z from q(z|x) instead of taking its mean")
    parser.add_argument("--seed", type=seed, help="for --sample")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=".png (rows of originals above their reconstructions), .npy, or a folder of shards",
    )


def run(args: argparse.Namespace) -> int:
    """Reconstruct, write."""
    if args.seed is not None and not args.sample:
        raise InputError("--seed is for --sample: without it nothing is drawn")
    if args.sample and not args.out.suffix:
        raise InputError("--sample draws all z at once, and writes .npy or .png, no shards")
    require_output(args.out, ".npy", ".png")
    vae = load_model(args)
    x = read_items(args.input, vae.input_shape, resize=args.resize)
    told = read_conditions(args, vae.manifest)
    if args.out.suffix.lower() == ".png" or args.sample:
        y = vae.reconstruct(x, sample=args.sample, seed=args.seed, **told)
        if args.out.suffix.lower() == ".png":
            from vaedge.files.pictures import beside

            write_items(args.out, *beside(x, y))
        else:
            write_items(args.out, y)
        print(f"{args.out}: {len(y)} reconstructions")
        return 0
    return write_decoded(args, vae, x, told, vae.reconstruct)
