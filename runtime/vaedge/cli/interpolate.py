"""`vaedge interpolate BUNDLE A B --out FILE`."""

import argparse
from pathlib import Path

from vaedge import InputError
from vaedge.cli.arguments import add_bundle_arguments, add_condition_argument, load_bundle, positive, read_conditions
from vaedge.cli.output import Output
from vaedge.files.examples import read_examples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge interpolate`."""
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    parser.add_argument("--resize", action="store_true", help="resize images to the size that the model takes")
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), type=Path, help="an image, or a .npy of one example")
    parser.add_argument("--steps", type=positive, default=8, help="number of results, including both ends (default: 8)")
    parser.add_argument("--out", type=Path, required=True, help=".png (one row) or .npy")


def run(args: argparse.Namespace) -> int:
    """Interpolate between two examples and write the steps."""
    output = Output.of(args.out, ".npy", ".png")
    vae = load_bundle(args)
    ends = []
    for path in (args.a, args.b):
        examples = read_examples(path, vae.input_shape, resize=args.resize)
        if len(examples) != 1:
            raise InputError(f"{path} holds {len(examples)} examples; expected one")
        ends.append(examples[0])
    steps = vae.interpolate(ends[0], ends[1], steps=args.steps, conditions=read_conditions(args, vae.manifest))
    output.write_array(steps, columns=len(steps))
    print(f"{output.path}: {len(steps)} steps from {args.a} to {args.b}")
    return 0
