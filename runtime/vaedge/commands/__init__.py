"""The runtime's subcommands, one file each; here is what they share."""

import argparse

from vaedge.vae import VAE, load


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add MODEL and the options of `vaedge.load`."""
    parser.add_argument("model", metavar="MODEL", help="a bundle's folder")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1 or auto")
    parser.add_argument("--threads", type=positive, help="processor threads (default: all this process may use)")
    parser.add_argument("--variant", default="fp32", help="precision (default: fp32)")


def load_model(args: argparse.Namespace) -> VAE:
    """Load the bundle that the arguments name; `vaedge.load` says what is raised."""
    return load(args.model, device=args.device, variant=args.variant, threads=args.threads)


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
