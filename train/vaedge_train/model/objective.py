"""The losses of training: the ELBO or the importance-weighted bound, each with the usual or the path gradient.

The path gradient omits the part of the gradient that flows into the encoder through log q(z|x). The mean of that part
is zero, so the path gradient is unbiased. Near the optimum, its variance is smaller than that of the usual gradient.
"""

import math

import torch
from torch import Tensor, nn

from vaedge_train.model.vae import VAE, Terms

OBJECTIVES = ("elbo", "iwae")


def elbo_loss(terms: Terms, beta: float = 1.0) -> Tensor:
    """Return the negative ELBO, a scalar in nats per example.

    If the KL divergence has a closed form, the loss uses it (Kingma & Welling 2014, eq. 7). Otherwise, the loss
    estimates the KL divergence from the draws (eq. 6). With the path gradient, this estimate is called "sticking
    the landing" (Roeder et al. 2017).

    Args:
        terms: Log-probabilities of a batch, as `VAE.forward` returns them.
        beta: Weight of the rate (Higgins et al. 2017).
    """
    if terms.kl is not None:
        return (terms.distortion + beta * terms.kl).mean()
    return -(terms.log_likelihood - beta * terms.log_ratio).mean()


def iwae_loss(terms: Terms, beta: float = 1.0) -> Tensor:
    """Return the negative importance-weighted bound, a scalar in nats per example.

    The bound is log(1/L sum w), where w are the importance weights of the L draws (Burda et al. 2016, eq. 8).

    Args:
        terms: Log-probabilities of a batch, as `VAE.forward` returns them.
        beta: Weight of the rate.
    """
    log_weight = terms.log_likelihood - beta * terms.log_ratio
    return -(torch.logsumexp(log_weight, 0) - math.log(len(log_weight))).mean()


def dreg_loss(terms: Terms, beta: float = 1.0) -> Tensor:
    """Return a scalar whose gradient is the doubly reparameterized one, DReG (Tucker et al. 2019, eq. 8).

    The scalar itself is not the bound. For the parameters of the decoder and the prior, the gradient of each draw is
    multiplied by the normalized importance weight of the draw. The gradient that flows through z is multiplied by the
    square of this weight instead.

    Args:
        terms: Log-probabilities of a batch, as `VAE.forward` returns them with the path gradient.
        beta: Weight of the rate.
    """
    log_weight = terms.log_likelihood - beta * terms.log_ratio
    weight = torch.softmax(log_weight, 0).detach()
    if terms.z.requires_grad:
        terms.z.register_hook(lambda gradient: gradient * weight[..., None])
    return -(weight * log_weight).sum(0).mean()


class Objective(nn.Module):
    """The loss of a batch, as one module that torch can compile and distribute."""

    def __init__(self, vae: VAE, name: str, *, path_gradient: bool) -> None:
        """Choose the objective.

        Args:
            vae: The model.
            name: One of OBJECTIVES.
            path_gradient: Whether to use the path gradient.
        """
        super().__init__()
        self.vae = vae
        self.importance_weighted = name == "iwae"
        self.path_gradient = path_gradient

    def forward(
        self, x: Tensor, eps: Tensor, beta: float = 1.0, y: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Estimate the loss.

        Args:
            x: (n, *input_shape).
            eps: (L, n, latent), draws from N(0, 1).
            beta: Current weight of the rate. It rises during the warm-up.
            y: (n,) int64, the class of each example, for a conditional model.

        Returns:
            Three scalars: the loss in nats per example, and the distortion and the rate in nats, both summed over the
            batch. The two sums do not depend on beta and have no gradient.
        """
        terms = self.vae(x, eps, y, path_gradient=self.path_gradient)
        if not self.importance_weighted:
            loss, rate = elbo_loss(terms, beta), terms.rate
        else:
            loss, rate = (dreg_loss if self.path_gradient else iwae_loss)(terms, beta), terms.log_ratio.mean(0)
        return loss, terms.distortion.detach().sum(), rate.detach().sum()
