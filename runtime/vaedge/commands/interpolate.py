"""`vaedge interpolate MODEL A B --out FILE`."""

import argparse
from pathlib import Path

from vaedge.commands import add_condition_argument, add_model_arguments, load_model, positive, read_conditions
from vaedge.errors import InputError
from vaedge.files.items import read_items, require_suffix, write_items


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge interpolate`."""
    add_model_arguments(parser)
    add_condition_argument(parser)
    parser.add_argument("--resize", action="store_true", help="bring pictures of another size to the model's")
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), type=Path, help="a picture, or a .npy of one item")
    parser.add_argument("--steps", type=positive, default=8, help="pictures along the way (default: 8)")
    parser.add_argument("--out", type=Path, required=True, help=".png (one row) or .npy")


def run(args: argparse.Namespace) -> int:
    """Interpolate, write."""
    require_suffix(args.out, ".npy", ".png")
    vae = load_model(args)
    ends = []
    for path in (args.a, args.b):
        items = read_items(path, vae.input_shape, resize=args.resize)
        if len(items) != 1:
            raise InputError(f"{path} holds {len(items)} items; expected one")
        ends.append(items[0])
    path = vae.interpolate(ends[0], ends[1], steps=args.steps, **read_conditions(args, vae.manifest))
    write_items(args.out, path, columns=len(path))
    print(f"{args.out}: {len(path)} steps from {args.a} to {args.b}")
    return 0
