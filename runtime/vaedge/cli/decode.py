"""The command `vaedge decode BUNDLE INPUT --out FILE`."""

import argparse
from pathlib import Path

from vaedge import VAE, InputError
from vaedge._types import FloatArray
from vaedge.cli.arguments import add_bundle_arguments, load_bundle
from vaedge.cli.conditions import LABELED, add_condition_argument, captions, read_conditions
from vaedge.cli.output import SHARDS, Output, numbered, write_decoded
from vaedge.files.arrays import ARRAY_SUFFIXES, read_array
from vaedge.files.examples import ReadOptions, require_used
from vaedge.files.tables import TABLE_SUFFIX, read_names, read_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge decode`."""
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    parser.add_argument(
        "input",
        metavar="INPUT",
        type=Path,
        help="file of latents: .npy, .npz with an array named mean, or .csv with columns named mean0, mean1, ...; "
        "`vaedge encode` writes such .npz and .csv files",
    )
    parser.add_argument(
        "--label-column",
        metavar="NAME",
        help="name of the .csv column with the class of each row (default: y, if the file has a column of this "
        "name); the classes are the values of the condition y",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=".png (a grid of images), .npy, .csv (only if the model's examples are rows of a table; each condition is "
        "a further column), or a path without a suffix (a folder of shards; to resume it, repeat the command)",
    )


def run(args: argparse.Namespace) -> int:
    """Decode latents and write the results."""
    output = Output.of(args.out, ".npy", ".png", ".csv", SHARDS, reads=[args.input])
    if args.input.suffix.lower() not in (*ARRAY_SUFFIXES, TABLE_SUFFIX):
        raise InputError(f"{args.input} is not a file of latents; give a .npy, .npz or .csv file")
    require_used(args.input, ReadOptions(label_column=args.label_column))
    vae = load_bundle(args)
    output.column_names(vae.manifest)  # refuses a table of images before the work begins
    z, labels = _read_latents(args.input, vae, args.label_column)
    conditions = read_conditions(args, vae.manifest, labels)
    if output.suffix == ".png":
        output.write_grid(vae.decode(z, conditions=conditions), captions=captions(conditions, vae.manifest, len(z)))
        print(f"{output.path}: {len(z)} examples")
        return 0
    return write_decoded(args, output, vae, z, conditions, vae.decode)


def _read_latents(path: Path, vae: VAE, label_column: str | None) -> tuple[FloatArray, tuple[str, ...] | None]:
    """Return the latents, (n, *latent_shape), and the class of each row.

    Instead of the classes, None is returned if the file has no column of classes.
    """
    shape = vae.latent_shape
    if path.suffix.lower() == TABLE_SUFFIX:
        if len(shape) != 1:
            raise InputError(f"{path} is a table, but this model's latents have the shape {shape}; give a .npy file")
        if label_column is None and LABELED in vae.manifest.conditions and LABELED in read_names(path):
            label_column = LABELED  # as `vaedge encode` writes it
        table = read_table(path, label_column, columns=numbered("mean", shape[0]))
        return table.values, table.labels
    array = read_array(path, "mean")
    return (array[None] if array.shape == shape else array), None
