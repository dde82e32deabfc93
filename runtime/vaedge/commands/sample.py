"""`vaedge sample MODEL -n N --out FILE`."""

import argparse
import secrets
from pathlib import Path

from vaedge.arrays import as_count
from vaedge.commands import (
    add_condition_argument,
    add_model_arguments,
    load_model,
    positive,
    read_conditions,
    seed,
)
from vaedge.commands.rows import describe_job, per_row, write_rows
from vaedge.errors import InputError
from vaedge.files.bulk import Sampled
from vaedge.files.items import require_output, write_items


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge sample`."""
    add_model_arguments(parser)
    add_condition_argument(parser)
    parser.add_argument("-n", type=positive, default=64, help="how many (default: 64)")
    parser.add_argument("--seed", type=seed, help="the same seed gives the same items (default: drawn afresh)")
    parser.add_argument(
        "--out", type=Path, required=True, help=".png (a grid), .npy, or a folder of shards, which can be gone on with"
    )


def run(args: argparse.Namespace) -> int:
    """Draw from the prior, decode, write."""
    require_output(args.out, ".npy", ".png")
    as_count(args.n, "-n")
    vae = load_model(args)
    told = read_conditions(args, vae.manifest)
    if args.out.suffix.lower() == ".png":
        write_items(args.out, vae.sample(args.n, seed=args.seed, **told))
        print(f"{args.out}: {args.n} samples")
        return 0
    if args.seed is None and not args.out.suffix:
        raise InputError("--seed is missing: a folder of shards can be gone on with, which takes the same draws")
    chosen = secrets.randbits(32) if args.seed is None else args.seed
    source = Sampled(vae, args.n, chosen, per_row(told, vae.manifest, args.n))
    return write_rows(args.out, source, {**describe_job(args, vae, told), "seed": chosen})
