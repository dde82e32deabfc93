"""The command `vaedge detect BUNDLE INPUT`."""

import argparse
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge import VAE, InputError
from vaedge.cli.arguments import add_bundle_arguments, load_bundle
from vaedge.cli.conditions import add_condition_argument
from vaedge.cli.inputs import add_input_arguments, read_input
from vaedge.cli.output import Output, repeat_conditions
from vaedge.cli.progress import progress_bar
from vaedge.cli.sources import Mapped
from vaedge.files.atomic import write_atomically
from vaedge.files.examples import ExampleSet
from vaedge.files.shards import Arrays

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
        type=float,
        default=0.01,
        metavar="RATE",
        help="call an example an anomaly if its p-value is at most RATE; on average, at most this share of the normal "
        "examples is called anomalies (default: 0.01)",
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
        help="new or empty folder for one .png per image, which shows the image and, beside it, the distortion in red; "
        "full red is the largest distortion of the images that are not called anomalies; the scale is printed",
    )
    parser.add_argument(
        "--fail-on-anomaly", action="store_true", help=f"exit with the status {FOUND} if there is an anomaly"
    )


def run(args: argparse.Namespace) -> int:
    """Print the number of anomalies and the most anomalous examples.

    The scores are written if --out is given, and the overlays are written if --maps is given.
    """
    output = None if args.out is None else Output.of(args.out, ".csv")
    if args.maps is not None:
        _require_empty(args.maps)
    vae = load_bundle(args)
    if args.maps is not None:
        _require_images(vae)
    calibrated = _require_calibration(args, vae)  # before INPUT is read, because reading can take long
    with read_input(args, vae) as (examples, conditions):
        x, values = examples.x, repeat_conditions(conditions, vae.manifest, len(examples.x))
        parts = [_with_ranges(batch) for batch in _batches(args, vae, x, values, "computing")]
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        _print_summary(args, calibrated, found, examples)
        if output is not None:
            _write_table(output, found, examples.names)
        if args.maps is not None:  # the maps are computed again, because all maps together may not fit into memory
            _write_overlays(args.maps, _batches(args, vae, x, values, "writing overlays"), found, examples)
        return FOUND if args.fail_on_anomaly and found["is_anomaly"].any() else 0


def _require_empty(folder: Path) -> None:
    """Raise InputError unless `folder` is absent or is an empty folder.

    The overlays of different calls have different scales, so a folder must not hold the overlays of two calls.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not an empty folder; name another folder for the overlays")


def _require_images(vae: VAE) -> None:
    from vaedge.files.images import is_image_shape  # Pillow is needed only for images

    if not is_image_shape(vae.input_shape):
        raise InputError(f"--maps needs images, but this model's examples have the shape {vae.input_shape}")


def _require_calibration(args: argparse.Namespace, vae: VAE) -> int:
    """Return the number of calibration examples.

    Raises:
        InputError: There is no calibration, or it does not allow the false-alarm rate.
    """
    if vae.calibration is None:
        raise InputError(
            f"variant {vae.variant} of {args.model} has no calibration; write one with `vaedge calibrate BUNDLE "
            "NORMAL_EXAMPLES --out FILE.npz`, and give --calibration FILE.npz"
        )
    vae.calibration.require_rate(args.false_alarm_rate)
    return len(vae.calibration.scores)


def _batches(
    args: argparse.Namespace, vae: VAE, x: npt.NDArray[Any], conditions: Arrays, description: str
) -> Iterator[Arrays]:
    """Run `detect` on some examples at a time, because the maps of all examples may not fit into memory.

    Yields:
        Dict with the columns of the table, and with the array "distortion" (n, height, width) if --maps is given.
    """

    def detect(rows: npt.NDArray[Any], conditions: Arrays) -> Arrays:
        has_maps = args.maps is not None
        found = vae.detect(rows, false_alarm_rate=args.false_alarm_rate, maps=has_maps, conditions=conditions)
        arrays = {name: getattr(found, name) for name in _COLUMNS}
        return arrays if found.maps is None else {**arrays, "distortion": found.maps.sum(1)}

    source = Mapped(x, conditions, detect, 4 * math.prod(vae.input_shape))
    with progress_bar(source.n, description, "examples") as update:
        for start in range(0, source.n, _BATCH):
            rows = min(_BATCH, source.n - start)
            yield source.take(rows)
            update(rows)


def _with_ranges(batch: Arrays) -> Arrays:
    """If a batch has distortions, replace them by the median and the maximum over the pixels of each example."""
    distortion = batch.pop("distortion", None)
    if distortion is None:
        return batch
    pixels = distortion.reshape(len(distortion), -1)
    return {**batch, "median": np.median(pixels, 1), "maximum": pixels.max(1)}


def _print_summary(args: argparse.Namespace, calibrated: int, found: Arrays, examples: ExampleSet) -> None:
    """Print the number of anomalies, and the examples with the largest scores."""
    score, p_value, is_anomaly = (found[name] for name in _COLUMNS)
    print(
        f"{is_anomaly.sum():,} of {len(score):,} examples are anomalies (false-alarm rate {args.false_alarm_rate:g}, "
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


def _write_overlays(folder: Path, batches: Iterable[Arrays], found: Arrays, examples: ExampleSet) -> None:
    """Write one overlay per example. The file is NAME.png for an image file NAME, otherwise INDEX.png."""
    from vaedge.files.images import overlay_png

    scale = _scale(found)
    row = 0
    for batch in batches:
        for distortion in batch["distortion"]:
            image = examples.x[row]
            path = folder / f"{examples.names[row] if examples.names else f'{row:06}'}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shown = np.divide(image, 255, dtype=np.float32) if image.dtype == np.uint8 else image
            write_atomically(path, overlay_png(shown, distortion, scale))
            row += 1
    print(f"{folder}: {row:,} overlays; no red up to {scale[0]:.3g} nats per pixel, full red from {scale[1]:.3g} nats")


def _scale(found: Arrays) -> tuple[float, float]:
    """Return the distortion up to which no red is shown, and the distortion from which full red is shown.

    The first is the median over the normal examples of the median over their pixels. The second is the largest
    distortion of the normal examples. Normal examples are those that are not called anomalies, or all examples if all
    are called anomalies.
    """
    normal = ~found["is_anomaly"] | found["is_anomaly"].all()
    low, high = float(np.median(found["median"][normal])), float(found["maximum"][normal].max())
    return (low, high) if low < high < math.inf else (0.0, 1.0)
