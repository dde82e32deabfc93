"""p(z) as it was trained: N(0, I), or a mixture of diagonal Gaussians with frozen constants."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vaedge.distributions.posterior import standard_deviation
from vaedge.distributions.random import draw_normals, generator, second_generator
from vaedge.errors import BundleError
from vaedge._types import FloatArray
from vaedge.validation import MAX_LATENT

Draw = Callable[[int], FloatArray]

_WEIGHTS_SUM = 1e-4  # how far from 1 the weights may sum, as float32 leaves them
_MAX_LOG_VAR = 100.0
_MAX_STD = math.exp(_MAX_LOG_VAR / 2) * 1.001
_UNIT = 2**53  # numpy's uniform draws are multiples of 1 / 2**53


class Prior(Protocol):
    """What `VAE.sample` draws from, and `VAE.log_prob` compares with."""

    def sample(self, n: int, seed: int | None) -> FloatArray:
        """Draw z, (n, *latent_shape) float32; the same seed gives the same z, and the first m do not depend on n."""

    def stream(self, seed: int | None) -> Draw:
        """Return a function that draws the next z, (n, *latent_shape), of the rows that `sample` returns at once."""

    def log_prob(self, z: FloatArray) -> npt.NDArray[np.float64]:
        """Return log p(z) in nats, (n,) float64, for z (n, *latent_shape)."""


@dataclass(frozen=True)
class StandardNormal:
    """N(0, I).

    Attributes:
        latent_shape: shape of one z.
    """

    latent_shape: tuple[int, ...]

    def sample(self, n: int, seed: int | None) -> FloatArray:
        """Draw z, (n, *latent_shape) float32."""
        return self.stream(seed)(n)

    def stream(self, seed: int | None) -> Draw:
        """Return a function that draws the next z."""
        rng = generator(seed)
        return lambda n: draw_normals(rng, (n, *self.latent_shape))

    def log_prob(self, z: FloatArray) -> npt.NDArray[np.float64]:
        """Return log p(z) in nats, (n,) float64."""
        flat = z.reshape(len(z), -1).astype(np.float64)
        result: npt.NDArray[np.float64] = -0.5 * (flat**2 + math.log(2 * math.pi)).sum(1)
        return result


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of K diagonal Gaussians.

    The fields are the constants that sampling needs, with everything transcendental computed in advance, so that the
    same seed gives the same latents on every machine. `Mixture.from_parameters` computes them.

    Attributes:
        mean: (K, *latent_shape) float32.
        std: (K, *latent_shape) float32, the standard deviations.
        cumulative: (K,) int64, the cumulative weights in units of 2^-53; the last one is 2^53.
    """

    mean: FloatArray
    std: FloatArray
    cumulative: npt.NDArray[np.int64]

    @classmethod
    def from_parameters(cls, log_weights: FloatArray, mean: FloatArray, log_var: FloatArray) -> "Mixture":
        """Return the mixture with these parameters.

        Args:
            log_weights: (K,) float32, logarithms of the components' weights, whose sum must be 1.
            mean: (K, *latent_shape) float32.
            log_var: (K, *latent_shape) float32, logarithms of the variances.

        Raises:
            BundleError: The arrays do not describe a mixture.
        """
        if log_weights.dtype != np.float32 or log_var.dtype != np.float32:
            raise BundleError("the prior's log_weights and log_var must be float32")
        if log_weights.shape != mean.shape[:1] or not log_weights.size:
            raise BundleError(f"the prior's log_weights have shape {log_weights.shape}, and its mean {mean.shape}")
        if not np.abs(log_var).max(initial=0) <= _MAX_LOG_VAR:  # NaN fails too
            raise BundleError(f"the prior's log_var holds NaN, or values beyond {_MAX_LOG_VAR:g}")
        likely = float(log_weights.max()) <= _WEIGHTS_SUM  # otherwise exp could overflow
        total = np.cumsum(np.exp(log_weights.astype(np.float64))) if likely else np.zeros(1)
        if not abs(float(total[-1]) - 1) <= _WEIGHTS_SUM:
            raise BundleError("the prior's weights do not sum to one")
        cumulative = np.floor(total / total[-1] * _UNIT).astype(np.int64)
        return cls(mean, standard_deviation(log_var), cumulative)

    def __post_init__(self) -> None:
        mean, std, cumulative = self.mean, self.std, self.cumulative
        if mean.dtype != np.float32 or std.dtype != np.float32 or cumulative.dtype != np.int64:
            raise BundleError("the prior's mean and std must be float32, and its cumulative int64")
        if mean.ndim < 2 or not mean.size or std.shape != mean.shape or cumulative.shape != mean.shape[:1]:
            raise BundleError(f"the prior's arrays {mean.shape}, {std.shape} and {cumulative.shape} are no mixture")
        if not np.abs(mean).max() <= MAX_LATENT:  # NaN fails too
            raise BundleError(f"the prior's mean holds NaN, or values beyond {MAX_LATENT:g}")
        if not (std.min() > 0 and std.max() <= _MAX_STD):
            raise BundleError(f"the prior's std holds NaN, or values outside of 0 to {_MAX_STD:.3g}")
        in_range = cumulative.min() >= 0 and cumulative.max() == cumulative[-1] == _UNIT
        if not in_range or (np.diff(cumulative) < 0).any():
            raise BundleError("the prior's cumulative does not rise from at least 0 to 2^53")

    def sample(self, n: int, seed: int | None) -> FloatArray:
        """Choose a component for each row by its weight, then draw from it; (n, *latent_shape) float32."""
        return self.stream(seed)(n)

    def stream(self, seed: int | None) -> Draw:
        """Return a function that draws the next z."""
        normal, uniform = generator(seed), second_generator(seed)

        def draw(n: int) -> FloatArray:
            position = (uniform.random(n) * _UNIT).astype(np.int64)  # exact: random() is a multiple of 2^-53
            chosen = np.searchsorted(self.cumulative, position, side="right")
            z: FloatArray = self.mean[chosen] + self.std[chosen] * draw_normals(normal, (n, *self.mean.shape[1:]))
            return z

        return draw

    def log_prob(self, z: FloatArray) -> npt.NDArray[np.float64]:
        """Return log p(z) in nats, (n,) float64; the squares are multiplied out, to use two matrix products."""
        flat = z.reshape(len(z), -1).astype(np.float64)
        constant, weighted_mean, precision = self._density_constants
        exponent = constant + flat @ weighted_mean.T - 0.5 * flat**2 @ precision.T
        largest = exponent.max(1)
        result: npt.NDArray[np.float64] = largest + np.log(np.exp(exponent - largest[:, None]).sum(1))
        return result

    @cached_property
    def _density_constants(self) -> tuple[npt.NDArray[np.float64], ...]:
        """What does not depend on z: (K,) constants, (K, latents) means times precisions, (K, latents) precisions."""
        mean, std = (part.reshape(len(part), -1).astype(np.float64) for part in (self.mean, self.std))
        weights = np.diff(self.cumulative, prepend=0) / _UNIT
        with np.errstate(divide="ignore"):  # a component that is never chosen has the logarithm -infinity
            log_weights = np.log(weights)
        normalizer = (np.log(std) + 0.5 * (mean / std) ** 2 + 0.5 * math.log(2 * math.pi)).sum(1)
        return log_weights - normalizer, mean / std**2, 1 / std**2

    def to_npz(self) -> bytes:
        """Return the content of `prior.npz`."""
        content = io.BytesIO()
        np.savez_compressed(content, mean=self.mean, std=self.std, cumulative=self.cumulative)
        return content.getvalue()

    @classmethod
    def from_npz(cls, content: bytes, latent_shape: tuple[int, ...]) -> "Mixture":
        """Read the content of `prior.npz`; in bundles of format 1 it holds log_weights, mean and log_var.

        Raises:
            BundleError: The content is not such an archive, or its arrays do not describe a mixture over z.
        """
        from vaedge.bundle.npz import read_npz  # zipfile takes a while to import, and N(0, I) has no file

        found = read_npz(content)
        try:
            if "log_weights" in found:
                mixture = cls.from_parameters(found["log_weights"], found["mean"], found["log_var"])
            else:
                mixture = cls(found["mean"], found["std"], found["cumulative"])
        except KeyError as error:
            raise BundleError(f"the prior has no array {error}") from error
        if mixture.mean.shape[1:] != latent_shape:
            raise BundleError(f"the prior's mean has shape {mixture.mean.shape}, no mixture over {latent_shape}")
        return mixture
