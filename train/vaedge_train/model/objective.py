"""The losses of training: the ELBO or the importance-weighted bound, each with the usual or the path gradient.

The path gradient omits the part of the gradient that flows into the encoder through log q(z|x). The mean of that part
is zero, so the estimate stays unbiased, and its variance is smaller near the optimum.
"""

import math

import torch
from torch import Tensor, nn

from vaedge_train.model.vae import VAE, Terms

OBJECTIVES = ("elbo", "iwae")


def elbo_loss(terms: Terms, beta: float = 1.0) -> Tensor:
    """Return -ELBO, a scalar in nats per example.

    The KL divergence is exact where it has a closed form (Kingma & Welling 2014, eq. 7), and otherwise estimated from
    the draws (eq. 6). With terms of the path gradient this is "sticking the landing" (Roeder et al. 2017).

    Args:
        terms: Terms of the model on a batch.
        beta: Weight of the rate (Higgins et al. 2017).
    """
    if terms.kl is not None:
        return (terms.distortion + beta * terms.kl).mean()
    return -(terms.log_likelihood - beta * terms.log_ratio).mean()


def iwae_loss(terms: Terms, beta: float = 1.0) -> Tensor:
    """Return minus the importance-weighted bound log(1/L sum w) (Burda et al. 2016, eq. 8), in nats per example.

    Args:
        terms: Terms of the model on a batch.
        beta: Weight of the rate.
    """
    log_weight = terms.log_likelihood - beta * terms.log_ratio
    return -(torch.logsumexp(log_weight, 0) - math.log(len(log_weight))).mean()


def dreg_loss(terms: Terms, beta: float = 1.0) -> Tensor:
    """Return a scalar whose gradient is DReG (Tucker et al. 2019, eq. 8); its value is not the bound.

    The gradient weights each draw by its normalized importance weight, and the path through z by the square of it.

    Args:
        terms: Terms of the model on a batch, with the path gradient.
        beta: Weight of the rate.
    """
    log_weight = terms.log_likelihood - beta * terms.log_ratio
    weight = torch.softmax(log_weight, 0).detach()
    if terms.z.requires_grad:
        terms.z.register_hook(lambda gradient: gradient * weight[..., None])
    return -(weight * log_weight).sum(0).mean()


class Objective(nn.Module):
    """The loss of a batch, as one module, so that it can be compiled and distributed."""

    def __init__(self, vae: VAE, name: str, *, path_gradient: bool) -> None:
        """Choose the objective.

        Args:
            vae: The model.
            name: One of OBJECTIVES.
            path_gradient: Use the path gradient.
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
            beta: Weight of the rate, which is below its final value during the warm-up.
            y: (n,) int64, the class of each example, for a conditional model.

        Returns:
            The loss, a scalar in nats per example; and the sums of distortion and rate over the batch, in nats, at
            beta = 1 and without a gradient.
        """
        terms = self.vae(x, eps, y, path_gradient=self.path_gradient)
        if not self.importance_weighted:
            loss, rate = elbo_loss(terms, beta), terms.rate
        else:
            loss, rate = (dreg_loss if self.path_gradient else iwae_loss)(terms, beta), terms.log_ratio.mean(0)
        return loss, terms.distortion.detach().sum(), rate.detach().sum()
