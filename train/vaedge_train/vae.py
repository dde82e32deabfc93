"""The variational autoencoder: inference, generative, and the ELBO that ties them (Kingma & Welling 2014)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vaedge_train.likelihoods import Likelihood


@dataclass(frozen=True)
class Elbo:
    """The evidence lower bound and its two terms, in nats per item.

    Attributes:
        distortion: (n,), the L-sample Monte Carlo estimate of -E_q[log p(x|z)].
        rate: (n,), KL(q(z|x) || p(z)), in closed form.
    """

    distortion: Tensor
    rate: Tensor

    @property
    def elbo(self) -> Tensor:
        """(n,): -(distortion + rate), a lower bound on log p(x)."""
        return -(self.distortion + self.rate)


class VAE(nn.Module):
    """p(z) = N(0, I), q(z|x) = N(mean(x), diag(exp(log_var(x)))), and p(x|z) of any likelihood."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood) -> None:
        """Tie the two networks.

        Args:
            encoder: x -> (mean, log_var).
            decoder: z -> the likelihood's parameters, a tensor or a tuple of them.
            likelihood: p(x|z).
        """
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood

    def inference(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log_var of q(z|x), each (n, latent), for x (n, *input_shape)."""
        mean, log_var = self.encoder(x)
        return mean, log_var

    def generative(self, z: Tensor) -> tuple[Tensor, ...]:
        """Return the parameters of p(x|z), each (n, *input_shape), for z (n, latent)."""
        parameters = self.decoder(z)
        return (parameters,) if isinstance(parameters, Tensor) else tuple(parameters)

    def forward(self, x: Tensor, eps: Tensor) -> Elbo:
        """Estimate the ELBO (Kingma & Welling 2014, equation 10). The same in training and evaluation.

        Args:
            x: (n, *input_shape).
            eps: (L, n, latent), draws of N(0, 1); L is the number of Monte Carlo samples.
        """
        mean, log_var = self.inference(x)
        z = mean + eps * torch.exp(0.5 * log_var)
        parameters = self.generative(z.flatten(0, 1))
        drawn = [parameter.unflatten(0, eps.shape[:2]) for parameter in parameters]
        return Elbo(
            distortion=-self.likelihood.log_prob(x, *drawn).mean(0),
            rate=kl_to_standard_normal(mean, log_var),
        )

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x|z) at the posterior's mean, for x (n, *input_shape)."""
        return self.likelihood.mean(*self.generative(self.inference(x)[0]))

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Return the mean of p(x|z), (n, *input_shape), for z (n, latent)."""
        return self.likelihood.mean(*self.generative(z))


def kl_to_standard_normal(mean: Tensor, log_var: Tensor) -> Tensor:
    """Return KL(N(mean, diag(exp(log_var))) || N(0, I)) in nats, summed over all but the batch axis.

    (Kingma & Welling 2014, appendix B; expm1 keeps the digits near log_var = 0.)
    """
    return 0.5 * (mean.square() + torch.expm1(log_var) - log_var).flatten(1).sum(1)
