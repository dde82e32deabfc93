"""The likelihoods p(x|z): parameters, log-probability in nats, and mean.

The decoder returns the parameters in the order of `Likelihood.parameters`. Each parameter has the shape of x. Further
axes, such as one for several draws of z, may precede the axes of x.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Likelihood:
    """A distribution p(x|z) of independent elements.

    Attributes:
        name: Name of the likelihood in configurations and manifests.
        parameters: Names of the decoder's outputs, in order.
        support: Minimum and maximum of x, or None if every finite value is allowed.
        is_8_bit: Whether p(x|z) is a probability of 8-bit values. Bounds are then also reported in bits per dimension.
    """

    name: str
    parameters: tuple[str, ...]
    support: tuple[float, float] | None = (0.0, 1.0)
    is_8_bit: bool = False

    def log_prob(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return log p(x|z), summed over the elements of each example.

        Args:
            x: (n, *input_shape).
            parameters: One (..., n, *input_shape) tensor for each parameter.

        Returns:
            (..., n), in nats.

        Raises:
            ValueError: The last axes of a parameter differ from the shape of x.
        """
        for parameter in parameters:
            if parameter.shape[-x.ndim :] != x.shape:
                raise ValueError(
                    f"a parameter of p(x|z) has shape {tuple(parameter.shape)}; expected it to end with the shape of "
                    f"x, {tuple(x.shape)}"
                )
        leading = parameters[0].ndim - x.ndim
        return self.element_log_prob(x.expand_as(parameters[0]), *parameters).flatten(leading + 1).sum(-1)

    @abstractmethod
    def element_log_prob(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return the log-probability of each element of x, in nats; all tensors have the same shape."""

    @abstractmethod
    def mean(self, *parameters: Tensor) -> Tensor:
        """Return the mean of p(x|z), in the shape of the parameters."""

    def bounded(self, *parameters: Tensor) -> tuple[Tensor, ...]:
        """Return the parameters, clamped to the limits of the likelihood. Exported graphs contain this clamp."""
        return parameters

    @abstractmethod
    def at_mean(self, mean: Tensor) -> tuple[Tensor, ...]:
        """Return parameters for the start of training. The mean of p(x|z) is then about the given mean.

        Args:
            mean: Tensor of any shape, with values in the support.

        Returns:
            One tensor with the shape of `mean` for each parameter.
        """

    def refusal(self, x: Tensor) -> str | None:
        """Return the reason why the likelihood cannot score x (of any shape), or None if it can score x."""
        if not bool(x.isfinite().all()):
            return "the data contains NaN or infinity"
        if self.support is not None:
            low, high = self.support
            if not bool(((x >= low) & (x <= high)).all()):
                return (
                    f"the data has values outside the range from {low:g} to {high:g} of {self.name}; for tables, use "
                    "the likelihood gaussian; for 8-bit images, store the values as uint8"
                )
        return None


class Bernoulli(Likelihood):
    """The likelihood of binary x: log p(x|z) = x * logits - softplus(logits). The result is accurate for all logits."""

    name = "bernoulli"
    parameters = ("logits",)

    def element_log_prob(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return the log-probability of each element, for x in {0, 1}."""
        return -F.binary_cross_entropy_with_logits(parameters[0], x, reduction="none")

    def mean(self, *parameters: Tensor) -> Tensor:
        """Return sigmoid(logits), the probability of 1."""
        return torch.sigmoid(parameters[0])

    def at_mean(self, mean: Tensor) -> tuple[Tensor, ...]:
        """Return logit(mean). Means are clamped to [0.001, 0.999], because logit(0) and logit(1) are infinite."""
        return (torch.logit(mean, eps=1e-3),)

    def refusal(self, x: Tensor) -> str | None:
        """Return a reason if x has values other than 0 and 1, otherwise None."""
        if bool(((x == 0) | (x == 1)).all()):
            return None
        return (
            "a Bernoulli likelihood takes only the values 0 and 1, but the data has other values: binarize the data "
            "(--binarize dynamic), or use the likelihood bce_surrogate or continuous_bernoulli"
        )


class BceSurrogate(Bernoulli):
    """The Bernoulli formula, applied to gray levels in [0, 1]: the usual cross-entropy loss.

    This loss is common, but it is not a normalized likelihood: its exponential does not integrate to one over [0, 1]
    (Loaiza-Ganem & Cunningham 2019). Metrics of this loss are comparable only to metrics of the same loss.
    """

    name = "bce_surrogate"

    def refusal(self, x: Tensor) -> str | None:
        """Return a reason if x has NaN or values outside [0, 1], otherwise None."""
        return Likelihood.refusal(self, x)


class ContinuousBernoulli(Likelihood):
    """The likelihood of x in [0, 1]: the Bernoulli formula, normalized to a density (Loaiza-Ganem & Cunningham 2019).

    For logits l, the logarithm of the normalizing constant is log(l / tanh(l / 2)). The mean is
    1 / (1 - exp(-l)) - 1 / l, and not sigmoid(l). At l = 0 both formulas divide by zero, so Taylor series replace them
    for l near 0. `torch.where` chooses between formula and series. In the formulas, an l near 0 is first replaced by 1.
    Otherwise, the gradient of the formulas would be NaN there, and the gradient of `torch.where` would be NaN, too.
    """

    name = "continuous_bernoulli"
    parameters = ("logits",)
    _NEAR_ZERO = 0.1

    def element_log_prob(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return the logarithm of the density of each element, for x in [0, 1]."""
        (logits,) = parameters
        near = logits.abs() < self._NEAR_ZERO
        far = torch.where(near, torch.ones_like(logits), logits).abs()
        series = math.log(2) + logits.square() / 12 - 7 * logits.pow(4) / 1440
        log_constant = torch.where(near, series, far.log() - torch.tanh(far / 2).log())
        return log_constant - F.binary_cross_entropy_with_logits(logits, x, reduction="none")

    def mean(self, *parameters: Tensor) -> Tensor:
        """Return the mean, between 0 and 1."""
        (logits,) = parameters
        near = logits.abs() < self._NEAR_ZERO
        far = torch.where(near, torch.ones_like(logits), logits)
        series = 0.5 + logits / 12 - logits.pow(3) / 720
        # 1 / (1 - exp(-l)) is written as (1 + 1 / tanh(l / 2)) / 2, which does not overflow.
        return torch.where(near, series, 0.5 + 0.5 / torch.tanh(far / 2) - 1 / far)

    def at_mean(self, mean: Tensor) -> tuple[Tensor, ...]:
        """Return approximate logits: 2 - 1 / mean if the mean is below 1/2, otherwise 1 / (1 - mean) - 2.

        Means are first clamped to [0.02, 0.98].
        """
        mean = mean.clamp(0.02, 0.98)
        return (torch.where(mean < 0.5, -1 / mean + 2, 1 / (1 - mean) - 2),)


class Gaussian(Likelihood):
    """The likelihood of any real x: N(loc, exp(log_scale)^2).

    log_scale is clamped. Otherwise, the density of an element with the same value in all examples would grow without
    limit. The lower limit comes from the sigma-VAE (Rybkin et al. 2021).
    """

    name = "gaussian"
    parameters = ("loc", "log_scale")
    support = None
    _LOG_SCALE_RANGE = (-6.0, 10.0)

    def bounded(self, *parameters: Tensor) -> tuple[Tensor, ...]:
        """Return loc, and log_scale clamped to its range."""
        loc, log_scale = parameters
        return loc, log_scale.clamp(*self._LOG_SCALE_RANGE)

    def element_log_prob(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return the logarithm of the density of each element."""
        loc, log_scale = self.bounded(*parameters)
        return -0.5 * ((x - loc) * torch.exp(-log_scale)).square() - log_scale - _HALF_LOG_2PI

    def mean(self, *parameters: Tensor) -> Tensor:
        """Return a copy of loc."""
        # The exported decoder returns the mean and loc, and an ONNX output must not be an alias of another output.
        return parameters[0] * 1

    def at_mean(self, mean: Tensor) -> tuple[Tensor, ...]:
        """Return loc = mean and log_scale = 0, a scale of 1."""
        return mean, torch.zeros_like(mean)


class DiscretizedLogistic(Likelihood):
    """The likelihood of 8-bit x in {0, 1/255, ..., 1}: the mass of a logistic distribution in 256 bins.

    See Salimans et al. 2017. The first and the last bin extend to infinity. S is the sigmoid. Let a and b be the
    edges of a bin, minus loc and divided by the scale. The mass of the bin is
    S(b) - S(a) = S(b) S(-a) (1 - exp(a - b)). The logarithm of the product is accurate, because `expm1` computes the
    last factor.
    """

    name = "discretized_logistic"
    parameters = ("loc", "log_scale")
    is_8_bit = True
    _HALF_BIN = 0.5 / 255
    _LOG_SCALE_RANGE = (-8.0, 8.0)

    def bounded(self, *parameters: Tensor) -> tuple[Tensor, ...]:
        """Return loc, and log_scale clamped to its range."""
        loc, log_scale = parameters
        return loc, log_scale.clamp(*self._LOG_SCALE_RANGE)

    def element_log_prob(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return the log-probability of each element, for x in {0, 1/255, ..., 1}."""
        loc, log_scale = self.bounded(*parameters)
        inverse_scale = torch.exp(-log_scale)
        upper = (x + self._HALF_BIN - loc) * inverse_scale
        lower = (x - self._HALF_BIN - loc) * inverse_scale
        log_below_upper, log_above_lower = F.logsigmoid(upper), F.logsigmoid(-lower)
        log_width = torch.log(-torch.expm1(-2 * self._HALF_BIN * inverse_scale))
        inside = log_below_upper + log_above_lower + log_width
        at_ends = torch.where(x < self._HALF_BIN, log_below_upper, log_above_lower)
        return torch.where((x < self._HALF_BIN) | (x > 1 - self._HALF_BIN), at_ends, inside)

    def mean(self, *parameters: Tensor) -> Tensor:
        """Return the mean of a logistic variable that is clipped to [0, 1].

        This mean differs from the mean over the 256 bins by O(width^2), where width is the width of a bin.
        """
        loc, log_scale = self.bounded(*parameters)
        scale = torch.exp(log_scale)
        return (scale * (F.softplus(loc / scale) - F.softplus((loc - 1) / scale))).clamp(0, 1)

    def at_mean(self, mean: Tensor) -> tuple[Tensor, ...]:
        """Return loc = mean and log_scale = -2.5, a scale of about a tenth of the range of x."""
        return mean, torch.full_like(mean, -2.5)

    def refusal(self, x: Tensor) -> str | None:
        """Return a reason if x has values other than the 256 levels 0, 1/255, ..., 1, otherwise None."""
        reason = super().refusal(x)
        if reason is None and not bool(((x * 255).round() - x * 255).abs().max() < 1e-3):
            return "discretized_logistic takes 8-bit images, but the data has values between the 256 levels"
        return reason


def bits_per_dimension(nats: float, elements: int) -> float:
    """Convert the log-probability of one example from nats to bits per dimension, -nats / (elements * log 2).

    Args:
        nats: Log-probability, or a bound on it.
        elements: Number of elements of the example.
    """
    return -nats / (elements * math.log(2))


LIKELIHOODS: Mapping[str, Likelihood] = {
    likelihood.name: likelihood
    for likelihood in (Bernoulli(), BceSurrogate(), ContinuousBernoulli(), Gaussian(), DiscretizedLogistic())
}
