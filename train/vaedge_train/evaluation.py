"""How good a model is, in nats that survive an audit.

ELBO, rate and distortion; the importance-weighted bound of Burda et al. 2016 with k draws; active units. Every
figure is at beta = 1, and the mean over items comes with its standard error.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from vaedge_train.data.examples import Items, scale
from vaedge_train.model.likelihoods import BceSurrogate
from vaedge_train.model.priors import StandardNormal
from vaedge_train.model.vae import VAE, gaussian_log_prob, kl_to_standard_normal

_ROWS = 2_500  # decoded at once: what a MLP makes of them stays in the caches, and takes a third of the time
ACTIVE_VARIANCE = 0.01  # of the posterior's mean over the data, above which Burda et al. call a unit active


@dataclass(frozen=True)
class Evaluation:
    """Figures of one model on one set of items; nats per item, log p(x) being the larger the better.

    Attributes:
        items: how many.
        k: draws per item of the bound.
        seed: of the draws.
        elbo: mean of the evidence lower bound, estimated from the same draws.
        elbo_standard_error: of that mean, over items.
        distortion: mean of -E_q[log p(x|z)].
        rate: mean of KL(q(z|x) || p(z)).
        bound: mean of the importance-weighted bound, log(1/k sum p(x, z) / q(z|x)).
        bound_standard_error: of that mean, over items.
        active_units: latents whose posterior mean varies over the items by more than 0.01.
        likelihood: p(x|z); under bce_surrogate neither elbo nor bound is one on a log-likelihood.
    """

    items: int
    k: int
    seed: int
    elbo: float
    elbo_standard_error: float
    distortion: float
    rate: float
    bound: float
    bound_standard_error: float
    active_units: int
    likelihood: str

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return asdict(self)

    def describe(self) -> str:
        """Render the figures for people."""
        normalised = self.likelihood != BceSurrogate.name
        name = f"NLL <= {-self.bound:.3f}" if normalised else f"surrogate bound {self.bound:.3f}"
        return (
            f"{name} +- {self.bound_standard_error:.3f} nats per item (importance-weighted, k = {self.k}, seed "
            f"{self.seed}, {self.items} items, {self.likelihood})\n"
            f"ELBO {self.elbo:.3f} +- {self.elbo_standard_error:.3f} (distortion {self.distortion:.3f}, rate "
            f"{self.rate:.3f}), {self.active_units} active units"
        )


@torch.no_grad()
def evaluate(
    vae: VAE, items: Items, k: int, seed: int = 0, progress: Callable[[int], object] | None = None
) -> Evaluation:
    """Evaluate a model; the encoder runs once per item, and the sums over draws are kept in float64.

    Args:
        vae: the model.
        items: binarised already where the likelihood is of bits.
        k: draws of z per item.
        seed: of the draws.
        progress: called with the number of items that have just been done.
    """
    generator = torch.Generator().manual_seed(seed)
    frozen = None if isinstance(vae.prior, StandardNormal) else vae.prior.mixture(vae.inference)
    if frozen is not None:
        frozen = type(frozen)(*(tensor.double() for tensor in frozen))
    together = max(1, min(100, _ROWS // k))
    # Results go into arrays that are there already: a small tensor kept after each chunk would lie between the large
    # ones that are freed, and a long evaluation would end with the heap in fragments, and all memory taken.
    bound, elbo, rate = torch.empty(3, len(items), dtype=torch.float64)
    means = torch.empty(len(items), vae.inference(scale(items[:1].x), items[:1].y)[0].shape[1])
    log_weights, log_likelihoods = torch.empty(2, k, together, dtype=torch.float64)
    for start in range(0, len(items), together):
        rows = slice(start, min(start + together, len(items)))
        x, y = scale(items[rows].x), items[rows].y
        mean, log_var = vae.inference(x, y)
        done = 0
        while done < k:
            draws = min(k - done, max(1, _ROWS // len(x)))
            eps = torch.randn(draws, *mean.shape, generator=generator)
            z = mean + eps * torch.exp(0.5 * log_var)
            log_likelihood = vae.likelihood.log_prob(x, *vae.generative(z, y)).double()
            z, q = z.double(), (mean.double(), log_var.double())
            log_prior = vae.prior.log_prob(z, vae.inference) if frozen is None else frozen.log_prob(z)
            log_likelihoods[done : done + draws, : len(x)] = log_likelihood
            log_weights[done : done + draws, : len(x)] = log_likelihood + log_prior - gaussian_log_prob(z, *q)
            done += draws
        log_weight, log_likelihood = log_weights[:, : len(x)], log_likelihoods[:, : len(x)]
        if frozen is None:
            rate[rows] = kl_to_standard_normal(mean.double(), log_var.double())
        else:
            rate[rows] = (log_likelihood - log_weight).mean(0)
        bound[rows] = torch.logsumexp(log_weight, 0) - math.log(k)
        elbo[rows] = log_likelihood.mean(0) - rate[rows]
        means[rows] = mean
        if progress is not None:
            progress(len(x))
    return Evaluation(
        items=len(items),
        k=k,
        seed=seed,
        elbo=elbo.mean().item(),
        elbo_standard_error=_standard_error(elbo),
        distortion=-(elbo + rate).mean().item(),
        rate=rate.mean().item(),
        bound=bound.mean().item(),
        bound_standard_error=_standard_error(bound),
        active_units=int((means.var(0) > ACTIVE_VARIANCE).sum()) if len(items) > 1 else 0,
        likelihood=vae.likelihood.name,
    )


def _standard_error(values: Tensor) -> float:
    return (values.std() / math.sqrt(len(values))).item() if len(values) > 1 else math.nan
