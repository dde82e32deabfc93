"""p(z) as it was trained: N(0, I), or a mixture of diagonal Gaussians with frozen constants."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vaedge.arrays import MOST_LATENT, FloatArray
from vaedge.errors import BundleError
from vaedge.noise import generator, second_generator

Draw = Callable[[int], FloatArray]

_WEIGHTS_SUM = 1e-4  # how far from 1 the weights may sum, as float32 leaves them
_MOST_LOG_VAR = 100.0


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
        return lambda n: rng.standard_normal((n, *self.latent_shape), np.float32)

    def log_prob(self, z: FloatArray) -> npt.NDArray[np.float64]:
        """Return log p(z) in nats, (n,) float64."""
        flat = z.reshape(len(z), -1).astype(np.float64)
        result: npt.NDArray[np.float64] = -0.5 * (flat**2 + math.log(2 * math.pi)).sum(1)
        return result


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of K diagonal Gaussians.

    Attributes:
        log_weights: (K,) float32, logarithms of the components' weights.
        mean: (K, *latent_shape) float32.
        log_var: (K, *latent_shape) float32.
    """

    log_weights: FloatArray
    mean: FloatArray
    log_var: FloatArray

    def sample(self, n: int, seed: int | None) -> FloatArray:
        """Choose a component for each item by its weight, then draw from it; (n, *latent_shape) float32."""
        return self.stream(seed)(n)

    def stream(self, seed: int | None) -> Draw:
        """Return a function that draws the next z."""
        normal, uniform = generator(seed), second_generator(seed)
        cumulative = np.cumsum(np.exp(self.log_weights.astype(np.float64)))
        cumulative /= cumulative[-1]

        def draw(n: int) -> FloatArray:
            chosen = np.searchsorted(cumulative, uniform.random(n), side="right")
            eps = normal.standard_normal((n, *self.mean.shape[1:]), np.float32)
            z: FloatArray = self.mean[chosen] + np.exp(np.float32(0.5) * self.log_var[chosen]) * eps
            return z

        return draw

    def log_prob(self, z: FloatArray) -> npt.NDArray[np.float64]:
        """Return log p(z) in nats, (n,) float64; the squares multiplied out, so that they are two matrix products."""
        flat = z.reshape(len(z), -1).astype(np.float64)
        mean, log_var = (part.reshape(len(part), -1).astype(np.float64) for part in (self.mean, self.log_var))
        precision = np.exp(-log_var)
        constant = -0.5 * (log_var + mean**2 * precision + math.log(2 * math.pi)).sum(1)
        exponent = self.log_weights + constant + flat @ (mean * precision).T - 0.5 * flat**2 @ precision.T
        greatest = exponent.max(1)
        result: npt.NDArray[np.float64] = greatest + np.log(np.exp(exponent - greatest[:, None]).sum(1))
        return result

    def to_npz(self) -> bytes:
        """Return the content of `prior.npz`."""
        content = io.BytesIO()
        np.savez_compressed(content, log_weights=self.log_weights, mean=self.mean, log_var=self.log_var)
        return content.getvalue()

    @classmethod
    def from_npz(cls, content: bytes, latent_shape: tuple[int, ...]) -> "Mixture":
        """Read the content of `prior.npz`.

        Raises:
            BundleError: it is no such archive, or its arrays are no mixture over z.
        """
        from vaedge.bundle.npz import read_npz  # unzipping takes a while to import, and N(0, I) has no constants

        try:
            found = read_npz(content)
            mixture = cls(**{name: found[name] for name in ("log_weights", "mean", "log_var")})
        except KeyError as error:
            raise BundleError(f"the prior has no array {error}") from error
        count = len(mixture.log_weights) if mixture.log_weights.ndim == 1 else 0
        expected = [(count,), (count, *latent_shape), (count, *latent_shape)]
        arrays = (mixture.log_weights, mixture.mean, mixture.log_var)
        if not count or [array.shape for array in arrays] != expected:
            raise BundleError(
                f"the prior's arrays are {[array.shape for array in arrays]}, no mixture over {latent_shape}"
            )
        if any(array.dtype != np.float32 for array in arrays):
            raise BundleError("the prior's arrays must be float32")
        for name, array, most in (("mean", mixture.mean, MOST_LATENT), ("log_var", mixture.log_var, _MOST_LOG_VAR)):
            if not np.abs(array).max() <= most:  # NaN is not
                raise BundleError(f"the prior's {name} holds NaN, or values beyond {most:g}")
        most_likely = float(mixture.log_weights.max())
        weights = np.exp(mixture.log_weights.astype(np.float64)) if most_likely <= _WEIGHTS_SUM else np.zeros(1)
        if not abs(float(weights.sum()) - 1) <= _WEIGHTS_SUM:
            raise BundleError("the prior's weights do not sum to one")
        return mixture
