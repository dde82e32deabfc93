"""The priors p(z): N(0, I), a mixture of Gaussians, and the VampPrior.

The methods of a prior take the encoder as an argument, because the encoder computes the components of the VampPrior.
`frozen` returns a prior that no longer depends on the encoder. Evaluation and the export use the frozen prior.
"""

import copy
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

import vaedge.distributions.prior as runtime
from vaedge_train.model.gaussian import kl_to_standard_normal

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]


class Prior(nn.Module):
    """A prior p(z).

    Attributes:
        name: Name of the prior in a configuration.
    """

    name: str

    @abstractmethod
    def log_prob(self, z: Tensor, encode: Encode) -> Tensor:
        """Return log p(z).

        Args:
            z: (..., latent).
            encode: The encoder, x -> (mean, log_var).

        Returns:
            (...,), in nats.
        """

    @abstractmethod
    def sample(self, n: int, encode: Encode, generator: torch.Generator) -> Tensor:
        """Draw n latent vectors, (n, latent) float32.

        Args:
            n: Number of draws.
            encode: The encoder, x -> (mean, log_var).
            generator: Source of the random numbers.
        """

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor | None:
        """Return KL(N(mean, diag(exp(log_var))) || p(z)) in closed form, or None if it has no closed form.

        Args:
            mean: (n, latent).
            log_var: (n, latent).

        Returns:
            (n,), in nats, or None. If the result is None, the caller estimates the divergence from draws.
        """
        del mean, log_var
        return None

    @abstractmethod
    def frozen(self, encode: Encode) -> "FrozenPrior":
        """Return a prior that has the same density, but does not use the encoder.

        Args:
            encode: The trained encoder, x -> (mean, log_var).
        """


class FrozenPrior(Prior):
    """A prior that does not depend on the encoder. `to_runtime` converts it to a prior of the package `vaedge`."""

    def frozen(self, encode: Encode) -> "FrozenPrior":
        """Return a copy without gradients. A conversion of the copy to float64 does not change the trained prior."""
        del encode
        return copy.deepcopy(self).requires_grad_(False)

    @abstractmethod
    def to_runtime(self) -> runtime.Prior:
        """Return the prior of the package `vaedge` with the same density."""


class StandardNormal(FrozenPrior):
    """N(0, I)."""

    name = "standard_normal"

    def __init__(self, latent: int) -> None:
        """Store the size of z."""
        super().__init__()
        self.latent = latent

    def log_prob(self, z: Tensor, encode: Encode) -> Tensor:
        """Return log p(z), (...,) in nats, for z (..., latent)."""
        del encode
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)

    def sample(self, n: int, encode: Encode, generator: torch.Generator) -> Tensor:
        """Draw n latent vectors, (n, latent) float32."""
        del encode
        return torch.randn(n, self.latent, generator=generator, device=generator.device)

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """Return the KL divergence in closed form, (n,) in nats."""
        return kl_to_standard_normal(mean, log_var)

    def to_runtime(self) -> runtime.StandardNormal:
        """Return N(0, I) as a prior of the package `vaedge`."""
        return runtime.StandardNormal((self.latent,))


class _Components(NamedTuple):
    """The parameters of a mixture of K diagonal Gaussians.

    Attributes:
        log_weights: (K,), logarithms of weights that sum to 1.
        mean: (K, latent).
        log_var: (K, latent).
    """

    log_weights: Tensor
    mean: Tensor
    log_var: Tensor


