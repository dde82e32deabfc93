"""`vaedge interpolate MODEL A B --out FILE`."""

import argparse
from pathlib import Path

from vaedge.commands import add_model_arguments, load_model, positive
from vaedge.errors import InputError
from vaedge.files import read_items, require_suffix, write_items


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge interpolate`."""
    add_model_arguments(parser)
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
        items = read_items(path, vae.input_shape)
        items = items[0] if items.shape == (1, *vae.input_shape) else items
        if items.shape != vae.input_shape:
            raise InputError(f"{path} has shape {items.shape}; expected one item, shape {vae.input_shape}")
        ends.append(items)
    path = vae.interpolate(ends[0], ends[1], steps=args.steps)
    write_items(args.out, path, columns=len(path))
    print(f"{args.out}: {len(path)} steps from {args.a} to {args.b}")
    return 0
