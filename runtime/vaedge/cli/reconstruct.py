"""`vaedge reconstruct BUNDLE INPUT --out FILE`."""

import argparse
from pathlib import Path

from vaedge import InputError
from vaedge.cli.arguments import (
    add_bundle_arguments,
    add_condition_argument,
    add_input_arguments,
    load_bundle,
    read_conditions,
    seed,
)
from vaedge.cli.output import SHARDS, Output, write_decoded
from vaedge.files.examples import read_examples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge reconstruct`."""
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    add_input_arguments(parser)
    parser.add_argument("--sample", action="store_true", help="draw z from q(z|x) instead of taking its mean")
    parser.add_argument("--seed", type=seed, help="seed of the draws; allowed only with --sample")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=".png (each row of originals above the row of their reconstructions), .npy, or a folder of shards",
    )


def run(args: argparse.Namespace) -> int:
    """Reconstruct examples and write the results."""
    if args.seed is not None and not args.sample:
        raise InputError("--seed needs --sample: only --sample uses random draws. Add --sample or remove --seed")
    output = Output.of(args.out, ".npy", ".png", SHARDS)
    if args.sample and output.suffix == SHARDS:
        raise InputError("--sample cannot write shards; use a .npy or .png path")
    vae = load_bundle(args)
    x = read_examples(args.input, vae.input_shape, resize=args.resize)
    conditions = read_conditions(args, vae.manifest)
    if output.suffix != ".png" and not args.sample:
        return write_decoded(args, output, vae, x, conditions, vae.reconstruct)
    reconstructions = vae.reconstruct(x, sample=args.sample, seed=args.seed, conditions=conditions)
    if output.suffix == ".png":
        from vaedge.files.images import interleave_rows

        output.write_grid(*interleave_rows(x, reconstructions))
    else:
        output.write_array(reconstructions)
    print(f"{output.path}: {len(reconstructions)} reconstructions")
    return 0
