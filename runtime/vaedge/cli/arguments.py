"""Arguments that several commands share."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import vaedge
from vaedge import VAE, InputError, Manifest
from vaedge.files.arrays import read_array

DEVICE_HELP = "cpu (default), cuda, cuda:1 or auto"
THREADS_HELP = "number of CPU threads (default: all CPUs that this process may use)"


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """Add BUNDLE and the options of `vaedge.load`."""
    parser.add_argument("model", metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("--device", default="cpu", help=DEVICE_HELP)
    parser.add_argument("--threads", type=positive, help=THREADS_HELP)
    parser.add_argument("--variant", default="fp32", help="variant: fp32 (default), int8, ..., or fastest")


def load_bundle(args: argparse.Namespace) -> VAE:
    """Load the bundle that the arguments name. `vaedge.load` documents the errors."""
    return vaedge.load(args.model, device=args.device, variant=args.variant, threads=args.threads)


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """Add INPUT, the path of the examples, and --resize."""
    parser.add_argument("input", metavar="INPUT", type=Path, help=".npy, .npz, an image, or a folder of images")
    parser.add_argument("--resize", action="store_true", help="resize images to the size that the model takes")


def add_condition_argument(parser: argparse.ArgumentParser) -> None:
    """Add --condition, for conditional models."""
    parser.add_argument(
        "--condition",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="condition of a conditional model: one number for all examples, comma-separated numbers, or a .npy file",
    )


def read_conditions(args: argparse.Namespace, manifest: Manifest) -> dict[str, npt.NDArray[Any]]:
    """Return a dict from the name of each condition in --condition to an array of its values.

    Raises:
        InputError: An argument does not have the form NAME=VALUE, or NAME is not a condition of the model.
    """
    conditions = {}
    for text in args.condition:
        name, _, value = text.partition("=")
        if name not in manifest.conditions:
            takes = ", ".join(manifest.conditions) or "none"
            raise InputError(
                f"--condition {text!r}: expected NAME=VALUE, where NAME is a condition of this model: {takes}"
            )
        if value.endswith(".npy"):
            conditions[name] = read_array(Path(value), name)
            continue
        try:
            values = np.array([float(number) for number in value.split(",")])
        except ValueError as error:
            raise InputError(f"--condition {text!r}: expected comma-separated numbers, or a .npy file") from error
        if manifest.conditions[name].dtype == "int64" and np.all(values == values.round()):
            values = values.astype(np.int64)
        shape = manifest.conditions[name].shape
        size = int(np.prod(shape))
        is_one = values.size == size
        conditions[name] = values.reshape(shape if is_one else (-1, *shape)) if values.size % size == 0 else values
    return conditions


def positive(text: str) -> int:
    """Parse an integer of at least 1. argparse calls this function as a `type`.

    Raises:
        argparse.ArgumentTypeError: The text is not an integer of at least 1.
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def seed(text: str) -> int:
    """Parse an integer of at least 0. argparse calls this function as a `type`.

    Raises:
        argparse.ArgumentTypeError: The text is not an integer of at least 0.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a non-negative integer")
    return int(text)
