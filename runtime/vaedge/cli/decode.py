"""`vaedge decode BUNDLE INPUT --out FILE`."""

import argparse
from pathlib import Path

from vaedge import InputError
from vaedge._types import FloatArray
from vaedge.cli.arguments import add_bundle_arguments, load_bundle
from vaedge.cli.conditions import add_condition_argument, captions, read_conditions
from vaedge.cli.output import SHARDS, Output, numbered, write_decoded
from vaedge.files.arrays import ARRAY_SUFFIXES, read_array
from vaedge.files.tables import TABLE_SUFFIX, read_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge decode`."""
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    parser.add_argument(
        "input",
        metavar="INPUT",
        type=Path,
        help=".npy of latents; or .npz with `mean` or .csv with mean0, mean1, ..., as `vaedge encode` writes them",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=".png (a grid), .npy, .csv (of a table), or a folder of shards, which can be resumed",
    )


def run(args: argparse.Namespace) -> int:
    """Decode latents and write the results."""
    output = Output.of(args.out, ".npy", ".png", ".csv", SHARDS)
    if args.input.suffix.lower() not in (*ARRAY_SUFFIXES, TABLE_SUFFIX):
        raise InputError(f"{args.input} is not a file of latents; give a .npy, .npz or .csv file")
    vae = load_bundle(args)
    output.column_names(vae.manifest)  # refuses a table of images before the work begins
    z = _read_latents(args.input, vae.latent_shape)
    conditions = read_conditions(args, vae.manifest)
    if output.suffix == ".png":
        output.write_grid(vae.decode(z, conditions=conditions), captions=captions(conditions, vae.manifest, len(z)))
        print(f"{output.path}: {len(z)} examples")
        return 0
    return write_decoded(args, output, vae, z, conditions, vae.decode)


def _read_latents(path: Path, shape: tuple[int, ...]) -> FloatArray:
    """Read latents (n, *shape), or one latent."""
    if path.suffix.lower() == TABLE_SUFFIX:
        if len(shape) != 1:
            raise InputError(f"{path} is a table, but the latents have the shape {shape}; give a .npy file")
        return read_table(path, columns=numbered("mean", shape[0])).values
    array = read_array(path, "mean")
    return array[None] if array.shape == shape else array
