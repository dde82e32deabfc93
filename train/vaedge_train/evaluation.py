"""Evaluate a model: ELBO, rate, distortion, importance-weighted bound and active units.

Bounds, rate, and distortion are in nats per example, with the weight of the rate (beta) equal to 1. The densities are
those of x in the units of the data, also if the networks use standardized data.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vaedge_train.data.examples import Examples, scale
from vaedge_train.model.gaussian import reparameterize
from vaedge_train.model.likelihoods import BceSurrogate, bits_per_dimension
from vaedge_train.model.vae import VAE

_MAX_DECODED = 2_500  # rows per call of the decoder; with this limit, the activations of an MLP fit in the CPU's caches
_MAX_EXAMPLES = 100
_BATCH_SIZE = 1000
_SEED = 1  # seed of `mean_terms`; it is constant, so that epochs and runs are comparable
# A latent is active if the variance of its posterior mean over the examples exceeds this threshold (Burda et al. 2016,
# appendix C).
ACTIVE_VARIANCE = 0.01


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a model on a set of examples, in nats per example.

    Attributes:
        examples: Number of examples.
        k: Number of draws of z for each example.
        seed: Seed of the draws.
        elbo: Mean of the evidence lower bound, estimated from the k draws.
        elbo_standard_error: Standard error of `elbo` over the examples.
        distortion: Mean of the reconstruction error -E_q[log p(x|z)].
        rate: Mean of KL(q(z|x) || p(z)).
        bound: Mean of the importance-weighted bound, log(1/k sum p(x, z) / q(z|x)) (Burda et al. 2016, eq. 8).
        bound_standard_error: Standard error of `bound` over the examples.
        active_units: Number of latents whose posterior mean has a variance above 0.01 over the examples.
        likelihood: Name of p(x|z). With bce_surrogate, elbo and bound are not bounds on a log-likelihood.
        bits_per_dimension: The bound in bits per dimension, for likelihoods of 8-bit values; otherwise None.
    """

    examples: int
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
    bits_per_dimension: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a dict from the name of each metric to its value, as in `evaluation.json`.

        The number of examples has the key "items", as in earlier versions.
        """
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return {"items": values.pop("examples"), **values}

    def describe(self) -> str:
        """Return the metrics as two lines of text.

        The bound is called NLL (negative log-likelihood) only if the likelihood is normalized.
        """
        normalized = self.likelihood != BceSurrogate.name
        bound = f"NLL <= {-self.bound:.3f}" if normalized else f"surrogate bound {self.bound:.3f}"
        bits = "" if self.bits_per_dimension is None else f", {self.bits_per_dimension:.4f} bits per dimension"
        return (
            f"{bound} +- {self.bound_standard_error:.3f} nats per example{bits} (importance-weighted, k = {self.k}, "
            f"seed {self.seed}, {self.examples} examples, {self.likelihood})\n"
            f"ELBO {self.elbo:.3f} +- {self.elbo_standard_error:.3f} (distortion {self.distortion:.3f}, rate "
            f"{self.rate:.3f}), {self.active_units} active units"
        )


@torch.no_grad()
def evaluate(
    vae: VAE,
    examples: Examples,
    k: int,
    seed: int = 0,
    progress: Callable[[int, Callable[[], str]], object] | None = None,
) -> Evaluation:
    """Evaluate a model with k draws of z for each example.

    The encoder runs once for each example. The densities over z, and the sums over draws, are computed in float64.

    Args:
        vae: The model.
        examples: The examples. A Bernoulli likelihood requires examples that are already binarized.
        k: Number of draws of z for each example.
        seed: Seed of the draws.
        progress: Function that is called after each chunk of examples with two arguments: the number of examples in the
            chunk, and a function that returns the metrics so far as text.
    """
    device = vae.device
    generator = torch.Generator(device).manual_seed(seed)
    vae = VAE(vae.encoder, vae.decoder, vae.likelihood, vae.frozen_prior().double(), vae.standardization)
    chunk = max(1, min(_MAX_EXAMPLES, _MAX_DECODED // k))
    # All results are written into tensors that are allocated before the loop. Small result tensors of each chunk would
    # fragment the heap, and a long evaluation would run out of memory.
    bound, elbo, rate = torch.empty(3, len(examples), dtype=torch.float64)
    means = torch.empty(len(examples), vae.inference(*_on_device(examples[:1], device))[0].shape[1])
    log_weights, log_likelihoods = torch.empty(2, k, chunk, dtype=torch.float64, device=device)
    for start in range(0, len(examples), chunk):
        rows = slice(start, min(start + chunk, len(examples)))
        x, y = _on_device(examples[rows], device)
        mean, log_var = vae.inference(x, y)
        posterior = mean.double(), log_var.double()
        for draw in range(0, k, _MAX_DECODED // len(x)):
            draws = min(k - draw, _MAX_DECODED // len(x))
            z = reparameterize(mean, log_var, torch.randn(draws, *mean.shape, generator=generator, device=device))
            terms = vae.terms(x, z.double(), *posterior, y)
            log_likelihoods[draw : draw + draws, : len(x)] = terms.log_likelihood
            log_weights[draw : draw + draws, : len(x)] = terms.log_weight
        log_weight, log_likelihood = log_weights[:, : len(x)], log_likelihoods[:, : len(x)]
        kl = vae.prior.kl(*posterior)
        if kl is None:
            kl = (log_likelihood - log_weight).mean(0)
        rate[rows] = kl
        bound[rows] = torch.logsumexp(log_weight, 0) - math.log(k)
        elbo[rows] = log_likelihood.mean(0) - kl
        means[rows] = mean
        if progress is not None:
            done = slice(0, rows.stop)
            progress(len(x), partial(_describe, elbo[done], rate[done], bound[done]))
    mean_bound = bound.mean().item()
    return Evaluation(
        examples=len(examples),
        k=k,
        seed=seed,
        elbo=elbo.mean().item(),
        elbo_standard_error=_standard_error(elbo),
        distortion=-(elbo + rate).mean().item(),
        rate=rate.mean().item(),
        bound=mean_bound,
        bound_standard_error=_standard_error(bound),
        active_units=int((means.var(0) > ACTIVE_VARIANCE).sum()) if len(examples) > 1 else 0,
        likelihood=vae.likelihood.name,
        bits_per_dimension=(
            bits_per_dimension(mean_bound, math.prod(examples.shape)) if vae.likelihood.is_8_bit else None
        ),
    )


@torch.no_grad()
def mean_terms(vae: VAE, examples: Examples, latent: int) -> Tensor:
    """Estimate the mean distortion and the mean rate with one draw of z for each example.

    Every call uses the same noise.

    Args:
        vae: The model.
        examples: The examples. A Bernoulli likelihood requires examples that are already binarized.
        latent: Size of z.

    Returns:
        (2,) float64: distortion and rate, in nats per example.
    """
    generator = torch.Generator(vae.device).manual_seed(_SEED)
    totals = torch.zeros(2, dtype=torch.float64, device=vae.device)
    for batch in examples.split(_BATCH_SIZE):
        x, y = _on_device(batch, vae.device)
        terms = vae(x, torch.randn(1, len(batch), latent, generator=generator, device=vae.device), y)
        totals += torch.stack([terms.distortion.double().sum(), terms.rate.double().sum()])
    return totals.cpu() / len(examples)


def _on_device(examples: Examples, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Return the examples as float32, and their classes, on a device."""
    return scale(examples.x.to(device)), None if examples.y is None else examples.y.to(device)


def _describe(elbo: Tensor, rate: Tensor, bound: Tensor) -> str:
    return (
        f"bound {bound.mean():.2f}, ELBO {elbo.mean():.2f}, distortion {-(elbo + rate).mean():.2f}, rate "
        f"{rate.mean():.2f} nats"
    )


def _standard_error(values: Tensor) -> float:
    return (values.std() / math.sqrt(len(values))).item() if len(values) > 1 else math.nan


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Make the CPU treat denormal numbers (below 1.2e-38) as zero while the `with` block runs.

    Otherwise, computing the densities of a mixture takes up to five times as long.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
