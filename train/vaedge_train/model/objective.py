"""What training minimises: the ELBO or the importance-weighted bound, with the usual or the path gradient."""

import math

import torch
from torch import Tensor, nn

from vaedge_train.model.priors import StandardNormal
from vaedge_train.model.vae import VAE, gaussian_log_prob, kl_to_standard_normal

OBJECTIVES = ("elbo", "iwae")


class Objective(nn.Module):
    """A batch's loss, as one module, so that it can be compiled and distributed.

    The path gradient leaves out the part of the gradient that flows into q's parameters through log q(z|x), whose
    mean is zero: for the ELBO that is sticking-the-landing (Roeder et al. 2017), for IWAE, where each draw's path is
    weighted by its squared importance weight, DReG (Tucker et al. 2019).
    """

    def __init__(self, vae: VAE, name: str, *, path_gradient: bool) -> None:
        """Choose the objective.

        Args:
            vae: the model.
            name: one of OBJECTIVES.
            path_gradient: whether to leave out the score.
        """
        super().__init__()
        self.vae = vae
        self.weighted = name == "iwae"
        self.path_gradient = path_gradient

    def forward(
        self, x: Tensor, eps: Tensor, beta: float = 1.0, y: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Estimate the loss.

        Args:
            x: (n, *input_shape).
            eps: (L, n, latent), draws of N(0, 1).
            beta: weight of the rate, below 1 while the KL divergence is warmed up.
            y: (n,) int64, of a conditional model.

        Returns:
            The loss to minimise (a scalar, nats per item), and, at beta = 1 and without gradient, the sums of
            distortion and rate over the items, nats.
        """
        vae = self.vae
        mean, log_var = vae.inference(x, y)
        z = mean + eps * torch.exp(0.5 * log_var)
        log_likelihood = vae.likelihood.log_prob(x, *vae.generative(z, y))
        if isinstance(vae.prior, StandardNormal) and not self.weighted and not self.path_gradient:
            distortion, rate = -log_likelihood.mean(0), kl_to_standard_normal(mean, log_var)
            return (distortion + beta * rate).mean(), distortion.detach().sum(), rate.detach().sum()
        if self.path_gradient:
            log_posterior = gaussian_log_prob(z, mean.detach(), log_var.detach())
        else:
            log_posterior = gaussian_log_prob(z, mean, log_var)
        divergence = log_posterior - vae.prior.log_prob(z, vae.inference)
        log_weight = log_likelihood - beta * divergence
        if not self.weighted:
            loss = -log_weight.mean()
        elif self.path_gradient:
            weight = torch.softmax(log_weight, 0).detach()
            if z.requires_grad:
                z.register_hook(lambda gradient: gradient * weight[..., None])
            loss = -(weight * log_weight).sum(0).mean()
        else:
            loss = -(torch.logsumexp(log_weight, 0) - math.log(len(eps))).mean()
        return loss, -log_likelihood.detach().mean(0).sum(), divergence.detach().mean(0).sum()
