"""`vaedge score BUNDLE INPUT`."""

import argparse
from pathlib import Path

import numpy as np

from vaedge.cli.arguments import (
    add_bundle_arguments,
    add_condition_argument,
    add_input_arguments,
    load_bundle,
    positive,
    read_conditions,
    seed,
)
from vaedge.cli.output import Output
from vaedge.files.examples import read_examples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge score`."""
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    add_input_arguments(parser)
    parser.add_argument("-k", type=positive, default=100, help="number of draws of z per example (default: 100)")
    parser.add_argument("--seed", type=seed, default=0, help="seed of the draws (default: 0)")
    parser.add_argument(
        "--out", type=Path, help=".npy file for the bound of each example in nats; the mean is always printed"
    )


def run(args: argparse.Namespace) -> int:
    """Print the mean bound, and write the bound of each example if --out is given."""
    output = None if args.out is None else Output.of(args.out, ".npy")
    vae = load_bundle(args)
    x = read_examples(args.input, vae.input_shape, resize=args.resize)
    nats = vae.log_prob(x, k=args.k, seed=args.seed, conditions=read_conditions(args, vae.manifest))
    error = f" +- {nats.std(ddof=1) / np.sqrt(len(nats)):.3f}" if len(nats) > 1 else ""
    print(f"NLL <= {-nats.mean():.3f}{error} nats per example (k = {args.k}, seed {args.seed}, {len(nats)} examples)")
    if output is not None:
        output.write_array(nats)
        print(f"{output.path}: {len(nats)} examples")
    return 0
