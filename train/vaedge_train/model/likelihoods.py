"""p(x|z): each likelihood names its parameters and gives log-probability, mean and draws. All in nats.

What every one of them has is said once, at `Likelihood`. Parameters come from the decoder in the order of
`parameters`, each (..., *item) like x, with any number of leading axes.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Likelihood:
    """What training, export and the runtime need to know of p(x|z).

    Attributes:
        name: as it stands in configurations and manifests.
        parameters: names of the decoder's outputs, in order.
        support: the least and greatest value of x, or None where every finite value is allowed.
    """

    name: str
    parameters: tuple[str, ...]
    support: tuple[float, float] | None = (0.0, 1.0)

    def log_prob(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return log p(x|z) summed over each item.

        Args:
            x: (n, *item).
            parameters: each (..., n, *item).

        Returns:
            (..., n), nats.

        Raises:
            ValueError: the parameters' shape does not end in x's.
        """
        for parameter in parameters:
            if parameter.shape[-x.ndim :] != x.shape:
                raise ValueError(f"x has shape {tuple(x.shape)}, which {tuple(parameter.shape)} does not end in")
        leading = parameters[0].ndim - x.ndim
        return self.element_log_prob(x.expand_as(parameters[0]), *parameters).flatten(leading + 1).sum(-1)

    def element_log_prob(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return log p of each element of x, in its shape; all arguments have the same one."""
        raise NotImplementedError

    def mean(self, *parameters: Tensor) -> Tensor:
        """Return the mean of p(x|z), ready to show."""
        raise NotImplementedError

    def sample(self, *parameters: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw x from p(x|z)."""
        raise NotImplementedError

    def at_mean(self, mean: Tensor) -> tuple[Tensor, ...]:
        """Return the parameters, each in the mean's shape, at which p(x|z) has about this mean: where to start."""
        raise NotImplementedError

    def refusal(self, x: Tensor) -> str | None:
        """Say why data x cannot be scored, or None where it can."""
        if not bool(x.isfinite().all()):
            return "it holds NaN or infinity"
        if self.support is not None:
            least, greatest = self.support
            if not bool(((x >= least) & (x <= greatest)).all()):
                return f"{self.name} takes values from {least:g} to {greatest:g}, and this data has others"
        return None


class Bernoulli(Likelihood):
    """Binary x: log p = x * logits - softplus(logits), which is stable for any logits."""

    name = "bernoulli"
    parameters = ("logits",)

    def element_log_prob(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return log p of each element; x in {0, 1}."""
        return -F.binary_cross_entropy_with_logits(parameters[0], x, reduction="none")

    def mean(self, *parameters: Tensor) -> Tensor:
        """Return sigmoid(logits), the probability of 1."""
        return torch.sigmoid(parameters[0])

    def sample(self, *parameters: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw 0 or 1."""
        return torch.bernoulli(self.mean(*parameters), generator=generator)

    def at_mean(self, mean: Tensor) -> tuple[Tensor, ...]:
        """Return logit(mean), with the mean kept off 0 and 1, where it is infinite."""
        return (torch.logit(mean, eps=1e-3),)

    def refusal(self, x: Tensor) -> str | None:
        """Refuse x outside {0, 1}."""
        if bool(((x == 0) | (x == 1)).all()):
            return None
        return (
            "a Bernoulli is a distribution of 0 and 1, and this data has other values: binarize it (dynamic), or "
            "use likelihood bce_surrogate or continuous_bernoulli"
        )


class BceSurrogate(Bernoulli):
    """The Bernoulli's formula on grey levels in [0, 1]: the usual cross-entropy loss.

    It is not a likelihood, for it does not integrate to one over [0, 1] (Loaiza-Ganem & Cunningham 2019), so
    figures under it compare only with figures under it.
    """

    name = "bce_surrogate"

    def refusal(self, x: Tensor) -> str | None:
        """Refuse x outside [0, 1], and NaN."""
        return Likelihood.refusal(self, x)


class ContinuousBernoulli(Likelihood):
    """x in [0, 1]: the Bernoulli's formula with the constant that makes it a density (Loaiza-Ganem & Cunningham 2019).

    In terms of logits l: log C = log(l / tanh(l / 2)), mean = 1 / (1 - exp(-l)) - 1 / l, which is not sigmoid(l).
    Near l = 0 both are 0 / 0, and a Taylor series takes over; the unused branch is fed a harmless value, or its NaN
    gradient would come through `where`.
    """

    name = "continuous_bernoulli"
    parameters = ("logits",)
    _NEAR_ZERO = 0.1

    def element_log_prob(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return log p of each element; x in [0, 1]."""
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
        # 1 / (1 - exp(-l)) = (1 + 1 / tanh(l / 2)) / 2, which overflows nowhere.
        return torch.where(near, series, 0.5 + 0.5 / torch.tanh(far / 2) - 1 / far)

    def sample(self, *parameters: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw by the inverse of the distribution function."""
        (logits,) = parameters
        u = torch.rand(logits.shape, generator=generator, dtype=logits.dtype)
        near = logits.abs() < 1e-3
        far = torch.where(near, torch.ones_like(logits), logits)
        # log(1 + u (exp(l) - 1)) / l, from the side on which exp cannot overflow.
        side, v = far.abs(), torch.where(far > 0, u, 1 - u)
        drawn = 1 + torch.log(v + (1 - v) * torch.exp(-side)) / side
        return torch.where(near, u, torch.where(far > 0, drawn, 1 - drawn)).clamp(0, 1)

    def at_mean(self, mean: Tensor) -> tuple[Tensor, ...]:
        """Return logits of about this mean: 12 (mean - 1/2) near the middle, -1/mean or 1/(1 - mean) at the ends."""
        mean = mean.clamp(0.02, 0.98)
        return (torch.where(mean < 0.5, -1 / mean + 2, 1 / (1 - mean) - 2),)


class Gaussian(Likelihood):
    """x of any value: N(loc, exp(log_scale)^2), with a scale per element that the decoder gives.

    log_scale is bounded below, for at a pixel that never changes the density would grow without end (sigma-VAE,
    Rybkin et al. 2021, bounds it at -6).
    """

    name = "gaussian"
    parameters = ("loc", "log_scale")
    support = None
    _LOG_SCALE_RANGE = (-6.0, 10.0)

    def element_log_prob(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return log p of each element."""
        loc, log_scale = parameters[0], parameters[1].clamp(*self._LOG_SCALE_RANGE)
        return -0.5 * ((x - loc) * torch.exp(-log_scale)).square() - log_scale - _HALF_LOG_2PI

    def mean(self, *parameters: Tensor) -> Tensor:
        """Return loc."""
        return parameters[0] * 1

    def sample(self, *parameters: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw loc + scale * eps."""
        loc, log_scale = parameters[0], parameters[1].clamp(*self._LOG_SCALE_RANGE)
        eps = torch.randn(loc.shape, generator=generator, dtype=loc.dtype)
        return loc + torch.exp(log_scale) * eps

    def at_mean(self, mean: Tensor) -> tuple[Tensor, ...]:
        """Return loc = mean and scale 1."""
        return mean, torch.zeros_like(mean)


class DiscretizedLogistic(Likelihood):
    """8-bit x: the logistic distribution gathered into 256 bins, the outer two open (Salimans et al. 2017).

    x is one of j / 255. S(b) - S(a) = S(b) S(-a) (1 - exp(a - b)), S the sigmoid, gives its logarithm without a
    difference of nearly equal numbers.
    """

    name = "discretized_logistic"
    parameters = ("loc", "log_scale")
    _HALF_BIN = 0.5 / 255
    _LOG_SCALE_RANGE = (-8.0, 8.0)

    def element_log_prob(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return log p of each element; x in {0, 1/255, ..., 1}."""
        loc, log_scale = parameters[0], parameters[1].clamp(*self._LOG_SCALE_RANGE)
        inverse_scale = torch.exp(-log_scale)
        upper = (x + self._HALF_BIN - loc) * inverse_scale
        lower = (x - self._HALF_BIN - loc) * inverse_scale
        log_below_upper, log_above_lower = F.logsigmoid(upper), F.logsigmoid(-lower)
        log_width = torch.log(-torch.expm1(-2 * self._HALF_BIN * inverse_scale))
        inside = log_below_upper + log_above_lower + log_width
        at_ends = torch.where(x < self._HALF_BIN, log_below_upper, log_above_lower)
        return torch.where((x < self._HALF_BIN) | (x > 1 - self._HALF_BIN), at_ends, inside)

    def mean(self, *parameters: Tensor) -> Tensor:
        """Return the mean of the logistic clipped to [0, 1], which is the bins' mean but for their width squared."""
        loc, log_scale = parameters[0], parameters[1].clamp(*self._LOG_SCALE_RANGE)
        scale = torch.exp(log_scale)
        return (scale * (F.softplus(loc / scale) - F.softplus((loc - 1) / scale))).clamp(0, 1)

    def sample(self, *parameters: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a level j / 255."""
        loc, log_scale = parameters[0], parameters[1].clamp(*self._LOG_SCALE_RANGE)
        u = torch.rand(loc.shape, generator=generator, dtype=loc.dtype)
        drawn = loc + torch.exp(log_scale) * torch.logit(u, eps=1e-7)
        return (drawn.clamp(0, 1) * 255).round() / 255

    def at_mean(self, mean: Tensor) -> tuple[Tensor, ...]:
        """Return loc = mean and a scale of about a tenth of the range."""
        return mean, torch.full_like(mean, -2.5)

    def refusal(self, x: Tensor) -> str | None:
        """Refuse x that is not one of 256 levels."""
        refused = super().refusal(x)
        if refused is None and not bool(((x * 255).round() - x * 255).abs().max() < 1e-3):
            return "discretized_logistic scores 8-bit pictures, and this data has values between the 256 levels"
        return refused


LIKELIHOODS: Mapping[str, Likelihood] = {
    likelihood.name: likelihood
    for likelihood in (Bernoulli(), BceSurrogate(), ContinuousBernoulli(), Gaussian(), DiscretizedLogistic())
}
