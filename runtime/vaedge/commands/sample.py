"""`vaedge sample MODEL -n N --out FILE`."""

import argparse
from pathlib import Path

from vaedge.commands import add_condition_argument, add_model_arguments, load_model, positive, read_conditions, seed
from vaedge.files import require_suffix, write_items


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge sample`."""
    add_model_arguments(parser)
    add_condition_argument(parser)
    parser.add_argument("-n", type=positive, default=64, help="how many (default: 64)")
    parser.add_argument("--seed", type=seed, help="the same seed gives the same items (default: drawn afresh)")
    parser.add_argument("--out", type=Path, required=True, help=".png (a grid) or .npy")


def run(args: argparse.Namespace) -> int:
    """Draw from the prior, decode, write."""
    require_suffix(args.out, ".npy", ".png")
    vae = load_model(args)
    items = vae.sample(args.n, seed=args.seed, **read_conditions(args, vae.manifest))
    write_items(args.out, items)
    print(f"{args.out}: {len(items)} samples")
    return 0
