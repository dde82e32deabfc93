"""`vaedge encode BUNDLE INPUT --out FILE.npz`."""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from vaedge.cli.arguments import (
    add_bundle_arguments,
    add_condition_argument,
    add_input_arguments,
    load_bundle,
    read_conditions,
)
from vaedge.cli.output import SHARDS, Output, describe_job, repeat_conditions
from vaedge.cli.sources import Mapped
from vaedge.files.examples import read_examples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge encode`."""
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    add_input_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=".npz with the arrays mean and log_var, or a folder of .npz shards, which can be resumed",
    )


def run(args: argparse.Namespace) -> int:
    """Encode examples and write the means and log-variances."""
    output = Output.of(args.out, ".npz", SHARDS)
    vae = load_bundle(args)
    x = read_examples(args.input, vae.input_shape, resize=args.resize)
    conditions = read_conditions(args, vae.manifest)

    def encode(rows: npt.NDArray[Any], conditions: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
        posterior = vae.encode(rows, conditions=conditions)
        return {"mean": posterior.mean, "log_var": posterior.log_var}

    if output.suffix == ".npz":
        output.write_archive(**encode(x, conditions))
        print(f"{output.path}: mean and log_var of {len(x)} examples")
        return 0
    row_bytes = 4 * (2 * math.prod(vae.latent_shape) + math.prod(vae.input_shape))
    source = Mapped(x, repeat_conditions(conditions, vae.manifest, len(x)), encode, row_bytes)
    return output.write_stream(source, describe_job(args, vae, conditions))
