"""The prior p(z): N(0, I), or a mixture of diagonal Gaussians whose constants are stored in the bundle."""

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray, Nats
from vaedge.distributions.posterior import standard_deviation
from vaedge.distributions.random import draw_normals, generator, second_generator
from vaedge.errors import BundleError
from vaedge.validation import MAX_LATENT

Draw = Callable[[int], FloatArray]

_WEIGHTS_TOLERANCE = 1e-4  # the weights were rounded to float32, so their sum may differ from 1 by this much
_MAX_LOG_VAR = 100.0
_MAX_STD = math.exp(_MAX_LOG_VAR / 2) * 1.001
_UNIT = 2**53  # numpy's uniform draws are multiples of 1 / 2**53


class Prior(Protocol):
    """The prior p(z). `VAE.sample` draws z from it, and `VAE.log_prob` evaluates its density.

    Attributes:
        name: Name of the prior in the manifest.
    """

    name: ClassVar[str]

    def sample(self, n: int, seed: int | None) -> FloatArray:
        """Draw n latents z, float32, shape (n, *latent_shape).

        The same seed gives the same z. The first rows do not depend on n.
        """

    def stream(self, seed: int | None) -> Draw:
        """Return a function of n that draws the next n latents z, float32, shape (n, *latent_shape).

        Several calls of the function together return the same rows as one call of `sample` with the same seed.
        """

    def log_prob(self, z: FloatArray) -> Nats:
        """Return log p(z) of each z in nats, float64, shape (n,). The shape of `z` is (n, *latent_shape)."""

    def log_prob_by_row(self, z: FloatArray) -> Nats:
        """Return the same as `log_prob`. Each result depends only on its row of `z`, even in the last bit."""

    def to_npz(self) -> bytes | None:
        """Return the content of a .npz file with the prior's constants, or None if the prior has no constants."""

    @classmethod
    def from_npz(cls, content: bytes | None, latent_shape: tuple[int, ...]) -> Self:
        """Return the prior that `to_npz` serialized. `latent_shape` is the shape of one z.

        Raises:
            BundleError: The content is invalid, or belongs to a prior over latents of another shape.
        """


