"""The variational autoencoder: inference, generative, and the terms of its bounds (Kingma & Welling 2014)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vaedge_train.model.likelihoods import Likelihood
from vaedge_train.model.priors import Prior, StandardNormal


@dataclass(frozen=True)
class Elbo:
    """The evidence lower bound and its two terms, in nats per item.

    Attributes:
        distortion: (n,), the Monte Carlo estimate of -E_q[log p(x|z)].
        rate: (n,), KL(q(z|x) || p(z)): in closed form for N(0, I), else estimated from the same draws.
    """

    distortion: Tensor
    rate: Tensor

    @property
    def elbo(self) -> Tensor:
        """(n,): -(distortion + rate), a lower bound on log p(x)."""
        return -(self.distortion + self.rate)


class VAE(nn.Module):
    """q(z|x) = N(mean(x), diag(exp(log_var(x)))), p(z) of any prior, and p(x|z) of any likelihood."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood, prior: Prior) -> None:
        """Tie the networks. A conditional model's take each item's class y as a second argument.

        Args:
            encoder: x -> (mean, log_var).
            decoder: z -> the likelihood's parameters, a tensor or a tuple of them.
            likelihood: p(x|z).
            prior: p(z).
        """
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.prior = prior

    def inference(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log_var of q(z|x), each (n, latent) float32, for x (n, *input_shape) and y (n,)."""
        mean, log_var = self.encoder(x) if y is None else self.encoder(x, y)
        return mean.float(), log_var.float()

    def generative(self, z: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the parameters of p(x|z), each (..., n, *input_shape) float32, for z (..., n, latent) and y (n,)."""
        rows = z.reshape(-1, z.shape[-1])
        parameters = self.decoder(rows) if y is None else self.decoder(rows, y.expand(z.shape[:-1]).reshape(-1))
        parameters = (parameters,) if isinstance(parameters, Tensor) else parameters
        return tuple(parameter.float().unflatten(0, z.shape[:-1]) for parameter in parameters)

    def elbo(self, x: Tensor, eps: Tensor, y: Tensor | None = None) -> Elbo:
        """Estimate the ELBO at beta = 1, the same in training and evaluation.

        Args:
            x: (n, *input_shape).
            eps: (L, n, latent), draws of N(0, 1); L is the number of Monte Carlo samples.
            y: (n,) int64, of a conditional model.
        """
        mean, log_var = self.inference(x, y)
        z = mean + eps * torch.exp(0.5 * log_var)
        distortion = -self.likelihood.log_prob(x, *self.generative(z, y)).mean(0)
        if isinstance(self.prior, StandardNormal):
            return Elbo(distortion, kl_to_standard_normal(mean, log_var))
        rate = gaussian_log_prob(z, mean, log_var) - self.prior.log_prob(z, self.inference)
        return Elbo(distortion, rate.mean(0))

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the mean of p(x|z) at the posterior's mean, for x (n, *input_shape) and y (n,)."""
        mean, _ = self.inference(x, y)
        return self.likelihood.mean(*self.generative(mean, y))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator, y: Tensor | None = None) -> Tensor:
        """Draw z from the prior and return the means of p(x|z), (n, *input_shape), for y (n,)."""
        z = self.prior.sample(n, self.inference, generator)
        return self.likelihood.mean(*self.generative(z, y))


def kl_to_standard_normal(mean: Tensor, log_var: Tensor) -> Tensor:
    """Return KL(N(mean, diag(exp(log_var))) || N(0, I)) in nats, summed over all but the batch axis.

    (Kingma & Welling 2014, appendix B; expm1 keeps the digits near log_var = 0.)
    """
    return 0.5 * (mean.square() + torch.expm1(log_var) - log_var).flatten(1).sum(1)


def gaussian_log_prob(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Return log N(z; mean, diag(exp(log_var))) in nats, (..., n), for z (..., n, latent) and mean (n, latent)."""
    squares = (z - mean).square() * torch.exp(-log_var)
    return -0.5 * (squares + log_var + math.log(2 * math.pi)).sum(-1)
