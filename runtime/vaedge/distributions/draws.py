"""Draws of x from p(x|z), for the likelihoods that a manifest can name.

The noise comes from the third stream of a seed, `default_rng((seed, 2))`, one float64 number per element of x in C
order. A draw is computed in float64 and rounded once to float32.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray, Range
from vaedge.distributions.random import third_generator
from vaedge.errors import InputError

_Array = npt.NDArray[np.float64]
_BLOCK = 2**16  # elements drawn at once, so that the temporary arrays stay in the cache
_LEVELS = 255


class Draws:
    """A stream of draws from p(x|z).

    The first rows of the stream depend neither on the number of rows that follow nor on the number per call.
    """

    def __init__(self, likelihood: str, seed: int | None, log_scale_range: Range | None = None) -> None:
        """Start the stream.

        Args:
            likelihood: Name of p(x|z), from the manifest.
            seed: A non-negative integer, or None for fresh entropy.
            log_scale_range: Minimum and maximum to which log_scale is limited; None for graphs that limit it.

        Raises:
            InputError: The likelihood is unknown or not a distribution, or the seed is invalid.
        """
        if likelihood == "bce_surrogate":
            raise InputError(
                "this model was trained with bce_surrogate, which is not a distribution of x: nothing can be drawn "
                "from it; use the means (without draw or --draw), or train with another likelihood"
            )
        if likelihood not in _QUANTILES:
            raise InputError(f"this vaedge cannot draw from the likelihood {likelihood!r}; it knows {_NAMES}")
        self._quantile = _QUANTILES[likelihood]
        self._rng = third_generator(seed)
        self._noise = self._rng.standard_normal if likelihood == "gaussian" else self._rng.random
        self._log_scale_range = log_scale_range

    def next(self, parameters: Sequence[FloatArray], out: FloatArray | None = None) -> FloatArray:
        """Draw the next rows.

        Args:
            parameters: The parameters of p(x|z) in the order of the manifest, each (n, *input_shape).
            out: C-contiguous float32 (n, *input_shape) array to write into and return.

        Returns:
            (n, *input_shape) float32.
        """
        result = np.empty(parameters[0].shape, np.float32) if out is None else out
        drawn = result.reshape(-1)
        flat = [array.reshape(-1) for array in parameters]
        with np.errstate(all="ignore"):  # limits such as log(0) are intended; the results are finite or clipped
            for start in range(0, drawn.size, _BLOCK):
                block = slice(start, start + _BLOCK)
                values = [self._limited(index, array[block]) for index, array in enumerate(flat)]
                drawn[block] = self._quantile(self._noise(len(values[0])), *values)
        return result

    def skip(self, elements: int) -> None:
        """Skip the noise of the next elements."""
        for start in range(0, elements, _BLOCK):
            self._noise(min(_BLOCK, elements - start))

    def _limited(self, index: int, values: npt.NDArray[Any]) -> _Array:
        """Return the values of a parameter in float64; the second one is a log_scale, which may have limits."""
        result = values.astype(np.float64)
        return result if self._log_scale_range is None or index == 0 else np.clip(result, *self._log_scale_range)


def _bernoulli(u: _Array, logits: _Array) -> _Array:
    return (u < 1 / (1 + np.exp(-logits))).astype(np.float64)


def _continuous_bernoulli(u: _Array, logits: _Array) -> _Array:
    """Invert F(x) = expm1(l x) / expm1(l); a positive l is mirrored, so that nothing overflows."""
    negative = -np.abs(logits)
    v = np.where(logits > 0, 1 - u, u)
    t = np.where(negative == 0, v, np.log1p(v * np.expm1(negative)) / negative)
    result: _Array = np.clip(np.where(logits > 0, 1 - t, t), 0, 1)
    return result


def _gaussian(normal: _Array, loc: _Array, log_scale: _Array) -> _Array:
    return loc + np.exp(log_scale) * normal


def _discretized_logistic(u: _Array, loc: _Array, log_scale: _Array) -> _Array:
    """Invert the CDF of the logistic, and return the nearest of the 256 levels."""
    x = loc + np.exp(log_scale) * (np.log(u) - np.log1p(-u))
    result: _Array = np.rint(np.clip(x, 0, 1) * _LEVELS) / _LEVELS
    return result


# Functions of the noise and the parameters: uniform noise is put into the inverse of the cumulative distribution.
_QUANTILES: Mapping[str, Callable[..., _Array]] = {
    "bernoulli": _bernoulli,
    "continuous_bernoulli": _continuous_bernoulli,
    "gaussian": _gaussian,
    "discretized_logistic": _discretized_logistic,
}
_NAMES = ", ".join(_QUANTILES)
