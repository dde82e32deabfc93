"""Warnings about columns of a table, or channels of images, whose values are unsuitable for training."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge_train.model.standardization import Moments, statistics

_SMALL, _LARGE = 0.01, 100.0  # outside this range of standard deviations, training probably needs standardization
_MAX_SPACING = 0.01  # maximum distance between neighboring float32 numbers, in standard deviations of the column
_MAX_NAMED = 5  # maximum number of columns that one warning names


def warn_about_scales(moments: Moments, features: Sequence[str]) -> None:
    """Issue one warning that names the columns with a very large or a very small standard deviation.

    Args:
        moments: Mean and standard deviation of the data.
        features: Names of the columns of a table; may be empty.
    """
    std = moments.std.numpy()
    extreme = (std > _LARGE) | (std < _SMALL)
    if extreme.any():
        warnings.warn(
            f"the standard deviations of these {_kind(std)} are above {_LARGE:g} or below {_SMALL:g}: "
            f"{_listed(extreme, std, features)}; the model may not learn them without standardization: use "
            "--standardize on",
            stacklevel=2,
        )


def warn_about_precision(chunks: Iterable[npt.NDArray[np.floating[Any]]], features: Sequence[str] = ()) -> None:
    """Issue one warning that names the columns that lose digits in float32, because their mean is far from 0.

    Args:
        chunks: The data as it was read, before its conversion to float32, in chunks (n, *input_shape).
        features: Names of the columns of a table; may be empty.
    """
    _, std, largest = statistics(chunks)
    with np.errstate(invalid="ignore", over="ignore"):  # values that float32 cannot hold are refused later
        imprecise = (std > 0) & (np.spacing(largest.astype(np.float32)) > _MAX_SPACING * std)
    if imprecise.any():
        warnings.warn(
            f"these {_kind(std)} lose digits in float32, because their values are large compared with their standard "
            f"deviations: {_listed(imprecise, std, features)}; subtract an offset, such as the mean, from each of them "
            "before training",
            stacklevel=2,
        )


def _kind(std: npt.NDArray[Any]) -> str:
    return "channels" if std.ndim == 3 else "columns"


def _listed(chosen: npt.NDArray[np.bool_], std: npt.NDArray[Any], features: Sequence[str]) -> str:
    """Return a text that lists the first few chosen columns with their standard deviations, and counts the others."""
    indices = np.flatnonzero(chosen)
    named = [f"{features[index] if features else index} ({std.flat[index]:.3g})" for index in indices[:_MAX_NAMED]]
    others = len(indices) - len(named)
    return ", ".join(named) + (f" and {others:,} more" if others else "")