class _GaussianMixture(Prior):
    """A mixture of K diagonal Gaussians. The subclasses differ in the origin of the components."""

    @abstractmethod
    def components(self, encode: Encode) -> _Components:
        """Return the current components."""

    def log_prob(self, z: Tensor, encode: Encode) -> Tensor:
        """Return log p(z), (...,) in nats, for z (..., latent).

        The squared distances from z to the K means are expanded, so that two matrix products compute all of them. In
        float32 the result is accurate enough for training. Published metrics need float64.
        """
        log_weights, mean, log_var = self.components(encode)
        with torch.autocast(z.device.type, enabled=False):  # half precision is too inexact, because large terms cancel
            precision = torch.exp(-log_var)
            constant = log_weights - 0.5 * (
                log_var.sum(1) + (mean.square() * precision).sum(1) + z.shape[-1] * math.log(2 * math.pi)
            )
            exponent = z @ (mean * precision).T - 0.5 * (z.square() @ precision.T)
            return torch.logsumexp(constant + exponent, -1)

    def sample(self, n: int, encode: Encode, generator: torch.Generator) -> Tensor:
        """Draw n latent vectors, (n, latent): for each one, draw a component by weight, then z from this component."""
        log_weights, means, log_vars = self.components(encode)
        chosen = torch.multinomial(log_weights.exp(), n, replacement=True, generator=generator)
        mean, log_var = means[chosen], log_vars[chosen]
        return mean + torch.exp(0.5 * log_var) * torch.randn(mean.shape, generator=generator, device=generator.device)

    def frozen(self, encode: Encode) -> "FrozenMixture":
        """Return a mixture with the current components as constants."""
        return FrozenMixture(*(tensor.detach().clone() for tensor in self.components(encode)))


class FrozenMixture(_GaussianMixture, FrozenPrior):
    """A mixture of Gaussians with constant components, made from a trained prior."""

    log_weights: Tensor
    mean: Tensor
    log_var: Tensor

    def __init__(self, log_weights: Tensor, mean: Tensor, log_var: Tensor) -> None:
        """Store the components.

        Args:
            log_weights: (K,), logarithms of weights that sum to 1.
            mean: (K, latent).
            log_var: (K, latent).
        """
        super().__init__()
        self.register_buffer("log_weights", log_weights)
        self.register_buffer("mean", mean)
        self.register_buffer("log_var", log_var)

    def components(self, encode: Encode) -> _Components:
        """Return the constant components."""
        del encode
        return _Components(self.log_weights, self.mean, self.log_var)

    def to_runtime(self) -> runtime.Mixture:
        """Return the mixture of the package `vaedge` with the same components."""
        return runtime.Mixture.from_parameters(self.log_weights.numpy(), self.mean.numpy(), self.log_var.numpy())


class MixturePrior(_GaussianMixture):
    """A mixture of Gaussians with learned weights, means and variances."""

    name = "mixture"

    def __init__(self, components: int, latent: int) -> None:
        """Draw the initial means from N(0, I), with equal weights and unit variances.

        Args:
            components: Number of Gaussians.
            latent: Size of z.
        """
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.mean = nn.Parameter(torch.randn(components, latent))
        self.log_var = nn.Parameter(torch.zeros(components, latent))

    def components(self, encode: Encode) -> _Components:
        """Return the learned components."""
        del encode
        return _Components(self.logits.log_softmax(0), self.mean, self.log_var)


class VampPrior(_GaussianMixture):
    """The mixture of the posteriors of learned pseudo-inputs, with learned weights (Tomczak & Welling 2018)."""

    name = "vamp"

    def __init__(self, pseudo_inputs: Tensor, value_range: tuple[float, float] | None) -> None:
        """Store the initial pseudo-inputs, with equal weights.

        Args:
            pseudo_inputs: (K, *input_shape), for example the first examples of the training set. They are standardized
                if the encoder takes standardized data.
            value_range: Minimum and maximum of the data, to which the pseudo-inputs are clamped. None means no limits.
        """
        super().__init__()
        self.value_range = value_range
        self.logits = nn.Parameter(torch.zeros(len(pseudo_inputs)))
        self.pseudo_inputs = nn.Parameter(pseudo_inputs.clone())

    def components(self, encode: Encode) -> _Components:
        """Return the posteriors of the pseudo-inputs."""
        pseudo_inputs = self.pseudo_inputs if self.value_range is None else self.pseudo_inputs.clamp(*self.value_range)
        mean, log_var = encode(pseudo_inputs)
        return _Components(self.logits.log_softmax(0), mean, log_var)


PRIORS = (StandardNormal.name, MixturePrior.name, VampPrior.name)
