"""p(x|z): each likelihood names its parameters and gives log-probability and mean. All in nats."""

from collections.abc import Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Likelihood(Protocol):
    """What training and export need to know of p(x|z).

    Attributes:
        name: as it stands in configurations and manifests.
        parameters: names of the decoder's outputs, in order.
    """

    name: str
    parameters: tuple[str, ...]

    def log_prob(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return log p(x|z) summed over each item: x (..., *item) and parameters alike -> the leading axes."""

    def mean(self, *parameters: Tensor) -> Tensor:
        """Return the mean of p(x|z), ready to show, in the shape of x."""

    def of_mean(self, mean: Tensor) -> Tensor:
        """Return the parameter at which p(x|z) has about this mean, in its shape, where training may start."""

    def refusal(self, x: Tensor) -> str | None:
        """Say why data x cannot be scored, or None where it can; x as the trainer feeds it."""


class Bernoulli:
    """p(x|z) of binary x: log p = x * logits - softplus(logits), which is stable for any logits."""

    name: str = "bernoulli"
    parameters: tuple[str, ...] = ("logits",)

    def log_prob(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return the sum over each item's elements; `x` (..., *item) in {0, 1}, one `logits` of x's shape."""
        (logits,) = parameters
        if logits.shape[-x.ndim :] != x.shape:
            raise ValueError(f"x has shape {tuple(x.shape)}, which logits {tuple(logits.shape)} do not end in")
        # Written for x of any shape that broadcasts over the draws of z in front.
        cross_entropy = F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
        return -cross_entropy.flatten(logits.ndim - x.ndim + 1).sum(-1)

    def mean(self, *parameters: Tensor) -> Tensor:
        """Return sigmoid(logits), the probability of 1."""
        return torch.sigmoid(parameters[0])

    def of_mean(self, mean: Tensor) -> Tensor:
        """Return logit(mean), with the mean kept off 0 and 1, where it is infinite."""
        return torch.logit(mean, eps=1e-3)

    def refusal(self, x: Tensor) -> str | None:
        """Refuse x outside {0, 1}."""
        if bool(((x == 0) | (x == 1)).all()):
            return None
        return "a Bernoulli is a distribution of 0 and 1, and this data has other values: use likelihood bce_surrogate"


class BceSurrogate(Bernoulli):
    """The Bernoulli's formula on grey levels in [0, 1]: the usual cross-entropy loss.

    It is not a likelihood, for it does not integrate to one over [0, 1] (Loaiza-Ganem & Cunningham 2019), so
    figures under it compare only with figures under it.
    """

    name = "bce_surrogate"

    def refusal(self, x: Tensor) -> str | None:
        """Refuse x outside [0, 1], and NaN."""
        if bool(((x >= 0) & (x <= 1)).all()):
            return None
        return "bce_surrogate takes values from 0 to 1, and this data has others"


LIKELIHOODS: Mapping[str, Likelihood] = {likelihood.name: likelihood for likelihood in (Bernoulli(), BceSurrogate())}