@dataclass(frozen=True)
class StandardNormal:
    """The prior N(0, I).

    Attributes:
        latent_shape: Shape of one z.
    """

    name: ClassVar[str] = "standard_normal"

    latent_shape: tuple[int, ...]

    def sample(self, n: int, seed: int | None) -> FloatArray:
        """Draw n latents z, float32, shape (n, *latent_shape)."""
        return self.stream(seed)(n)

    def stream(self, seed: int | None) -> Draw:
        """Return a function of n that draws the next n latents z."""
        rng = generator(seed)
        return lambda n: draw_normals(rng, (n, *self.latent_shape))

    def log_prob(self, z: FloatArray) -> Nats:
        """Return log p(z) of each z in nats, float64, shape (n,)."""
        flat = z.reshape(len(z), -1).astype(np.float64)
        result: Nats = -0.5 * (flat**2 + math.log(2 * math.pi)).sum(1)
        return result

    log_prob_by_row = log_prob

    def to_npz(self) -> None:
        """Return None: N(0, I) has no constants."""

    @classmethod
    def from_npz(cls, content: bytes | None, latent_shape: tuple[int, ...]) -> Self:
        """Return N(0, I) over latents of shape `latent_shape`. `content` must be None."""
        if content is not None:
            raise BundleError(f"the prior {cls.name} needs no file of constants, but the bundle has one")
        return cls(latent_shape)


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of K diagonal Gaussians.

    The attributes are the constants that sampling needs. The last bits of `exp` depend on the machine. Therefore
    `Mixture.from_parameters` computes the constants once, during the export, so that a seed gives the same latents on
    every machine.

    Attributes:
        mean: Means, float32, shape (K, *latent_shape).
        std: Standard deviations, float32, shape (K, *latent_shape).
        cumulative: Cumulative weights in units of 2^-53, int64, shape (K,). The last one is 2^53.
    """

    name: ClassVar[str] = "mixture"

    mean: FloatArray
    std: FloatArray
    cumulative: npt.NDArray[np.int64]

    @classmethod
    def from_parameters(cls, log_weights: FloatArray, mean: FloatArray, log_var: FloatArray) -> Self:
        """Return the mixture with these parameters.

        Args:
            log_weights: Logarithms of the weights of the components, float32, shape (K,). The weights must sum to 1.
            mean: Means, float32, shape (K, *latent_shape).
            log_var: Logarithms of the variances, float32, shape (K, *latent_shape).

        Raises:
            BundleError: The arrays do not describe a mixture.
        """
        if log_weights.dtype != np.float32 or log_var.dtype != np.float32:
            raise BundleError("the prior's log_weights and log_var must be float32")
        if log_weights.shape != mean.shape[:1] or not log_weights.size:
            raise BundleError(
                f"the prior's log_weights have the shape {log_weights.shape}, and its mean has the shape {mean.shape}; "
                "expected (K,) and (K, ...) for K components"
            )
        if not np.abs(log_var).max(initial=0) <= _MAX_LOG_VAR:  # also true for NaN
            raise BundleError(f"the prior's log_var holds NaN, or absolute values above {_MAX_LOG_VAR:g}")
        is_plausible = float(log_weights.max()) <= _WEIGHTS_TOLERANCE  # otherwise exp could overflow
        total = np.cumsum(np.exp(log_weights.astype(np.float64))) if is_plausible else np.zeros(1)
        if not abs(float(total[-1]) - 1) <= _WEIGHTS_TOLERANCE:
            raise BundleError("the prior's weights do not sum to one")
        cumulative = np.floor(total / total[-1] * _UNIT).astype(np.int64)
        return cls(mean, standard_deviation(log_var), cumulative)

    def __post_init__(self) -> None:
        mean, std, cumulative = self.mean, self.std, self.cumulative
        if mean.dtype != np.float32 or std.dtype != np.float32 or cumulative.dtype != np.int64:
            raise BundleError("the prior's arrays mean and std must be float32, and its array cumulative must be int64")
        if mean.ndim < 2 or not mean.size or std.shape != mean.shape or cumulative.shape != mean.shape[:1]:
            raise BundleError(
                f"the prior's arrays have the shapes {mean.shape} (mean), {std.shape} (std) and {cumulative.shape} "
                "(cumulative); expected (K, ...), (K, ...) and (K,) for K components"
            )
        if not np.abs(mean).max() <= MAX_LATENT:  # also true for NaN
            raise BundleError(f"the prior's mean holds NaN, or absolute values above {MAX_LATENT:g}")
        if not (std.min() > 0 and std.max() <= _MAX_STD):
            raise BundleError(f"the prior's std holds NaN, or values outside of 0 to {_MAX_STD:.3g}")
        in_range = cumulative.min() >= 0 and cumulative.max() == cumulative[-1] == _UNIT
        if not in_range or (np.diff(cumulative) < 0).any():
            raise BundleError(
                "the prior's cumulative weights must start at 0 or above, never decrease, and end at 2^53"
            )

    def sample(self, n: int, seed: int | None) -> FloatArray:
        """Draw n latents z, float32, shape (n, *latent_shape).

        For each row, a component is chosen with its weight as the probability, and z is drawn from this component.
        """
        return self.stream(seed)(n)

    def stream(self, seed: int | None) -> Draw:
        """Return a function of n that draws the next n latents z."""
        normal, uniform = generator(seed), second_generator(seed)

        def draw(n: int) -> FloatArray:
            position = (uniform.random(n) * _UNIT).astype(np.int64)  # exact: random() is a multiple of 2^-53
            chosen = np.searchsorted(self.cumulative, position, side="right")
            z: FloatArray = self.mean[chosen] + self.std[chosen] * draw_normals(normal, (n, *self.mean.shape[1:]))
            return z

        return draw

    def log_prob(self, z: FloatArray) -> Nats:
        """Return log p(z) of each z in nats, float64, shape (n,).

        The squares (z - mean)^2 are expanded, so that two fast matrix products compute their sums.
        """
        constant, weighted_mean, precision = self._density_constants
        flat = z.reshape(len(z), -1).astype(np.float64)
        return _log_sum_exp(constant + flat @ weighted_mean.T - 0.5 * flat**2 @ precision.T)

    def log_prob_by_row(self, z: FloatArray) -> Nats:
        """Return the same as `log_prob`. Each result depends only on its row of `z`, even in the last bit.

        The last bits of a matrix product may depend on the number of rows. Therefore every row is multiplied alone.
        """
        constant, weighted_mean, precision = self._density_constants
        rows = z.reshape(len(z), 1, -1).astype(np.float64)
        return _log_sum_exp(constant + (rows @ weighted_mean.T - 0.5 * rows**2 @ precision.T)[:, 0])

    @cached_property
    def _density_constants(self) -> tuple[npt.NDArray[np.float64], ...]:
        """The constants in the formula of log p(z), float64, for K components and latents of d elements.

        The tuple holds the constant terms, shape (K,), the quotients mean / variance, shape (K, d), and the reciprocals
        1 / variance, shape (K, d).
        """
        mean, std = (part.reshape(len(part), -1).astype(np.float64) for part in (self.mean, self.std))
        weights = np.diff(self.cumulative, prepend=0) / _UNIT
        with np.errstate(divide="ignore"):  # a component of weight 0 has the logarithm -infinity
            log_weights = np.log(weights)
        normalizer = (np.log(std) + 0.5 * (mean / std) ** 2 + 0.5 * math.log(2 * math.pi)).sum(1)
        return log_weights - normalizer, mean / std**2, 1 / std**2

    def to_npz(self) -> bytes:
        """Return the content of `prior.npz`."""
        content = io.BytesIO()
        np.savez_compressed(content, mean=self.mean, std=self.std, cumulative=self.cumulative)
        return content.getvalue()

    @classmethod
    def from_npz(cls, content: bytes | None, latent_shape: tuple[int, ...]) -> Self:
        """Read the content of `prior.npz`.

        The file holds mean, std and cumulative. In bundles of format 1 the file holds log_weights, mean and log_var.

        Raises:
            BundleError: The content is not an archive of these arrays, or the arrays do not describe a mixture over
                latents of shape `latent_shape`.
        """
        from vaedge.bundle.npz import read_npz  # imports zipfile, which is slow; the prior N(0, I) does not need it

        if content is None:
            raise BundleError(f"the prior {cls.name} needs a file of constants")
        arrays = read_npz(content)
        try:
            if "log_weights" in arrays:
                mixture = cls.from_parameters(arrays["log_weights"], arrays["mean"], arrays["log_var"])
            else:
                mixture = cls(arrays["mean"], arrays["std"], arrays["cumulative"])
        except KeyError as error:
            raise BundleError(f"the prior has no array {error}") from error
        if mixture.mean.shape[1:] != latent_shape:
            raise BundleError(
                f"the prior's mean has the shape {mixture.mean.shape}; expected one mean of shape {latent_shape} per "
                "component"
            )
        return mixture


def _log_sum_exp(exponent: Nats) -> Nats:
    """Return log(sum(exp(exponent), axis=1))."""
    largest = exponent.max(1)
    result: Nats = largest + np.log(np.exp(exponent - largest[:, None]).sum(1))
    return result


_PRIORS: Mapping[str, type[StandardNormal] | type[Mixture]] = {prior.name: prior for prior in (StandardNormal, Mixture)}


def read_prior(name: str, content: bytes | None, latent_shape: tuple[int, ...]) -> Prior:
    """Return the prior that a manifest names.

    Args:
        name: Name of the prior in the manifest.
        content: Content of the prior's file, or None if the prior has no file.
        latent_shape: Shape of one z.

    Raises:
        BundleError: The content is invalid, or belongs to a prior over latents of another shape.
    """
    return _PRIORS[name].from_npz(content, latent_shape)
