"""Command-line arguments that several subcommands of `vaedge` share."""

import argparse

import vaedge
from vaedge import VAE

DEVICE_HELP = "device that runs the graphs: cpu (default), cuda, cuda:N or auto"
THREADS_HELP = "number of CPU threads (default: the number of CPUs that this process may use)"


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument BUNDLE, and the options --device, --threads and --variant."""
    parser.add_argument("model", metavar="BUNDLE", help="folder of the bundle")
    add_load_arguments(parser)


def add_load_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options --device, --threads and --variant."""
    parser.add_argument("--device", default="cpu", help=DEVICE_HELP)
    parser.add_argument("--threads", type=positive, help=THREADS_HELP)
    parser.add_argument(
        "--variant",
        default="fp32",
        help="variant of the bundle: fp32 (default), int8, ..., or fastest (the one that a short test finds fastest)",
    )


def load_bundle(args: argparse.Namespace) -> VAE:
    """Load the bundle that the command-line arguments name. `vaedge.load` documents the errors."""
    return vaedge.load(
        args.model,
        device=args.device,
        variant=args.variant,
        threads=args.threads,
        calibration=getattr(args, "calibration", None),  # only some commands have the option --calibration
    )


def positive(text: str) -> int:
    """Parse an integer of at least 1, as the `type` of an argparse argument.

    Raises:
        argparse.ArgumentTypeError: The text is not an integer of at least 1.
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def seed(text: str) -> int:
    """Parse an integer of at least 0, as the `type` of an argparse argument.

    Raises:
        argparse.ArgumentTypeError: The text is not an integer of at least 0.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a non-negative integer")
    return int(text)
