"""`vaedge encode MODEL INPUT --out FILE.npz`."""

import argparse
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge.commands import (
    add_condition_argument,
    add_items_arguments,
    add_model_arguments,
    load_model,
    read_conditions,
)
from vaedge.commands.rows import describe_job, per_row, write_rows
from vaedge.files.bulk import Mapped
from vaedge.files.items import read_items, require_output, write_atomically


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge encode`."""
    add_model_arguments(parser)
    add_condition_argument(parser)
    add_items_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=".npz, with the arrays mean and log_var, or a folder of such shards, which can be gone on with",
    )


def run(args: argparse.Namespace) -> int:
    """Encode, write."""
    require_output(args.out, ".npz")
    vae = load_model(args)
    x = read_items(args.input, vae.input_shape, resize=args.resize)
    told = read_conditions(args, vae.manifest)

    def encode(rows: npt.NDArray[Any], **told: Any) -> dict[str, npt.NDArray[Any]]:
        return vars(vae.encode(rows, **told))

    if args.out.suffix.lower() == ".npz":
        content, arrays = io.BytesIO(), encode(x, **told)
        np.savez(content, mean=arrays["mean"], log_var=arrays["log_var"])
        write_atomically(args.out, content.getvalue())
        print(f"{args.out}: mean and log_var of {len(x)} items")
        return 0
    row_bytes = 4 * (2 * math.prod(vae.latent_shape) + math.prod(vae.input_shape))
    source = Mapped(x, per_row(told, vae.manifest, len(x)), encode, row_bytes)
    return write_rows(args.out, source, describe_job(args, vae, told))
