"""The likelihoods p(x|z) that a manifest can name: log-densities and draws of each element, with numpy.

Training has a second implementation of the log-densities in PyTorch, and a test compares both. The log-densities take
float32 arrays and return float32 arrays in nats. The caller sums the elements of each example in float64. The draws
take and return float64 arrays.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray, Range
from vaedge.errors import InputError

_HALF_LOG_2PI = np.float32(0.5 * math.log(2 * math.pi))
_LEVELS = 255
_HALF_BIN = np.float32(0.5 / _LEVELS)
_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Likelihood:
    """A likelihood p(x|z).

    Attributes:
        log_prob: Function that takes x and the parameters, and returns log p(x|z) of each element in nats. All arrays
            have shapes that end in input_shape.
        draw: Function that takes noise and the parameters, and returns one draw of each element. With uniform noise, it
            applies the inverse of the cumulative distribution function. None if p(x|z) is not normalized.
        normal_noise: Whether `draw` takes N(0, 1) noise instead of uniform noise in [0, 1).
        normalized: Whether p(x|z) is a normalized distribution over x. Otherwise log p(x) does not exist.
        binary: Whether all values of x must be 0 or 1.
    """

    log_prob: Callable[..., FloatArray]
    draw: Callable[..., _Array] | None = None
    normal_noise: bool = False
    normalized: bool = True
    binary: bool = False


def require_scorable(
    name: str, x: FloatArray | None = None, *, surrogate: bool = False, log_scale_range: Range | None = None
) -> Likelihood:
    """Look up a likelihood by its name, and check that log p(x|z) can be computed.

    Args:
        name: Name of the likelihood, from the manifest.
        x: Data to score, or None.
        surrogate: Whether a likelihood that is not normalized, such as bce_surrogate, is allowed.
        log_scale_range: Minimum and maximum to which log_scale is clipped, from the manifest. None if the graphs limit
            log_scale.

    Raises:
        InputError: The likelihood is unknown or not normalized, or `x` holds values that the likelihood does not allow.
    """
    likelihood = LIKELIHOODS.get(name)
    if likelihood is None:
        raise InputError(
            f"this release of vaedge cannot compute the likelihood {name!r}; expected one of {', '.join(LIKELIHOODS)}"
        )
    if not likelihood.normalized and not surrogate:
        raise InputError(
            f"this model was trained with {name}, which is not a normalized distribution of x. Therefore log p(x) does "
            "not exist for this model"
        )
    if x is not None and likelihood.binary and not np.isin(x, (0, 1)).all():
        raise InputError("x holds values other than 0 and 1, but the likelihood is a Bernoulli: binarize x")
    return likelihood if log_scale_range is None else _clipped(likelihood, log_scale_range)


def require_drawable(name: str, log_scale_range: Range | None = None) -> tuple[Callable[..., _Array], bool]:
    """Return the function that draws from a likelihood, and whether this function takes N(0, 1) noise.

    Args:
        name: Name of the likelihood, from the manifest.
        log_scale_range: As for `require_scorable`.

    Raises:
        InputError: The likelihood is unknown or is not normalized.
    """
    likelihood = LIKELIHOODS.get(name)
    if likelihood is None:
        raise InputError(
            f"this release of vaedge cannot draw from the likelihood {name!r}; expected one of {', '.join(LIKELIHOODS)}"
        )
    draw = (likelihood if log_scale_range is None else _clipped(likelihood, log_scale_range)).draw
    if draw is None:
        raise InputError(
            f"this model was trained with {name}, which is not a distribution of x: nothing can be drawn from it. Omit "
            "draw=True or --draw to get the means, or train with another likelihood"
        )
    return draw, likelihood.normal_noise


def _clipped(likelihood: Likelihood, limits: Range) -> Likelihood:
    """Return a copy of a likelihood that clips log_scale to `limits`. The parameters must be loc and log_scale."""

    def clip(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda first, loc, log_scale: function(first, loc, np.clip(log_scale, *limits))

    draw = None if likelihood.draw is None else clip(likelihood.draw)
    return replace(likelihood, log_prob=clip(likelihood.log_prob), draw=draw)


def _softplus(values: FloatArray) -> FloatArray:
    result: FloatArray = np.maximum(values, 0) + np.log1p(np.exp(-np.abs(values)))
    return result


def _bernoulli(x: FloatArray, logits: FloatArray) -> FloatArray:
    result: FloatArray = x * logits - _softplus(logits)
    return result


def _continuous_bernoulli(x: FloatArray, logits: FloatArray) -> FloatArray:
    """Return log p of the continuous Bernoulli: log p of the Bernoulli plus the logarithm of a normalizing constant.

    See Loaiza-Ganem & Cunningham 2019. Near logits = 0 the formula of the constant would divide 0 by 0. Its Taylor
    series replaces the formula there.
    """
    near = np.abs(logits) < np.float32(0.1)
    far = np.abs(np.where(near, np.float32(1), logits))
    series = np.float32(math.log(2)) + logits**2 / 12 - 7 * logits**4 / 1440
    constant = np.where(near, series, np.log(far) - np.log(np.tanh(far / 2)))
    result: FloatArray = constant + _bernoulli(x, logits)
    return result


def _gaussian(x: FloatArray, loc: FloatArray, log_scale: FloatArray) -> FloatArray:
    result: FloatArray = np.float32(-0.5) * ((x - loc) * np.exp(-log_scale)) ** 2 - log_scale - _HALF_LOG_2PI
    return result


def _discretized_logistic(x: FloatArray, loc: FloatArray, log_scale: FloatArray) -> FloatArray:
    """Return the logarithm of the mass that a logistic distribution has in the bin of x.

    There are 256 bins. The first and the last bin extend to infinity. Subtract loc from both edges of the bin, divide
    by the scale, and call the results a and b. With the sigmoid S, the mass of the bin is S(b) - S(a) =
    S(b) S(-a) (1 - exp(a - b)).
    """
    inverse_scale = np.exp(-log_scale)
    below = -_softplus(-(x + _HALF_BIN - loc) * inverse_scale)
    above = -_softplus((x - _HALF_BIN - loc) * inverse_scale)
    inside = below + above + np.log(-np.expm1(-2 * _HALF_BIN * inverse_scale))
    return np.where(x < _HALF_BIN, below, np.where(x > 1 - _HALF_BIN, above, inside))


def _draw_bernoulli(u: _Array, logits: _Array) -> _Array:
    return (u < 1 / (1 + np.exp(-logits))).astype(np.float64)


def _draw_continuous_bernoulli(u: _Array, logits: _Array) -> _Array:
    """Return the x with F(x) = u, where F(x) = expm1(l x) / expm1(l) is the cumulative distribution function.

    l is the logit of an element. If l is positive, expm1(l) could overflow. For such l, the function uses the symmetry
    of the distributions of l and -l: 1 - x is the solution for -l and 1 - u.
    """
    negative = -np.abs(logits)
    v = np.where(logits > 0, 1 - u, u)
    t = np.where(negative == 0, v, np.log1p(v * np.expm1(negative)) / negative)
    result: _Array = np.clip(np.where(logits > 0, 1 - t, t), 0, 1)
    return result


def _draw_gaussian(normal: _Array, loc: _Array, log_scale: _Array) -> _Array:
    return loc + np.exp(log_scale) * normal


def _draw_discretized_logistic(u: _Array, loc: _Array, log_scale: _Array) -> _Array:
    """Find the x at which the cumulative distribution function is u. Return the nearest multiple of 1/255 in [0, 1]."""
    x = loc + np.exp(log_scale) * (np.log(u) - np.log1p(-u))
    result: _Array = np.rint(np.clip(x, 0, 1) * _LEVELS) / _LEVELS
    return result


LIKELIHOODS: Mapping[str, Likelihood] = {
    "bernoulli": Likelihood(_bernoulli, _draw_bernoulli, binary=True),
    "bce_surrogate": Likelihood(_bernoulli, normalized=False),
    "continuous_bernoulli": Likelihood(_continuous_bernoulli, _draw_continuous_bernoulli),
    "gaussian": Likelihood(_gaussian, _draw_gaussian, normal_noise=True),
    "discretized_logistic": Likelihood(_discretized_logistic, _draw_discretized_logistic),
}
