"""The anomaly score: how rare the pair (distortion, rate) of an example is among normal examples.

The ELBO alone misses inputs that are simpler than the normal examples, because such inputs can have a higher
density (Nalisnick et al. 2019, "Detecting out-of-distribution inputs to deep generative models using typicality").
Therefore both unusually small and unusually large distortions and rates raise the score. The score follows the idea of
Morningstar et al. 2021, "Density of states estimation for out-of-distribution detection": it is the negative logarithm
of the density of some statistics of an example. Here, the statistics are distortion and rate, and a kernel density
estimate gives their joint density.

    u = L^T (s - mean),  s = (distortion, rate),  L L^T = covariance^-1
    score = -log(1/m sum_j exp(-|u - u_j|^2 / (2 h^2))),  h = m^(-1/6)

The mean, the covariance and the m points u_j are computed from m normal examples, to which the score is fitted. The
bandwidth h follows Scott (1992) for two dimensions. The score is 0 or larger.
"""

import numpy as np

from vaedge._types import FloatArray, Nats
from vaedge.detection.terms import Terms
from vaedge.errors import BundleError

# This limit bounds the time of a call: one point takes about as long as one element of x.
MAX_POINTS = 1000
_BLOCK = 16  # rows whose distances to all points are computed at once, so that the temporary arrays stay in the cache
# Minimum spread of a statistic, relative to its largest absolute value. Without this minimum, the spread of a statistic
# that is constant over normal examples would be zero. The minimum is far above the rounding errors of float32.
_MIN_RELATIVE_SPREAD = 1e-4


class Score:
    """The anomaly score, a function that is fitted to the distortions and rates of normal examples.

    Attributes:
        points: Distortion and rate of the normal examples in nats, float32, shape (m, 2), with 2 to 1000 rows.
    """

    points: FloatArray

    def __init__(self, points: FloatArray) -> None:
        """Fit the score to `points`, the distortions and rates of normal examples, float32, shape (m, 2).

        Raises:
            BundleError: The points have a wrong shape or type, or are not finite.
        """
        if points.dtype != np.float32 or points.shape[1:] != (2,) or not 2 <= len(points) <= MAX_POINTS:
            raise BundleError(
                f"the points are {points.dtype} of shape {points.shape}; expected float32 of shape (m, 2), with m from "
                f"2 to {MAX_POINTS}"
            )
        if not np.isfinite(points).all():
            raise BundleError("the points hold NaN or infinity")
        self.points = points
        distortion, rate = points.T.astype(np.float64)
        self._mean = distortion.mean(), rate.mean()
        self._distortion_spread = _spread(distortion)
        # The rate is compared with its linear regression on the distortion. This is the second row of L^T.
        deviation = distortion - self._mean[0]
        self._slope = float((deviation * (rate - self._mean[1])).mean() / self._distortion_spread**2)
        self._rate_spread = _spread(rate - self._slope * deviation, float(np.abs(rate).max()))
        self._whitened = self._whiten(distortion, rate)

    def __call__(self, terms: Terms) -> FloatArray:
        """Return the score of each example, float32, shape (n,).

        The score is infinity if the distortion or the rate is not finite.
        """
        score = np.empty(len(terms.rate), np.float32)
        with np.errstate(all="ignore"):  # an overflow is visible in the result
            first, second = self._whiten(terms.distortion, terms.rate)
            for start in range(0, len(score), _BLOCK):
                rows = slice(start, start + _BLOCK)
                score[rows] = self._minus_log_density(first[rows, None], second[rows, None])
        score[np.isnan(score)] = np.inf
        return score

    def _whiten(self, distortion: Nats, rate: Nats) -> tuple[FloatArray, FloatArray]:
        """Return the two coordinates of u / h for each example, float32, shape (n,) each.

        The docstring of this module defines u and h.
        """
        deviation = distortion - self._mean[0]
        residual = rate - self._mean[1] - self._slope * deviation
        scale = len(self.points) ** (1 / 6)  # 1 / h
        first, second = deviation * (scale / self._distortion_spread), residual * (scale / self._rate_spread)
        return first.astype(np.float32), second.astype(np.float32)

    def _minus_log_density(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """Return the score of each example, shape (n,).

        The arguments are the two coordinates that `_whiten` returns, each reshaped to (n, 1).
        """
        squares = (first - self._whitened[0]) ** 2 + (second - self._whitened[1]) ** 2
        nearest = squares.min(1, keepdims=True)
        kernels = np.exp(np.float32(-0.5) * (squares - nearest))
        result: FloatArray = np.float32(0.5) * nearest[:, 0] - np.log(kernels.mean(1))
        return result


def _spread(values: Nats, size: float | None = None) -> float:
    """Return the standard deviation of the values, but at least _MIN_RELATIVE_SPREAD * max(1, size).

    `size` is the largest absolute value of `values` by default.
    """
    return max(
        float(values.std()), _MIN_RELATIVE_SPREAD * max(1.0, float(np.abs(values).max()) if size is None else size)
    )
