"""The result of `VAE.detect`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray


@dataclass(frozen=True, eq=False)
class Detection:
    """Anomaly scores of n examples, and the decision whether each example is an anomaly.

    Attributes:
        score: Anomaly score, float32, shape (n,). A larger value means a less normal example. It has no unit, and 0 is
            the smallest possible value.
        p_value: P-value of the score, float64, shape (n,). It is (1 + number of calibration scores that are at least
            as large as the score) / (1 + number of calibration scores). For a normal example, the probability of
            p_value <= r is at most r.
        is_anomaly: Whether the p-value is at most the false-alarm rate, bool, shape (n,).
        maps: Distortion of each element of x in nats, float32, shape (n, *input_shape). None unless
            `detect` was called with maps=True.
    """

    score: FloatArray
    p_value: npt.NDArray[np.float64]
    is_anomaly: npt.NDArray[np.bool_]
    maps: FloatArray | None = None
