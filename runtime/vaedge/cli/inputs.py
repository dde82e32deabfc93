"""The command-line argument INPUT, which names the examples to read, and the options that say how to read them."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaedge import VAE, InputError
from vaedge.cli.conditions import Conditions, read_conditions
from vaedge.files.arrays import LABEL_NAMES, SPLITS
from vaedge.files.background import Color, parse_background
from vaedge.files.examples import ExampleSet, ReadOptions, read_examples

INPUT_HELP = ".npy, .npz (with train and test, or with x), .csv with a header, an image, or a folder of images"


def add_input_arguments(parser: argparse.ArgumentParser, metavar: str = "INPUT") -> None:
    """Add INPUT, which names the examples to read, and the options that say how to read them."""
    parser.add_argument(
        "input",
        metavar=metavar,
        type=Path,
        help=f"{INPUT_HELP}; the labels in a .npz file are {LABEL_NAMES}; the labels of a folder are the names of its "
        "subfolders",
    )
    add_read_arguments(parser)
    parser.add_argument(
        "--skip-broken", action="store_true", help="leave out unreadable images of a folder, and print their names"
    )


def add_read_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --split, --label-column, --resize and --background, which say how to read examples."""
    parser.add_argument(
        "--split",
        choices=SPLITS,
        help="array to read from a .npz file that holds the arrays train and test (default: test)",
    )
    parser.add_argument(
        "--label-column",
        metavar="NAME",
        help="name of the .csv column with the class of each row; the classes are the values of the condition y of a "
        "conditional model",
    )
    parser.add_argument("--resize", action="store_true", help="resize images to the size that the model takes")
    parser.add_argument(
        "--background",
        type=_color,
        metavar="COLOR",
        help="composite transparent images on a color: white, black, or R,G,B (default: refuse transparent images)",
    )


def read_options(args: argparse.Namespace, vae: VAE) -> ReadOptions:
    """Return the options that say how to read examples for a model: `--split`, `--label-column` and others."""
    return ReadOptions(
        split=args.split,
        label_column=args.label_column,
        features=vae.manifest.features,
        resize=args.resize,
        background=args.background,
        skip_broken=getattr(args, "skip_broken", None),
    )


@contextmanager
def read_input(args: argparse.Namespace, vae: VAE) -> Iterator[tuple[ExampleSet, Conditions]]:
    """Read the examples in INPUT and their conditions, as a context manager.

    If --skip-broken leaves out images, print their names to stderr before the `with` block, and their number after it.

    Raises:
        InputError: The examples cannot be read, or a condition is missing or unknown.
    """
    examples = read_examples(args.input, vae.input_shape, read_options(args, vae))
    for reason in examples.skipped:
        print(f"skipped: {reason}", file=sys.stderr)
    yield examples, read_conditions(args, vae.manifest, examples.labels)
    if examples.skipped:
        found = len(examples.skipped) + len(examples.x)
        print(f"{args.input}: {len(examples.skipped)} of {found} images were left out", file=sys.stderr)


def _color(text: str) -> Color:
    try:
        return parse_background(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
