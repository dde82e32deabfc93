"""The command `vaedge reconstruct BUNDLE INPUT --out FILE`."""

import argparse
from pathlib import Path

import numpy as np

from vaedge import InputError
from vaedge.cli.arguments import add_bundle_arguments, load_bundle, seed
from vaedge.cli.conditions import add_condition_argument, condition_columns
from vaedge.cli.inputs import add_input_arguments, read_input
from vaedge.cli.output import SHARDS, Output, repeat_conditions, write_decoded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge reconstruct`."""
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    add_input_arguments(parser)
    parser.add_argument("--sample", action="store_true", help="draw z from q(z|x) instead of taking its mean")
    parser.add_argument("--draw", action="store_true", help="draw x from p(x|z) instead of taking its mean")
    parser.add_argument(
        "--seed", type=seed, help="seed of the draws; needs --sample or --draw (default: a random seed)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=".png (rows of originals above their reconstructions), .npy, .csv (only if the model's examples are rows "
        "of a table), or a path without a suffix (a folder of shards)",
    )


def run(args: argparse.Namespace) -> int:
    """Reconstruct examples and write the results."""
    drawn = next((name for name in ("sample", "draw") if getattr(args, name)), None)
    if args.seed is not None and drawn is None:
        raise InputError(
            "--seed needs --sample or --draw, because nothing is drawn without them; add one of them, or remove --seed"
        )
    output = Output.of(args.out, ".npy", ".png", ".csv", SHARDS, reads=[args.input])
    if drawn is not None and output.suffix == SHARDS:
        raise InputError(f"--{drawn} cannot write a folder of shards; give a .npy, .csv or .png file to --out")
    vae = load_bundle(args)
    names = output.column_names(vae.manifest, conditions=True)
    with read_input(args, vae) as (examples, conditions):
        x = examples.x
        if output.suffix != ".png" and drawn is None:
            return write_decoded(args, output, vae, x, conditions, vae.reconstruct)
        reconstructions = vae.reconstruct(x, sample=args.sample, draw=args.draw, seed=args.seed, conditions=conditions)
        if output.suffix == ".png":
            from vaedge.files.images import interleave_rows

            originals = np.divide(x, 255, dtype=np.float32) if x.dtype == np.uint8 else x
            output.write_grid(*interleave_rows(originals, reconstructions))
        elif output.suffix == ".csv":
            columns = condition_columns(repeat_conditions(conditions, vae.manifest, len(x)), vae.manifest)
            output.write_table(names, reconstructions, *columns.values())
        else:
            output.write_array(reconstructions)
        print(f"{output.path}: {len(reconstructions)} reconstructions")
        return 0
