"""The command `vaedge score BUNDLE INPUT`."""

import argparse
from pathlib import Path

import numpy as np

from vaedge._types import Nats
from vaedge.cli.arguments import add_bundle_arguments, load_bundle, positive, seed
from vaedge.cli.conditions import add_condition_argument
from vaedge.cli.inputs import add_input_arguments, read_input
from vaedge.cli.output import Output
from vaedge.files.examples import ExampleSet

_QUANTILES = (5, 25, 50, 75, 95)  # percent
_LOWEST = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge score`."""
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    add_input_arguments(parser)
    parser.add_argument(
        "-k", type=positive, default=100, help="number of draws of z per example for the bound (default: 100)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="seed of the draws (default: 0)")
    parser.add_argument(
        "--out",
        type=Path,
        help=".npy with the bound of each example in nats, or .csv that also has the index or the file name",
    )


def run(args: argparse.Namespace) -> int:
    """Print the mean bound on log p(x) and a summary. With --out, also write the bound of each example."""
    output = None if args.out is None else Output.of(args.out, ".npy", ".csv", reads=[args.input])
    vae = load_bundle(args)
    with read_input(args, vae) as (examples, conditions):
        nats = vae.log_prob(examples.x, k=args.k, seed=args.seed, conditions=conditions)
        error = f" +- {nats.std(ddof=1) / np.sqrt(len(nats)):.3f}" if len(nats) > 1 else ""
        print(
            f"NLL <= {-nats.mean():.3f}{error} nats per example (k = {args.k}, seed {args.seed}, {len(nats)} examples)"
        )
        _print_summary(nats, examples)
        if output is not None:
            _write(output, nats, examples.names)
    return 0


def _write(output: Output, nats: Nats, names: tuple[str, ...]) -> None:
    if output.suffix == ".csv":
        column, keys = ("file", np.array(names)) if names else ("index", np.arange(len(nats)))
        output.write_table((column, "nats"), keys, nats)
    else:
        output.write_array(nats)
    print(f"{output.path}: {len(nats)} examples")


def _print_summary(nats: Nats, examples: ExampleSet) -> None:
    """Print quantiles of the bounds on log p(x), and the examples with the lowest bounds."""
    quantiles = zip(_QUANTILES, np.percentile(nats, _QUANTILES), strict=True)
    print("log p(x) >= " + ", ".join(f"{value:.3f} ({percent} %)" for percent, value in quantiles) + " nats")
    lowest = np.argsort(nats, kind="stable")[:_LOWEST]
    print("lowest: " + ", ".join(f"{examples.name_of(row)} ({nats[row]:.3f})" for row in lowest))
