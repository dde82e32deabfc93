"""Calibration: the scores of normal examples, which turn the score of an example into a p-value.

The p-values are those of split conformal prediction (Vovk et al. 2005; Bates et al. 2023, "Testing for outliers with
conformal p-values"). They are valid under two conditions. First, the calibration examples and future normal examples
are exchangeable, for example drawn independently from one distribution. Second, neither the model nor the score was
fitted to any of these examples.
"""

import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray
from vaedge.bundle.npz import read_npz
from vaedge.detection.score import MAX_POINTS, Score
from vaedge.detection.terms import Terms
from vaedge.errors import BundleError, InputError
from vaedge.files.atomic import require_parent, write_atomically

# The smallest number of normal examples: 4 fit the score, 8 calibrate, and 8 measure the false-alarm rate.
MIN_EXAMPLES = 20
_FIT = 0.2  # share of the normal examples that fit the score, but at most MAX_POINTS examples
_REPORTED_RATES = (0.1, 0.01, 0.001)
_ARRAYS = ("points", "scores", "evaluation", "map_range", "model")
_MAP_QUANTILE = 0.99


def divide(n: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Divide the indices of n normal examples at random into three arrays.

    The score is fitted to the examples of the first array. The second array holds the calibration examples. The third
    array holds the evaluation examples, which measure the false-alarm rate.
    """
    fit = min(round(_FIT * n), MAX_POINTS)
    return np.split(np.random.default_rng(seed).permutation(n), [fit, fit + (n - fit) // 2])


@dataclass(frozen=True, eq=False)
class Calibration:
    """The calibration of one variant of a bundle.

    Attributes:
        score: Anomaly score that was fitted to the first part of the normal examples.
        scores: Scores of the calibration examples in ascending order, float32, shape (n,).
        evaluation: Scores of the evaluation examples in ascending order, float32, shape (m,). These examples neither
            fit nor calibrate the score, so they measure the false-alarm rate.
        map_range: Limits of the colors of a distortion map, in nats per element of x, float32, shape (2,). The first
            limit is the median distortion over all elements of normal examples. Elements with at most this distortion
            are shown without red. Elements with at least the second limit are shown in full red. 1 % of the normal
            examples have an element above the second limit.
        model: SHA-256 that identifies the graphs and the prior of the variant, 64 hexadecimal digits.
    """

    score: Score
    scores: FloatArray
    evaluation: FloatArray
    map_range: FloatArray
    model: str

    def __post_init__(self) -> None:
        for name in ("scores", "evaluation"):
            array = getattr(self, name)
            if array.dtype != np.float32 or array.ndim != 1 or not array.size:
                raise BundleError(f"{name} is {array.dtype} of shape {array.shape}; expected float32 of shape (n,)")
            if not (array >= 0).all() or (np.diff(array) < 0).any():  # NaN fails the first comparison
                raise BundleError(f"{name} must hold non-negative numbers in ascending order")
        limits = self.map_range
        if (
            limits.dtype != np.float32
            or limits.shape != (2,)
            or not np.isfinite(limits).all()
            or limits[0] >= limits[1]
        ):
            raise BundleError("map_range must hold two finite float32 numbers in ascending order")

    def __repr__(self) -> str:
        return f"<vaedge.detection.Calibration, {len(self.scores):,} calibration examples, model {self.model[:8]}>"

    @classmethod
    def fit(cls, terms: Terms, maps: FloatArray, model: str, seed: int) -> Self:
        """Divide normal examples at random into three parts, fit the score to the first, and score the other two.

        Args:
            terms: Distortion and rate of each normal example. At least MIN_EXAMPLES examples are needed.
            maps: Distortion of each element of x in nats, float32, shape (m, *input_shape), for the m examples of the
                first part; see `divide`.
            model: SHA-256 that identifies the graphs and the prior.
            seed: Seed of the random division.

        Raises:
            InputError: The distortion or the rate of an example of the first part is not finite.
        """
        fit, calibrate, evaluate = (
            Terms(terms.distortion[rows], terms.rate[rows]) for rows in divide(len(terms.rate), seed)
        )
        if not (np.isfinite(fit.distortion).all() and np.isfinite(fit.rate).all()):
            raise InputError(
                "the model returns NaN or infinity for some of the normal examples; leave out these examples, or use "
                "another variant"
            )
        score = Score(np.stack(fit, 1).astype(np.float32))
        elements = maps.reshape(len(maps), -1)
        low, high = float(np.median(elements)), float(np.quantile(elements.max(1), _MAP_QUANTILE))
        limits = np.array([low, max(high, low + 1e-3 * max(1, abs(low)))], np.float32)
        return cls(score, np.sort(score(calibrate)), np.sort(score(evaluate)), limits, model)

    def p_values(self, scores: FloatArray) -> npt.NDArray[np.float64]:
        """Return the p-value of each score.

        With n calibration scores, it is (1 + number of calibration scores that are at least as large) / (n + 1).
        """
        at_least = len(self.scores) - np.searchsorted(self.scores, scores, side="left")
        return (1 + at_least) / (len(self.scores) + 1)

    def false_alarms(self, rate: float) -> tuple[float, float]:
        """Return the share of the evaluation examples whose p-value is at most `rate`, and its standard error.

        The standard error includes the randomness of the n calibration examples and of the m evaluation examples:
        sqrt(rate (1 - rate) (1 / n + 1 / m)).
        """
        share = float((self.p_values(self.evaluation) <= rate).mean())
        return share, math.sqrt(rate * (1 - rate) * (1 / len(self.scores) + 1 / len(self.evaluation)))

    @property
    def smallest_rate(self) -> float:
        """The smallest false-alarm rate that `VAE.detect` accepts: 1 / (1 + number of calibration scores)."""
        return 1 / (len(self.scores) + 1)

    def measured_rates(self) -> dict[float, tuple[float, float]]:
        """Return a dict from false-alarm rates to the results of `false_alarms`.

        The rates are 10 %, 1 % and 0.1 %, without those that are below `smallest_rate`. If all three are below it, the
        only rate is `smallest_rate`.
        """
        allowed = [rate for rate in _REPORTED_RATES if rate >= self.smallest_rate]
        return {rate: self.false_alarms(rate) for rate in allowed or [self.smallest_rate]}

    def describe(self) -> str:
        """Return one line: the numbers of calibration and evaluation examples, and the measured false-alarm rates."""
        measured = [
            f"{100 * share:.3g} % +- {100 * error:.2g} % at {100 * rate:.3g} %"
            for rate, (share, error) in self.measured_rates().items()
        ]
        return (
            f"{len(self.scores):,} calibration and {len(self.evaluation):,} evaluation examples; "
            f"measured false alarms: {', '.join(measured)}"
        )

    def require_rate(self, rate: float) -> float:
        """Validate a false-alarm rate, and return it as a float.

        Raises:
            InputError: The rate is not a number between 0 and 1, or is smaller than `smallest_rate`.
        """
        if isinstance(rate, bool) or not isinstance(rate, int | float | np.number) or not 0 < rate < 1:
            raise InputError(f"false_alarm_rate is {rate!r}; expected a number above 0 and below 1")
        if rate < self.smallest_rate:
            raise InputError(
                f"false_alarm_rate is {rate:g}, but {len(self.scores):,} calibration examples do not allow rates below "
                f"1/{len(self.scores) + 1}; false_alarm_rate {rate:g} needs at least {math.ceil(1 / rate - 1):,} "
                f"calibration examples, so give `calibrate` about {math.ceil((1 / rate - 1) / (0.5 - _FIT / 2)):,} "
                "normal examples"
            )
        return float(rate)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the calibration as .npz, for `vaedge.load(calibration=...)`. The file is replaced atomically.

        Raises:
            InputError: The folder of the file does not exist.
            OSError: The file cannot be written.
        """
        require_parent(Path(path))
        write_atomically(Path(path), self.to_npz())

    def to_npz(self) -> bytes:
        """Return the calibration as the content of a .npz file."""
        content = io.BytesIO()
        np.savez_compressed(
            content,
            points=self.score.points,
            scores=self.scores,
            evaluation=self.evaluation,
            map_range=self.map_range,
            model=np.frombuffer(bytes.fromhex(self.model), np.uint8).astype(np.int64),
        )
        return content.getvalue()

    @classmethod
    def from_npz(cls, content: bytes, model: str) -> Self:
        """Read a calibration from the content of a .npz file.

        Args:
            content: The content of the file.
            model: SHA-256 that identifies the graphs and the prior of the loaded variant.

        Raises:
            BundleError: The content is not a calibration, or is the calibration of another bundle or variant.
        """
        arrays = read_npz(content)
        if set(arrays) != set(_ARRAYS):
            raise BundleError(f"the file holds the arrays {', '.join(arrays)}; expected {', '.join(_ARRAYS)}")
        found = arrays["model"]
        if found.shape != (32,) or found.dtype != np.int64 or not ((found >= 0) & (found < 256)).all():
            raise BundleError("the array 'model' must hold 32 int64 numbers from 0 to 255, the bytes of a SHA-256")
        if found.astype(np.uint8).tobytes().hex() != model:
            raise BundleError(
                "the calibration belongs to another bundle or to another variant; run `vaedge calibrate` for this "
                "bundle and this variant"
            )
        return cls(Score(arrays["points"]), arrays["scores"], arrays["evaluation"], arrays["map_range"], model)
