"""Read the conditions of a conditional model from --condition and from the labels of the examples."""

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge import Condition, InputError, Manifest
from vaedge.files.arrays import LABEL_NAMES, read_array
from vaedge.validation import class_numbers

Conditions = dict[str, npt.NDArray[Any]]
LABELED = "y"  # name of the condition that takes its values from the labels of the examples
_MAX_COLUMNS = 20  # maximum for a grid with one column for each given value


def add_condition_argument(parser: argparse.ArgumentParser) -> None:
    """Add --condition, for conditional models."""
    parser.add_argument(
        "--condition",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="condition of a conditional model; VALUE is one class name or number for all examples, a list with one "
        "name or number per example (separated by commas), or a .npy file; quote a name that contains a comma, as in a "
        "CSV file: "
        "'y=\"red, dark\",blue'; if NAME is y, VALUE replaces the labels of the examples",
    )


def read_conditions(
    args: argparse.Namespace, manifest: Manifest, labels: npt.NDArray[Any] | Sequence[str] | None = None
) -> Conditions:
    """Return a dict from the name of each condition of the model to an array of its values.

    Args:
        args: The parsed command line, with the option --condition.
        manifest: The manifest of the model.
        labels: The class of each example, as a name or a number. The labels are the values of the condition `y`,
            unless --condition gives `y`. None if the examples have no labels.

    Raises:
        InputError: A condition is missing or unknown, a --condition is not of the form NAME=VALUE, or a class is
            unknown.
    """
    conditions = {}
    for text in args.condition:
        name, _, value = text.partition("=")
        if name not in manifest.conditions:
            if not manifest.conditions:
                raise InputError(f"--condition {text!r}: this model has no conditions; remove the option")
            names = ", ".join(manifest.conditions)
            raise InputError(f"--condition {text!r}: expected NAME=VALUE, where NAME is one of: {names}")
        conditions[name] = _read_values(text, name, value, manifest.conditions[name])
    labeled = manifest.conditions.get(LABELED)
    if labels is not None and LABELED in conditions:
        print(f"note: --condition {LABELED} replaces the labels of the examples", file=sys.stderr)
    elif labels is not None and labeled is not None and labeled.classes:
        conditions[LABELED] = class_numbers(np.asarray(labels), LABELED, labeled)
    for name in manifest.conditions:
        if name not in conditions:
            hint = ""
            if name == LABELED and hasattr(args, "label_column"):
                labels = f"labels in a .npz file ({LABEL_NAMES}), or " if hasattr(args, "split") else ""
                hint = f"; or give {labels}--label-column for a .csv file"
            raise InputError(
                f"this model takes the condition {name}, which is missing; give --condition {name}=VALUE{hint}"
            )
    return conditions


def cycled(conditions: Conditions, manifest: Manifest, n: int) -> Conditions:
    """Return the conditions of n samples.

    A list of values is repeated in order until it has n values. A single value, which applies to all samples, is
    returned unchanged.

    Raises:
        InputError: A condition has more than n values.
    """
    values_of_all = {}
    for name, values in conditions.items():
        is_one = values.ndim == len(manifest.conditions[name].shape)
        if not is_one and len(values) > n:
            raise InputError(f"--condition {name} gives {len(values)} values for {n} samples; give at most {n}")
        values_of_all[name] = values if is_one else np.resize(values, (n, *values.shape[1:]))
    return values_of_all


def grid_columns(conditions: Conditions, manifest: Manifest) -> int | None:
    """Return the number of columns for a grid of samples: the length of the longest list of condition values.

    Return None if no condition has a list of values, or if the longest list has more than 20 values.
    """
    counts = {len(values) for name, values in conditions.items() if values.ndim > len(manifest.conditions[name].shape)}
    return max(counts) if counts and max(counts) <= _MAX_COLUMNS else None


def class_names(values: npt.NDArray[Any], condition: Condition) -> npt.NDArray[Any]:
    """Return the class name of each value. If the condition has no classes, return the values unchanged."""
    return np.array(condition.classes)[values] if condition.classes else values


def condition_columns(conditions: Mapping[str, npt.NDArray[Any]], manifest: Manifest) -> Conditions:
    """Return the values of the conditions for a table: class names if a condition has classes, otherwise numbers."""
    return {name: class_names(values, manifest.conditions[name]) for name, values in conditions.items()}


def captions(conditions: Mapping[str, npt.NDArray[Any]], manifest: Manifest, n: int) -> list[str]:
    """Return the captions of a grid of n examples: the class names of each example.

    If no condition has classes, return an empty list.
    """
    named = [
        np.broadcast_to(class_names(conditions[name], condition), n)
        for name, condition in manifest.conditions.items()
        if condition.classes and not condition.shape
    ]
    return [", ".join(names) for names in zip(*named, strict=True)]


def _read_values(text: str, name: str, value: str, condition: Condition) -> npt.NDArray[Any]:
    """Parse `value`, which follows "=" in the option --condition. `text` is the whole NAME=VALUE, for messages."""
    if value.endswith(".npy") and value not in condition.classes:
        return class_numbers(read_array(Path(value), name), name, condition)
    # A name that is the only value needs no quotes.
    parts = [value] if value in condition.classes else _split(value, text)
    values = class_numbers(np.array(parts), name, condition) if condition.classes else np.array(_numbers(parts, text))
    size = int(np.prod(condition.shape))
    if values.size % size:
        return values  # the model refuses this shape
    return values.reshape(condition.shape if values.size == size else (-1, *condition.shape))


def _split(value: str, text: str) -> list[str]:
    """Split `value` at its commas, like a line of a CSV file. `text` is the whole NAME=VALUE, for messages."""
    try:
        return next(csv.reader([value], skipinitialspace=True, strict=True)) or [""]
    except csv.Error as error:
        raise InputError(
            f"--condition {text!r}: {error}; expected values with commas between them, and double quotes around a name "
            "that holds commas"
        ) from error


def _numbers(parts: Sequence[str], text: str) -> list[float]:
    try:
        return [float(part) for part in parts]
    except ValueError as error:
        raise InputError(f"--condition {text!r}: expected numbers with commas between them, or a .npy file") from error
