"""Draws of x from p(x|z), for the likelihoods that a manifest can name.

The noise comes from `numpy.random.default_rng((seed, 2))`, which is independent of the noise for z. One float64
number is drawn for each element of x, in C order. A draw is computed in float64 and rounded once to float32.
"""

from collections.abc import Sequence

import numpy as np

from vaedge._types import FloatArray, Range
from vaedge.distributions.likelihoods import require_drawable
from vaedge.distributions.random import third_generator

_BLOCK = 2**16  # elements drawn at once, so that the temporary arrays stay in the cache


class Draws:
    """A stream of draws from p(x|z).

    The same seed gives the same rows, for any number of rows per call. A row does not depend on the rows after it.
    """

    def __init__(self, likelihood: str, seed: int | None, log_scale_range: Range | None = None) -> None:
        """Start the stream.

        Args:
            likelihood: Name of p(x|z), from the manifest.
            seed: A non-negative integer, or None for fresh entropy.
            log_scale_range: Minimum and maximum to which log_scale is clipped. None if the graphs limit log_scale.

        Raises:
            InputError: The likelihood is unknown or not a distribution, or the seed is invalid.
        """
        self._draw, normal_noise = require_drawable(likelihood, log_scale_range)
        rng = third_generator(seed)
        self._noise = rng.standard_normal if normal_noise else rng.random

    def next(self, parameters: Sequence[FloatArray], out: FloatArray | None = None) -> FloatArray:
        """Draw the next rows.

        Args:
            parameters: The parameters of p(x|z) in the order of the manifest, each of shape (n, *input_shape).
            out: C-contiguous float32 array of shape (n, *input_shape) that receives the draws and is returned. None
                allocates a new array.

        Returns:
            The draws, float32, shape (n, *input_shape).
        """
        result = np.empty(parameters[0].shape, np.float32) if out is None else out
        drawn = result.reshape(-1)
        flat = [array.reshape(-1) for array in parameters]
        with np.errstate(all="ignore"):  # limits such as log(0) are intended; the results are finite or clipped
            for start in range(0, drawn.size, _BLOCK):
                block = slice(start, start + _BLOCK)
                values = [array[block].astype(np.float64) for array in flat]
                drawn[block] = self._draw(self._noise(len(values[0])), *values)
        return result

    def skip(self, elements: int) -> None:
        """Skip the noise of the next `elements` elements of x."""
        for start in range(0, elements, _BLOCK):
            self._noise(min(_BLOCK, elements - start))
