"""`vaedge score MODEL INPUT`."""

import argparse
from pathlib import Path

import numpy as np

from vaedge.commands import (
    add_condition_argument,
    add_items_arguments,
    add_model_arguments,
    load_model,
    positive,
    read_conditions,
    seed,
)
from vaedge.files.items import npy_parts, read_items, require_suffix, write_atomically


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge score`."""
    add_model_arguments(parser)
    add_condition_argument(parser)
    add_items_arguments(parser)
    parser.add_argument("-k", type=positive, default=100, help="draws of z per item (default: 100)")
    parser.add_argument("--seed", type=seed, default=0, help="of the draws (default: 0)")
    parser.add_argument("--out", type=Path, help=".npy, nats of each item (default: only the mean is printed)")


def run(args: argparse.Namespace) -> int:
    """Score, print the mean, write each item's figure where that is asked for."""
    if args.out is not None:
        require_suffix(args.out, ".npy")
    vae = load_model(args)
    x = read_items(args.input, vae.input_shape, resize=args.resize)
    nats = vae.log_prob(x, k=args.k, seed=args.seed, **read_conditions(args, vae.manifest))
    error = f" +- {nats.std(ddof=1) / np.sqrt(len(nats)):.3f}" if len(nats) > 1 else ""
    print(f"NLL <= {-nats.mean():.3f}{error} nats per item (k = {args.k}, seed {args.seed}, items: {len(nats)})")
    if args.out is not None:
        write_atomically(args.out, *npy_parts(nats))
        print(f"{args.out}: {len(nats)} items")
    return 0
