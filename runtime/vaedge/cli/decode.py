"""`vaedge decode BUNDLE INPUT --out FILE`."""

import argparse
from pathlib import Path

from vaedge import InputError
from vaedge.cli.arguments import add_bundle_arguments, add_condition_argument, load_bundle, read_conditions
from vaedge.cli.output import SHARDS, Output, write_decoded
from vaedge.files.arrays import ARRAY_SUFFIXES
from vaedge.files.examples import read_examples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge decode`."""
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    parser.add_argument(
        "input",
        metavar="INPUT",
        type=Path,
        help=".npy file of latents, or .npz file with the array `mean`, as `vaedge encode` writes it",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help=".png (a grid), .npy, or a folder of shards, which can be resumed"
    )


def run(args: argparse.Namespace) -> int:
    """Decode latents and write the results."""
    output = Output.of(args.out, ".npy", ".png", SHARDS)
    if args.input.suffix.lower() not in ARRAY_SUFFIXES:
        raise InputError(f"{args.input} is not a file of latents; give a .npy or .npz file")
    vae = load_bundle(args)
    z = read_examples(args.input, vae.latent_shape, key="mean")
    conditions = read_conditions(args, vae.manifest)
    if output.suffix == ".png":
        output.write_grid(vae.decode(z, conditions=conditions))
        print(f"{output.path}: {len(z)} examples")
        return 0
    return write_decoded(args, output, vae, z, conditions, vae.decode)
