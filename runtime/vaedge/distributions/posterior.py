"""q(z|x), the diagonal Gaussian that the encoder describes."""

from dataclasses import dataclass

import numpy as np

from vaedge._types import FloatArray
from vaedge.distributions.random import standard_normal


@dataclass(frozen=True, eq=False)
class Posterior:
    """q(z|x) = N(mean, diag(exp(log_var))), one per example of the batch.

    Attributes:
        mean: (n, *latent_shape) float32.
        log_var: (n, *latent_shape) float32, the logarithm of sigma squared.
    """

    mean: FloatArray
    log_var: FloatArray

    @np.errstate(over="ignore", invalid="ignore")  # an overflow shows in z; numpy's warning on stderr adds nothing
    def sample(self, seed: int | None = None) -> FloatArray:
        """Draw one z per example: mean + exp(log_var / 2) * eps (Kingma & Welling 2014, section 2.4).

        Args:
            seed: The same seed gives the same z; None uses fresh entropy.

        Returns:
            z, (n, *latent_shape) float32.

        Raises:
            InputError: The seed is not a non-negative integer.
        """
        z: FloatArray = self.mean + standard_deviation(self.log_var) * standard_normal(self.mean.shape, seed)
        return z


def standard_deviation(log_var: FloatArray) -> FloatArray:
    """Return exp(log_var / 2), computed in float64 and rounded once to float32.

    numpy's float32 `exp` depends on the CPU's vector instructions. In float64 such a difference changes the rounded
    value with a probability below 4e-9.
    """
    std: FloatArray = np.exp(0.5 * log_var.astype(np.float64)).astype(np.float32)
    return std
