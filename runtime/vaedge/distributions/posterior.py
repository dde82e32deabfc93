"""The posterior q(z|x): a diagonal Gaussian whose parameters the encoder returns."""

from dataclasses import dataclass

import numpy as np

from vaedge._types import FloatArray
from vaedge.distributions.random import standard_normal


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior q(z|x) = N(mean, diag(exp(log_var))) of each example of a batch.

    Attributes:
        mean: Means, float32, shape (n, *latent_shape).
        log_var: Logarithms of the variances, float32, shape (n, *latent_shape).
    """

    mean: FloatArray
    log_var: FloatArray

    @np.errstate(over="ignore", invalid="ignore")  # an overflow is visible in z, so numpy's warning is not needed
    def sample(self, seed: int | None = None) -> FloatArray:
        """Draw one z per example: mean + exp(log_var / 2) * eps (Kingma & Welling 2014, section 2.4).

        Args:
            seed: Seed of the draws. The same seed gives the same z. None uses fresh entropy.

        Returns:
            The latents z, float32, shape (n, *latent_shape).

        Raises:
            InputError: The seed is not a non-negative integer.
        """
        z: FloatArray = self.mean + standard_deviation(self.log_var) * standard_normal(self.mean.shape, seed)
        return z


def standard_deviation(log_var: FloatArray) -> FloatArray:
    """Return exp(log_var / 2), computed in float64 and rounded once to float32.

    The results of numpy's `exp` depend on the CPU's vector instructions. In float32 the difference would be visible. In
    float64 the difference is so small that it changes the rounded value with a probability below 4e-9.
    """
    std: FloatArray = np.exp(0.5 * log_var.astype(np.float64)).astype(np.float32)
    return std
