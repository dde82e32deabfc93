"""The command `vaedge interpolate BUNDLE A B --out FILE`."""

import argparse
from pathlib import Path

from vaedge import InputError
from vaedge.cli.arguments import add_bundle_arguments, load_bundle, positive, seed
from vaedge.cli.conditions import add_condition_argument, read_conditions
from vaedge.cli.inputs import INPUT_HELP, add_read_arguments, read_options
from vaedge.cli.output import Output
from vaedge.files.examples import read_examples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge interpolate`."""
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    add_read_arguments(parser)
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), type=Path, help=f"one example: {INPUT_HELP}; see --rows")
    parser.add_argument(
        "--rows",
        type=seed,
        nargs=2,
        metavar=("I", "J"),
        help="row of A and row of B to interpolate between, counted from 0; needed if a file holds several examples",
    )
    parser.add_argument("--steps", type=positive, default=8, help="number of steps, both ends included (default: 8)")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=".png (one row of images), .npy, or .csv (only if the model's examples are rows of a table)",
    )


def run(args: argparse.Namespace) -> int:
    """Interpolate between two examples, and write the steps."""
    output = Output.of(args.out, ".npy", ".png", ".csv", reads=[args.a, args.b])
    vae = load_bundle(args)
    names = output.column_names(vae.manifest)
    ends, labels = [], []
    for path, row in zip((args.a, args.b), args.rows or (None, None), strict=True):
        examples = read_examples(path, vae.input_shape, read_options(args, vae))
        x = examples.x
        if row is None and len(x) != 1:
            raise InputError(
                f"{path} holds {len(x)} examples; expected one. Choose one example of each input file with --rows"
            )
        if row is not None and row >= len(x):
            raise InputError(
                f"{path} holds {len(x)} examples, but --rows asks for row {row}, counted from 0; give an existing row"
            )
        ends.append(x[row or 0])
        labels.append(None if examples.labels is None else examples.labels[row or 0])
    if labels[0] != labels[1] and vae.manifest.conditions and not args.condition:
        raise InputError(
            f"the two examples have the classes {labels[0]} and {labels[1]}; choose one class for all steps with "
            "--condition"
        )
    conditions = read_conditions(args, vae.manifest, None if args.condition else labels[0])
    steps = vae.interpolate(ends[0], ends[1], steps=args.steps, conditions=conditions)
    output.write_array(steps, names, columns=len(steps))
    print(f"{output.path}: {len(steps)} steps from {args.a} to {args.b}")
    return 0
