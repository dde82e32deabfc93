"""The command `vaedge detect BUNDLE INPUT`."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vaedge import VAE, InputError
from vaedge._types import FloatArray
from vaedge.cli.arguments import add_bundle_arguments, load_bundle
from vaedge.cli.conditions import add_condition_argument
from vaedge.cli.inputs import add_input_arguments, read_input
from vaedge.cli.output import Output, repeat_conditions
from vaedge.cli.progress import progress_bar
from vaedge.files.atomic import write_atomically
from vaedge.files.examples import ExampleSet
from vaedge.files.shards import Arrays

if TYPE_CHECKING:
    from vaedge.detection import Calibration, Detection

FOUND = 3  # the exit status if there is an anomaly, with --fail-on-anomaly
_BATCH = 64  # number of examples at a time, as in `VAE.calibrate`, because int8 results depend on the batch
_HIGHEST = 5
_COLUMNS = ("score", "p_value", "is_anomaly")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge detect`."""
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    add_input_arguments(parser)
    parser.add_argument(
        "--false-alarm-rate",
        type=_rate,
        default=0.01,
        metavar="RATE",
        help="an example is an anomaly if its p-value is at most RATE; on average, at most this share of the normal "
        "examples is reported as anomalies (default: 0.01)",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help=".npz file that `vaedge calibrate` wrote (default: the calibration in the bundle)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help=".csv with one row per example: the index or the file name, score, p_value, and is_anomaly (1 or 0)",
    )
    parser.add_argument(
        "--maps",
        type=Path,
        metavar="DIR",
        help="new or empty folder for one .png per example: the image, and beside it the image with its distortion in "
        "red. The calibration sets the range of distortions that the red color shows, and the command prints the range",
    )
    parser.add_argument(
        "--fail-on-anomaly", action="store_true", help=f"exit with the status {FOUND} if there is an anomaly"
    )


def run(args: argparse.Namespace) -> int:
    """Print the number of anomalies and the most anomalous examples.

    With --out, also write the scores. With --maps, also write an image of each example, with its distortion in red.
    """
    output = None if args.out is None else Output.of(args.out, ".csv", reads=[args.input])
    if args.maps is not None:
        _require_empty(args.maps)
    vae = load_bundle(args)
    if args.maps is not None:
        _require_images(vae)
    calibration = _require_calibration(args, vae)  # before INPUT is read, because reading can take long
    with read_input(args, vae) as (examples, conditions):
        values = repeat_conditions(conditions, vae.manifest, len(examples.x))
        parts = []
        with progress_bar(len(examples.x), "detecting", "examples") as update:
            for rows, found in _detect(args, vae, examples.x, values):
                parts.append({name: getattr(found, name) for name in _COLUMNS})
                if found.maps is not None:
                    names = examples.names[rows] or tuple(f"{row:06}" for row in range(rows.start, rows.stop))
                    _write_overlays(args.maps, examples.x[rows], found.maps, names, calibration)
                update(rows.stop - rows.start)
        columns = {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS}
        _print_summary(args, len(calibration.scores), columns, examples)
        if output is not None:
            _write_table(output, columns, examples.names)
        if args.maps is not None:
            low, high = calibration.map_range
            print(
                f"{args.maps}: {len(examples.x):,} overlays; no red up to {low:.3g} nats, full red from {high:.3g} nats"
            )
        return FOUND if args.fail_on_anomaly and columns["is_anomaly"].any() else 0


def _rate(text: str) -> float:
    try:
        return float(text)  # `Calibration.require_rate` validates the range
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number; expected a number above 0 and below 1, such as 0.01 for 1 %"
        ) from None


def _require_empty(folder: Path) -> None:
    """Raise InputError unless `folder` is new or empty, so that the images of --maps replace no files."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not an empty folder; give a new or empty folder to --maps")


def _require_images(vae: VAE) -> None:
    from vaedge.files.images import is_image_shape  # Pillow is needed only for images

    if not is_image_shape(vae.input_shape):
        raise InputError(
            f"--maps needs images, but this model's examples have the shape {vae.input_shape}; remove --maps"
        )


def _require_calibration(args: argparse.Namespace, vae: VAE) -> "Calibration":
    """Return the calibration of the loaded variant.

    Raises:
        InputError: The variant has no calibration, or --false-alarm-rate is invalid or too small for the calibration.
    """
    if vae.calibration is None:
        raise InputError(
            f"variant {vae.variant} of {args.model} has no calibration; write one with `vaedge calibrate BUNDLE "
            "NORMAL_EXAMPLES --out FILE.npz`, and give --calibration FILE.npz"
        )
    vae.calibration.require_rate(args.false_alarm_rate)
    return vae.calibration


def _detect(
    args: argparse.Namespace, vae: VAE, x: npt.NDArray[Any], conditions: Arrays
) -> Iterator[tuple[slice, "Detection"]]:
    """Run `vae.detect` on 64 examples at a time, because the maps of all examples may not fit into memory.

    Yields:
        A slice of the rows of `x`, and the result for these rows.
    """
    for start in range(0, len(x), _BATCH):
        rows = slice(start, min(start + _BATCH, len(x)))
        values = {name: array[rows] for name, array in conditions.items()}
        maps = args.maps is not None
        yield rows, vae.detect(x[rows], false_alarm_rate=args.false_alarm_rate, maps=maps, conditions=values)


def _print_summary(args: argparse.Namespace, calibrated: int, found: Arrays, examples: ExampleSet) -> None:
    """Print the number of anomalies, and the examples with the largest scores."""
    score, p_value, is_anomaly = (found[name] for name in _COLUMNS)
    print(
        f"anomalies: {is_anomaly.sum():,} of {len(score):,} examples (false-alarm rate {args.false_alarm_rate:g}, "
        f"{calibrated:,} calibration examples)"
    )
    highest = np.argsort(-score, kind="stable")[:_HIGHEST]
    shown = (f"{examples.name_of(row)} ({score[row]:.4g}, p-value {p_value[row]:.3g})" for row in highest)
    print(f"highest scores: {', '.join(shown)}")


def _write_table(output: Output, found: Arrays, names: tuple[str, ...]) -> None:
    score, p_value, is_anomaly = (found[name] for name in _COLUMNS)
    column, keys = ("file", np.array(names)) if names else ("index", np.arange(len(score)))
    output.write_table((column, *_COLUMNS), keys, score, p_value, is_anomaly.astype(int))
    print(f"{output.path}: {len(score):,} examples")


def _write_overlays(
    folder: Path, images: npt.NDArray[Any], maps: FloatArray, names: tuple[str, ...], calibration: "Calibration"
) -> None:
    """Write one file NAME.png per image. It shows the image, and beside it the image with its distortion in red.

    Args:
        folder: Folder to write to.
        images: The images, uint8 or float32, shape (n, channels, height, width).
        maps: Distortion of each element of the images in nats, float32, of the same shape. The red color shows the
            mean of the distortion over the channels.
        names: Names of the images.
        calibration: Calibration. Its `map_range` holds the distortion that is shown without red, and the distortion
            that is shown in full red.
    """
    from vaedge.files.images import overlay_png

    low, high = calibration.map_range.tolist()
    for image, distortion, name in zip(images, maps, names, strict=True):
        path = folder / f"{name.removesuffix('.png')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shown = np.divide(image, 255, dtype=np.float32) if image.dtype == np.uint8 else image
        write_atomically(path, overlay_png(shown, distortion.mean(0), (low, high)))
