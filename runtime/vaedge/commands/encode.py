"""`vaedge encode MODEL INPUT --out FILE.npz`."""

import argparse
import io
from pathlib import Path

import numpy as np

from vaedge.commands import add_condition_argument, add_model_arguments, load_model, read_conditions
from vaedge.files import read_items, require_suffix, write_atomically


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge encode`."""
    add_model_arguments(parser)
    add_condition_argument(parser)
    parser.add_argument("--resize", action="store_true", help="bring pictures of another size to the model's")
    parser.add_argument("input", metavar="INPUT", type=Path, help=".npy, .npz, a picture, or a folder of pictures")
    parser.add_argument("--out", type=Path, required=True, help=".npz, with the arrays mean and log_var")


def run(args: argparse.Namespace) -> int:
    """Encode, write."""
    require_suffix(args.out, ".npz")
    vae = load_model(args)
    x = read_items(args.input, vae.input_shape, resize=args.resize)
    posterior = vae.encode(x, **read_conditions(args, vae.manifest))
    content = io.BytesIO()
    np.savez(content, mean=posterior.mean, log_var=posterior.log_var)
    write_atomically(args.out, content.getvalue())
    print(f"{args.out}: mean and log_var of {len(posterior.mean)} items")
    return 0
