"""`vaedge decode MODEL INPUT --out FILE`."""

import argparse
from pathlib import Path

from vaedge.commands import add_condition_argument, add_model_arguments, load_model, read_conditions
from vaedge.commands.rows import write_decoded
from vaedge.errors import InputError
from vaedge.files.items import read_items, require_output, write_items


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge decode`."""
    add_model_arguments(parser)
    add_condition_argument(parser)
    parser.add_argument(
        "input",
        metavar="INPUT",
        type=Path,
        help=".npy of latents, or .npz with `mean`, as `vaedge encode` writes it",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help=".png (a grid), .npy, or a folder of shards, which can be gone on with"
    )


def run(args: argparse.Namespace) -> int:
    """Decode, write."""
    require_output(args.out, ".npy", ".png")
    if args.input.suffix.lower() not in (".npy", ".npz"):
        raise InputError(f"{args.input}: latents are read from .npy or .npz")
    vae = load_model(args)
    z = read_items(args.input, vae.latent_shape, key="mean")
    told = read_conditions(args, vae.manifest)
    if args.out.suffix.lower() == ".png":
        write_items(args.out, vae.decode(z, **told))
        print(f"{args.out}: {len(z)} items")
        return 0
    return write_decoded(args, vae, z, told, vae.decode)
