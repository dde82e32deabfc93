"""The variational autoencoder, and the terms of its bounds on log p(x) (Kingma & Welling 2014)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vaedge_train.model.gaussian import gaussian_log_prob, reparameterize
from vaedge_train.model.likelihoods import Likelihood
from vaedge_train.model.priors import FrozenPrior, Prior
from vaedge_train.model.standardization import Standardization


@dataclass(frozen=True)
class Terms:
    """The log-probabilities, in nats, from which every bound on log p(x) is computed.

    There are n examples, and L draws z ~ q(z|x) for each example.

    Attributes:
        log_likelihood: (L, n), log p(x|z).
        log_posterior: (L, n), log q(z|x).
        log_prior: (L, n), log p(z).
        kl: (n,), KL(q(z|x) || p(z)) in closed form, or None if it must be estimated from the draws.
        z: (L, n, latent), the draws.
    """

    log_likelihood: Tensor
    log_posterior: Tensor
    log_prior: Tensor
    kl: Tensor | None
    z: Tensor

    @property
    def distortion(self) -> Tensor:
        """The reconstruction error -E_q[log p(x|z)], estimated from the draws: (n,) in nats."""
        return -self.log_likelihood.mean(0)

    @property
    def log_ratio(self) -> Tensor:
        """The log-ratio log q(z|x) - log p(z), (L, n) in nats. Its mean over the draws estimates the KL divergence."""
        return self.log_posterior - self.log_prior

    @property
    def rate(self) -> Tensor:
        """The KL divergence KL(q(z|x) || p(z)), in closed form or estimated from the draws: (n,) in nats."""
        return self.log_ratio.mean(0) if self.kl is None else self.kl

    @property
    def elbo(self) -> Tensor:
        """The evidence lower bound, -(distortion + rate): (n,) in nats."""
        return -(self.distortion + self.rate)

    @property
    def log_weight(self) -> Tensor:
        """The logarithm of the importance weight p(x|z) p(z) / q(z|x): (L, n) in nats."""
        return self.log_likelihood + self.log_prior - self.log_posterior


class VAE(nn.Module):
    """A VAE with q(z|x) = N(mean(x), diag(exp(log_var(x)))), any likelihood p(x|z) and any prior p(z).

    With a standardization, the networks compute in standardized units. All public methods take and return values in the
    units of the data, and the log-densities of x refer to these units.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        prior: Prior,
        standardization: Standardization | None = None,
    ) -> None:
        """Combine the parts. The networks of a conditional model take the class y as a second argument.

        Args:
            encoder: x in standardized units -> (mean, log_var).
            decoder: z -> the parameters of the likelihood in standardized units, a tensor or a tuple of tensors.
            likelihood: p(x|z).
            prior: p(z). The pseudo-inputs of a VampPrior are in standardized units.
            standardization: The map to standardized units, which needs a likelihood with the parameters loc and
                log_scale. None if the networks compute in the units of the data.
        """
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.prior = prior
        self.standardization = standardization

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    def inference(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the mean and log_var of q(z|x).

        Args:
            x: (n, *input_shape) float32.
            y: (n,) int64, the class of each example, for a conditional model.

        Returns:
            Two (n, latent) float32 tensors.
        """
        return self._encode(self._standardized(x), y)

    def generative(self, z: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the parameters of p(x|z).

        Args:
            z: (..., n, latent).
            y: (n,) int64, the class of each example, for a conditional model.

        Returns:
            One (..., n, *input_shape) float32 tensor for each parameter of the likelihood, clamped to its limits.
        """
        parameters = self.likelihood.bounded(*self._decode(z, y))
        return parameters if self.standardization is None else self.standardization.to_data(*parameters)

    def frozen_prior(self) -> FrozenPrior:
        """Return a copy of the prior. The copy has constant parameters, and does not depend on the encoder."""
        return self.prior.frozen(self._encode)

    def forward(self, x: Tensor, eps: Tensor, y: Tensor | None = None, *, path_gradient: bool = False) -> Terms:
        """Draw z from q(z|x) and return the terms of the bounds.

        Args:
            x: (n, *input_shape).
            eps: (L, n, latent), draws from N(0, 1); L is the number of draws of z for each example.
            y: (n,) int64, the class of each example, for a conditional model.
            path_gradient: Whether to stop the gradient that flows into the encoder through the density log q(z|x).
                Only the path through z then remains, and the KL divergence is estimated from the draws.
        """
        mean, log_var = self.inference(x, y)
        z = reparameterize(mean, log_var, eps)
        if path_gradient:
            mean, log_var = mean.detach(), log_var.detach()
        return self.terms(x, z, mean, log_var, y, closed_form=not path_gradient)

    def terms(
        self, x: Tensor, z: Tensor, mean: Tensor, log_var: Tensor, y: Tensor | None = None, *, closed_form: bool = True
    ) -> Terms:
        """Return the terms of the bounds at given draws of z.

        The decoder computes in the type of x. The densities over z are computed in the type of z: float32 in training,
        and float64 in `evaluate`.

        Args:
            x: (n, *input_shape).
            z: (L, n, latent), draws from q(z|x).
            mean: (n, latent), the mean of q(z|x).
            log_var: (n, latent), the log-variance of q(z|x).
            y: (n,) int64, the class of each example, for a conditional model.
            closed_form: Whether to compute the KL divergence in closed form, if the prior has a closed form.
        """
        log_likelihood = self.likelihood.log_prob(self._standardized(x), *self._decode(z.to(x.dtype), y))
        if self.standardization is not None:
            log_likelihood = log_likelihood - self.standardization.log_volume(x.shape[1:])
        return Terms(
            log_likelihood=log_likelihood,
            log_posterior=gaussian_log_prob(z, mean, log_var),
            log_prior=self.prior.log_prob(z, self._encode),
            kl=self.prior.kl(mean, log_var) if closed_form else None,
            z=z,
        )

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Encode x to the mean of q(z|x), and return the mean of p(x|z) for this z.

        Args:
            x: (n, *input_shape) float32.
            y: (n,) int64, the class of each example, for a conditional model.

        Returns:
            (n, *input_shape) float32.
        """
        mean, _ = self.inference(x, y)
        return self.likelihood.mean(*self.generative(mean, y))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator, y: Tensor | None = None) -> Tensor:
        """Draw n latents z from the prior, and return the means of p(x|z).

        Args:
            n: Number of draws.
            generator: Source of the random numbers.
            y: (n,) int64, the class of each draw, for a conditional model.

        Returns:
            (n, *input_shape) float32.
        """
        z = self.prior.sample(n, self._encode, generator)
        return self.likelihood.mean(*self.generative(z, y))

    def _standardized(self, x: Tensor) -> Tensor:
        standardized: Tensor = x if self.standardization is None else self.standardization(x)
        return standardized

    def _encode(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log_var of q(z|x), for x in standardized units."""
        mean, log_var = self.encoder(x) if y is None else self.encoder(x, y)
        return mean.float(), log_var.float()

    def _decode(self, z: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the parameters of p(x|z) in standardized units."""
        rows = z.reshape(-1, z.shape[-1])
        parameters = self.decoder(rows) if y is None else self.decoder(rows, y.expand(z.shape[:-1]).reshape(-1))
        parameters = (parameters,) if isinstance(parameters, Tensor) else parameters
        return tuple(parameter.float().unflatten(0, z.shape[:-1]) for parameter in parameters)
