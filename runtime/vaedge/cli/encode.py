"""`vaedge encode BUNDLE INPUT --out FILE.npz`."""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge import VAE, InputError
from vaedge.cli.arguments import add_bundle_arguments, load_bundle
from vaedge.cli.conditions import add_condition_argument, named_classes
from vaedge.cli.inputs import add_input_arguments, read_input
from vaedge.cli.output import SHARDS, Output, describe_job, numbered, repeat_conditions, with_condition_columns
from vaedge.cli.sources import Mapped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge encode`."""
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    add_input_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=".npz with the arrays mean and log_var, .csv with the columns mean0, ..., log_var0, ..., or a folder of "
        ".npz shards, which can be resumed; .npz has the array files, and .csv the column file, if INPUT is images",
    )


def run(args: argparse.Namespace) -> int:
    """Encode examples and write the means and log-variances."""
    output = Output.of(args.out, ".npz", ".csv", SHARDS)
    vae = load_bundle(args)
    _require_columns(output, vae)

    def encode(rows: npt.NDArray[Any], conditions: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
        posterior = vae.encode(rows, conditions=conditions)
        return {"mean": posterior.mean, "log_var": posterior.log_var}

    with read_input(args, vae) as (examples, conditions):
        x = examples.x
        files = {"files": np.array(examples.names)} if examples.names else {}
        if output.suffix == ".npz":
            output.write_archive(**encode(x, conditions), **files)
            print(f"{output.path}: mean and log_var of {len(x)} examples")
            return 0
        row_bytes = 4 * (2 * math.prod(vae.latent_shape) + math.prod(vae.input_shape))
        repeated = repeat_conditions(conditions, vae.manifest, len(x))
        job = describe_job(args, vae, conditions)
        if output.suffix == SHARDS:
            return output.write_stream(Mapped(x, repeated, encode, row_bytes), job)
        columns = named_classes(repeated, vae.manifest)
        source = Mapped(x, repeated, encode, row_bytes, before=files, after=columns)
        return output.write_stream(source, job, _column_names(vae, with_files=bool(files)))


def _require_columns(output: Output, vae: VAE) -> None:
    """Refuse a table of latents that are not rows, before the work begins."""
    if output.suffix == ".csv" and len(vae.latent_shape) != 1:
        raise InputError(f"{output.path}: latents of shape {vae.latent_shape} are not rows of a table; write .npz")


def _column_names(vae: VAE, *, with_files: bool) -> tuple[str, ...]:
    """Return the names of the columns: the file of an image, the mean and the log-variance, and the conditions."""
    size = vae.latent_shape[0]
    names = (*(("file",) if with_files else ()), *numbered("mean", size), *numbered("log_var", size))
    return with_condition_columns(names, vae.manifest)
