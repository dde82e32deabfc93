"""The runtime's subcommands, one file each; here are the arguments that they share."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge.bundle.manifest import Manifest
from vaedge.errors import InputError
from vaedge.files.items import read_array
from vaedge.loading import load
from vaedge.vae import VAE


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add MODEL and the options of `vaedge.load`."""
    parser.add_argument("model", metavar="MODEL", help="a bundle's folder")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1 or auto")
    parser.add_argument("--threads", type=positive, help="processor threads (default: all this process may use)")
    parser.add_argument("--variant", default="fp32", help="precision: fp32 (default), int8, ..., or fastest")


def load_model(args: argparse.Namespace) -> VAE:
    """Load the bundle that the arguments name; `vaedge.load` says what is raised."""
    return load(args.model, device=args.device, variant=args.variant, threads=args.threads)


def add_items_arguments(parser: argparse.ArgumentParser) -> None:
    """Add INPUT, items to read, and --resize."""
    parser.add_argument("input", metavar="INPUT", type=Path, help=".npy, .npz, a picture, or a folder of pictures")
    parser.add_argument("--resize", action="store_true", help="bring pictures of another size to the model's")


def add_condition_argument(parser: argparse.ArgumentParser) -> None:
    """Add --condition, for conditional models."""
    parser.add_argument(
        "--condition",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of a conditional model: a number for all items, numbers with commas, one per item, or a .npy file",
    )


def read_conditions(args: argparse.Namespace, manifest: Manifest) -> dict[str, npt.NDArray[Any]]:
    """Return the conditions that --condition gives, by name, as arrays.

    Raises:
        InputError: one has no such form.
    """
    conditions = {}
    for text in args.condition:
        name, _, value = text.partition("=")
        if name not in manifest.conditions:
            takes = ", ".join(manifest.conditions) or "none"
            raise InputError(f"--condition {text!r}: this model's conditions are: {takes}; expected NAME=VALUE")
        if value.endswith(".npy"):
            conditions[name] = read_array(Path(value), name)
            continue
        try:
            values = np.array([float(number) for number in value.split(",")])
        except ValueError as error:
            raise InputError(f"--condition {text!r}: expected numbers with commas, or a .npy file") from error
        if manifest.conditions[name].dtype == "int64" and np.all(values == values.round()):
            values = values.astype(np.int64)
        shape = manifest.conditions[name].shape
        size = int(np.prod(shape))
        one_for_all = values.size == size
        conditions[name] = values.reshape(shape if one_for_all else (-1, *shape)) if values.size % size == 0 else values
    return conditions


def positive(text: str) -> int:
    """Read a whole number of at least 1, as argparse's `type`.

    Raises:
        argparse.ArgumentTypeError: it is not one.
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def seed(text: str) -> int:
    """Read a whole number of at least 0, as argparse's `type`.

    Raises:
        argparse.ArgumentTypeError: it is not one.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a non-negative whole number")
    return int(text)
