"""p(z): N(0, I), a mixture of Gaussians, and the VampPrior, which training's end freezes to such a mixture."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]


class Mixture(NamedTuple):
    """A mixture of K diagonal Gaussians over z.

    Attributes:
        log_weights: (K,), normalised.
        mean: (K, latent).
        log_var: (K, latent).
    """

    log_weights: Tensor
    mean: Tensor
    log_var: Tensor

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z) in nats, (...,), for z (..., latent).

        The squares are multiplied out, so that the K distances of each z are two matrix products; in float64 that
        is exact enough to publish, in float32 to train.
        """
        with torch.autocast(z.device.type, enabled=False):  # half precision would lose what the squares cancel to
            precision = torch.exp(-self.log_var)
            constant = self.log_weights - 0.5 * (
                self.log_var.sum(1) + (self.mean.square() * precision).sum(1) + z.shape[-1] * math.log(2 * math.pi)
            )
            exponent = z @ (self.mean * precision).T - 0.5 * (z.square() @ precision.T)
            return torch.logsumexp(constant + exponent, -1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Choose a component by its weight, then draw from it; (n, latent)."""
        chosen = torch.multinomial(self.log_weights.exp(), n, replacement=True, generator=generator)
        mean, log_var = self.mean[chosen], self.log_var[chosen]
        return mean + torch.exp(0.5 * log_var) * torch.randn(mean.shape, generator=generator)


class StandardNormal(nn.Module):
    """N(0, I)."""

    name = "standard_normal"

    def __init__(self, latent: int) -> None:
        """Remember the size of z."""
        super().__init__()
        self.latent = latent

    def log_prob(self, z: Tensor, encode: Encode) -> Tensor:
        """Return log p(z) in nats, (...,), for z (..., latent); the encoder is not used."""
        del encode
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)

    def sample(self, n: int, encode: Encode, generator: torch.Generator) -> Tensor:
        """Draw z, (n, latent); the encoder is not used."""
        del encode
        return torch.randn(n, self.latent, generator=generator)


class _MixturePrior(nn.Module):
    """What the two mixtures share: they differ in where the mixture comes from."""

    def mixture(self, encode: Encode) -> Mixture:
        """Return the mixture as it stands, which is what sampling needs once training has ended."""
        raise NotImplementedError

    def log_prob(self, z: Tensor, encode: Encode) -> Tensor:
        """Return log p(z) in nats, (...,), for z (..., latent)."""
        return self.mixture(encode).log_prob(z)

    def sample(self, n: int, encode: Encode, generator: torch.Generator) -> Tensor:
        """Draw z, (n, latent)."""
        return self.mixture(encode).sample(n, generator)


class MixturePrior(_MixturePrior):
    """A mixture of Gaussians with free weights, means and variances."""

    name = "mixture"

    def __init__(self, components: int, latent: int) -> None:
        """Spread the means as N(0, I) is spread.

        Args:
            components: how many Gaussians.
            latent: size of z.
        """
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.mean = nn.Parameter(torch.randn(components, latent))
        self.log_var = nn.Parameter(torch.zeros(components, latent))

    def mixture(self, encode: Encode) -> Mixture:
        """Return the mixture as it stands; the encoder is not used."""
        del encode
        return Mixture(self.logits.log_softmax(0), self.mean, self.log_var)


class VampPrior(_MixturePrior):
    """The mixture of the posteriors of learned pseudo-inputs (Tomczak & Welling 2018), with learned weights."""

    name = "vamp"

    def __init__(self, pseudo_inputs: Tensor) -> None:
        """Start at the given pseudo-inputs.

        Args:
            pseudo_inputs: (K, *input_shape), for example items of the training set, in [0, 1].
        """
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(len(pseudo_inputs)))
        self.pseudo_inputs = nn.Parameter(pseudo_inputs.clone())

    def mixture(self, encode: Encode) -> Mixture:
        """Return the posteriors of the pseudo-inputs as a mixture."""
        mean, log_var = encode(self.pseudo_inputs.clamp(0, 1))
        return Mixture(self.logits.log_softmax(0), mean, log_var)


Prior = StandardNormal | MixturePrior | VampPrior
PRIORS = (StandardNormal.name, MixturePrior.name, VampPrior.name)
