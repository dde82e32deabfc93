"""The command `vaedge encode BUNDLE INPUT --out FILE.npz`."""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge import VAE, InputError
from vaedge.cli.arguments import add_bundle_arguments, load_bundle
from vaedge.cli.conditions import add_condition_argument, condition_columns
from vaedge.cli.inputs import add_input_arguments, read_input
from vaedge.cli.output import (
    SHARDS,
    Output,
    condition_names,
    describe_job,
    numbered,
    repeat_conditions,
)
from vaedge.cli.sources import Mapped

_FILES = ""  # key of the file names in the dict of conditions; no condition has an empty name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge encode`."""
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    add_input_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=".npz (arrays mean and log_var), .csv (columns mean0, mean1, ..., log_var0, log_var1, ...), or a path "
        "without a suffix (a folder of .npz shards; to resume an interrupted command, repeat it). If INPUT is a folder "
        "of images, .npz and .csv also hold the file names",
    )


def run(args: argparse.Namespace) -> int:
    """Encode examples and write the means and log-variances."""
    output = Output.of(args.out, ".npz", ".csv", SHARDS, reads=[args.input])
    vae = load_bundle(args)
    names = _column_names(output, vae)

    def encode(rows: npt.NDArray[Any], conditions: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
        posterior = vae.encode(rows, conditions=conditions)
        return {"mean": posterior.mean, "log_var": posterior.log_var}

    with read_input(args, vae) as (examples, conditions):
        x, files = examples.x, np.array(examples.names)
        if output.suffix == ".npz":
            output.write_archive(**encode(x, conditions), **({"files": files} if files.size else {}))
            print(f"{output.path}: mean and log_var of {len(x)} examples")
            return 0

        def encode_row(rows: npt.NDArray[Any], conditions: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
            given = {name: conditions[name] for name in vae.manifest.conditions}
            first = {_FILES: conditions[_FILES]} if files.size else {}
            return {**first, **encode(rows, given), **condition_columns(given, vae.manifest)}

        row_bytes = 4 * (2 * math.prod(vae.latent_shape) + math.prod(vae.input_shape))
        values = repeat_conditions(conditions, vae.manifest, len(x))
        if output.suffix == ".csv":
            names = condition_names((*(("file",) if files.size else ()), *names), vae.manifest)
            source = Mapped(x, {**values, **({_FILES: files} if files.size else {})}, encode_row, row_bytes)
        else:
            source = Mapped(x, values, encode, row_bytes)
        return output.write_stream(source, describe_job(args, vae, conditions), names)


def _column_names(output: Output, vae: VAE) -> tuple[str, ...]:
    """Return the column names of the means and log-variances, or () if the output is not a .csv file."""
    if output.suffix != ".csv":
        return ()
    if len(vae.latent_shape) != 1:
        raise InputError(
            f"{output.path}: latents of shape {vae.latent_shape} are not rows of a table; write a .npz file"
        )
    return numbered("mean", vae.latent_shape[0]) + numbered("log_var", vae.latent_shape[0])
