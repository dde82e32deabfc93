"""The command `vaedge sample BUNDLE -n N --out FILE`."""

import argparse
import secrets
from pathlib import Path

from vaedge import InputError
from vaedge.cli.arguments import add_bundle_arguments, load_bundle, positive
from vaedge.cli.arguments import seed as read_seed
from vaedge.cli.conditions import add_condition_argument, captions, cycled, grid_columns, read_conditions
from vaedge.cli.output import SHARDS, Output, describe_job, repeat_conditions
from vaedge.cli.sources import Sampled
from vaedge.validation import as_count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge sample`."""
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    parser.add_argument("-n", type=positive, default=64, help="number of samples (default: 64)")
    parser.add_argument("--seed", type=read_seed, help="seed of the draws (default: a random seed)")
    parser.add_argument("--draw", action="store_true", help="draw x from p(x|z) instead of taking its mean")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=".png (a grid of images), .npy, .csv (only if the model's examples are rows of a table; each condition is "
        "a further column), or a path without a suffix (a folder of shards; to resume it, repeat the command)",
    )


def run(args: argparse.Namespace) -> int:
    """Draw samples and write them."""
    output = Output.of(args.out, ".npy", ".png", ".csv", SHARDS)
    as_count(args.n, "-n")
    vae = load_bundle(args)
    names = output.column_names(vae.manifest, conditions=True)
    given = read_conditions(args, vae.manifest)
    conditions = cycled(given, vae.manifest, args.n)
    if output.suffix == ".png":
        samples = vae.sample(args.n, seed=args.seed, draw=args.draw, conditions=conditions)
        output.write_grid(samples, grid_columns(given, vae.manifest), captions(conditions, vae.manifest, args.n))
        print(f"{output.path}: {args.n} samples")
        return 0
    if args.seed is None and output.suffix == SHARDS:
        raise InputError(
            "--seed is missing; a folder of shards needs it, because a command that resumes the folder must make the "
            "same draws"
        )
    chosen = secrets.randbits(32) if args.seed is None else args.seed
    repeated = repeat_conditions(conditions, vae.manifest, args.n)
    source = Sampled(vae, args.n, chosen, repeated, draw=args.draw, with_conditions=output.suffix == ".csv")
    job = {**describe_job(args, vae, conditions), "seed": chosen, **({"draw": True} if args.draw else {})}
    return output.write_stream(source, job, names)
