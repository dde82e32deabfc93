"""q(z|x), the diagonal Gaussian that the encoder describes."""

from dataclasses import dataclass

import numpy as np

from vaedge.arrays import FloatArray
from vaedge.noise import standard_normal


@dataclass(frozen=True, eq=False)
class Posterior:
    """q(z|x) = N(mean, diag(exp(log_var))), one per item of the batch.

    Attributes:
        mean: (n, *latent_shape) float32.
        log_var: (n, *latent_shape) float32, the logarithm of sigma squared.
    """

    mean: FloatArray
    log_var: FloatArray

    @np.errstate(over="ignore", invalid="ignore")  # what overflows shows in z, and not on stderr
    def sample(self, seed: int | None = None) -> FloatArray:
        """Draw one z per item: mean + exp(log_var / 2) * eps (Kingma & Welling 2014, section 2.4).

        Args:
            seed: the same seed gives the same z; None draws afresh.

        Returns:
            z, (n, *latent_shape) float32.

        Raises:
            InputError: the seed is not a non-negative whole number.
        """
        eps = standard_normal(self.mean.shape, seed)
        z: FloatArray = self.mean + np.exp(np.float32(0.5) * self.log_var) * eps
        return z
