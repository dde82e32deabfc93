"""The anomaly score: how far an example's bound and rate are from those of normal examples, in either direction.

A lower bound on log p(x) alone misses inputs that are simpler than the normal examples: they can have a higher density
(Nalisnick et al. 2019, "Detecting out-of-distribution inputs to deep generative models using typicality"). Therefore
the score is two-sided, and it combines two statistics (Morningstar et al. 2021, "Density of states estimation for
out-of-distribution detection"). With s for the bound or the rate of an example, and the median and quantiles q of s
over normal examples:

    t(s) = (s - median) / (q_99 - median)    if s >= median
           (median - s) / (median - q_01)    otherwise

    score = sqrt(t(bound)^2 + t(rate)^2)
"""

from typing import Self

import numpy as np

from vaedge._types import FloatArray, Nats
from vaedge.detection.terms import Terms
from vaedge.errors import BundleError

_QUANTILES = (0.01, 0.5, 0.99)
# A statistic that is constant over normal examples has this spread, relative to its size. It is far above the rounding
# errors of float32.
_MIN_RELATIVE_SPREAD = 1e-4


class Score:
    """The score with its constants.

    Attributes:
        constants: float32, shape (2, 3). The rows are the bound and the rate; the columns are the median, the spread
            below the median, and the spread above the median, in nats.
    """

    constants: FloatArray

    def __init__(self, constants: FloatArray) -> None:
        """Store the constants.

        Raises:
            BundleError: The array has another shape or type, or a value is not finite, or a spread is not positive.
        """
        if constants.dtype != np.float32 or constants.shape != (2, 3):
            raise BundleError(
                f"the constants are {constants.dtype} of shape {constants.shape}; expected float32 of shape (2, 3)"
            )
        if not np.isfinite(constants).all() or not (constants[:, 1:] > 0).all():
            raise BundleError("the constants must be finite, and the spreads must be positive")
        self.constants = constants

    @classmethod
    def fit(cls, terms: Terms) -> Self:
        """Compute the constants from the terms of normal examples."""
        low, median, high = np.quantile([terms.bound, terms.rate], _QUANTILES, axis=1)
        minimum = _MIN_RELATIVE_SPREAD * np.maximum(1, np.abs(median))
        spreads = np.maximum(median - low, minimum), np.maximum(high - median, minimum)
        return cls(np.stack([median, *spreads], 1).astype(np.float32))

    def __call__(self, terms: Terms) -> FloatArray:
        """Return the score of each example, float32, shape (n,). Terms that are not finite give an infinite score."""
        with np.errstate(all="ignore"):  # the result shows an overflow
            squares = [
                self._deviation(values, *row) ** 2
                for values, row in zip((terms.bound, terms.rate), self.constants.astype(np.float64), strict=True)
            ]
            score = np.sqrt(squares[0] + squares[1]).astype(np.float32)
        score[np.isnan(score)] = np.inf
        return score

    @staticmethod
    def _deviation(values: Nats, median: float, below: float, above: float) -> Nats:
        deviation = values - median
        return deviation / np.where(deviation < 0, -below, above)
