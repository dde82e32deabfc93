"""Diagonal Gaussians over z: q(z|x) = N(mean, diag(exp(log_var))), where log_var is log sigma^2."""

import math

import torch
from torch import Tensor

# The range to which every encoder clamps log_var. exp(log_var) then stays finite in float32, and no trained posterior
# comes near the limits. The clamp is a part of the model, so the exported graph contains it.
LOG_VAR_RANGE = (-30.0, 20.0)


def reparameterize(mean: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """Return z = mean + sigma * eps (Kingma & Welling 2014, section 2.4).

    Args:
        mean: (n, latent).
        log_var: (n, latent).
        eps: (..., n, latent), draws from N(0, 1).

    Returns:
        (..., n, latent).
    """
    return mean + eps * torch.exp(0.5 * log_var)


def gaussian_log_prob(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Return log N(z; mean, diag(exp(log_var))).

    Args:
        z: (..., n, latent).
        mean: (n, latent).
        log_var: (n, latent).

    Returns:
        (..., n), in nats.
    """
    squares = (z - mean).square() * torch.exp(-log_var)
    return -0.5 * (squares + log_var + math.log(2 * math.pi)).sum(-1)


def kl_to_standard_normal(mean: Tensor, log_var: Tensor) -> Tensor:
    """Return KL(N(mean, diag(exp(log_var))) || N(0, I)) (Kingma & Welling 2014, appendix B).

    `expm1` keeps the result accurate if log_var is near 0.

    Args:
        mean: (n, latent).
        log_var: (n, latent).

    Returns:
        (n,), in nats.
    """
    return 0.5 * (mean.square() + torch.expm1(log_var) - log_var).flatten(1).sum(1)
