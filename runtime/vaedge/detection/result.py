"""The result of `VAE.detect`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray


@dataclass(frozen=True, eq=False)
class Detection:
    """The decision about each example.

    Attributes:
        score: Anomaly score, float32, shape (n,). A larger value means a less normal example. The unit is the spread of
            normal examples.
        p_value: float64, shape (n,). (1 + number of calibration scores that are at least as large) / (number of
            calibration scores + 1). For normal examples, the probability of a p-value of at most r is at most r.
        is_anomaly: Whether the p-value is at most the false-alarm rate, bool, shape (n,).
        maps: Distortion of each element of x in nats, float32, shape (n, *input_shape). None unless they were
            requested.
    """

    score: FloatArray
    p_value: npt.NDArray[np.float64]
    is_anomaly: npt.NDArray[np.bool_]
    maps: FloatArray | None = None
