"""Bounds and their gradients, on a linear-Gaussian VAE whose log p(x) is known exactly."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from vaedge_train.data.examples import Items
from vaedge_train.evaluation import evaluate
from vaedge_train.model.likelihoods import LIKELIHOODS
from vaedge_train.model.objective import Objective
from vaedge_train.model.priors import MixturePrior, StandardNormal
from vaedge_train.model.vae import VAE

D, LATENT, SCALE = 5, 2, 0.7


class LinearDecoder(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, z):
        loc = z @ self.weight.T
        return loc, torch.full_like(loc, math.log(SCALE))


class LinearEncoder(nn.Module):
    """The exact posterior of a linear-Gaussian model, its mean shifted and its variance scaled on demand."""

    def __init__(self, weight, shift=0.0, log_factor=0.0):
        super().__init__()
        precision = torch.eye(LATENT) + weight.T @ weight / SCALE**2
        self.matrix = nn.Parameter(torch.linalg.solve(precision, weight.T / SCALE**2))
        self.log_var = nn.Parameter(torch.linalg.inv(precision).diagonal().log() + log_factor)
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, x):
        mean = x @ self.matrix.T + self.shift
        return mean, self.log_var.expand_as(mean)


@pytest.fixture
def weight():
    # Orthogonal columns make the exact posterior a diagonal Gaussian.
    return torch.linalg.qr(torch.randn(D, LATENT, generator=torch.Generator().manual_seed(0)))[0] * 1.5


def linear_vae(weight, prior=None, **encoder):
    prior = prior or StandardNormal(LATENT)
    return VAE(LinearEncoder(weight, **encoder), LinearDecoder(weight), LIKELIHOODS["gaussian"], prior)


@pytest.fixture
def x():
    return torch.randn(6, D, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def log_evidence(weight, x):
    return MultivariateNormal(torch.zeros(D), weight @ weight.T + SCALE**2 * torch.eye(D)).log_prob(x)


def noise(*shape, seed=2):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_elbo_at_the_exact_posterior_is_the_evidence(weight, x, log_evidence):
    found = linear_vae(weight).elbo(x, noise(4000, len(x), LATENT)).elbo
    torch.testing.assert_close(found, log_evidence, atol=0.05, rtol=0)


def test_every_importance_weight_is_the_evidence_there(weight, x, log_evidence):
    result = evaluate(linear_vae(weight), Items(x), k=3)
    assert result.bound == pytest.approx(log_evidence.mean().item(), abs=1e-5)
    assert result.elbo <= result.bound + 1.0


def test_the_bound_rises_to_the_evidence_with_k(weight, x, log_evidence):
    vae = linear_vae(weight, shift=0.6, log_factor=0.4)
    bounds = [evaluate(vae, Items(x.repeat(50, 1)), k).bound for k in (1, 10, 100, 5000)]
    exact = log_evidence.mean().item()
    assert bounds == sorted(bounds)
    assert bounds[0] < exact - 0.3
    assert bounds[-1] == pytest.approx(exact, abs=0.01)


def test_k_of_one_estimates_the_elbo(weight, x):
    vae = linear_vae(weight, shift=0.6)
    result = evaluate(vae, Items(x.repeat(2000, 1)), k=1)
    assert result.bound == pytest.approx(result.elbo, abs=0.05)
    expected = vae.elbo(x, noise(3000, len(x), LATENT)).elbo.mean().item()
    assert result.elbo == pytest.approx(expected, abs=0.05)


def test_the_bound_does_not_depend_on_how_draws_and_items_are_gathered(monkeypatch, weight, x):
    vae = linear_vae(weight, shift=0.6)
    results = []
    for rows in (7, 60, 20_000):
        monkeypatch.setattr("vaedge_train.evaluation._ROWS", rows)
        results.append(evaluate(vae, Items(x.repeat(20, 1)), k=2000))
    assert max(r.bound for r in results) - min(r.bound for r in results) < 0.03


def test_a_mixture_equal_to_the_standard_normal_gives_the_same_bound(weight, x):
    prior = MixturePrior(3, LATENT)
    with torch.no_grad():
        prior.mean.zero_()
    vaes = linear_vae(weight, shift=0.3), linear_vae(weight, prior, shift=0.3)
    bounds = [evaluate(vae, Items(x), k=50).bound for vae in vaes]
    assert bounds[0] == pytest.approx(bounds[1], abs=1e-5)


def test_the_prior_s_density_counts_whole(weight, x, log_evidence):
    """A mixture far from the posterior: dropping 2 pi in one of p and q would shift this by 1.8 nats."""
    prior = MixturePrior(1, LATENT)
    with torch.no_grad():
        prior.mean.copy_(torch.tensor([[1.0, -1.0]]))
        prior.log_var.fill_(0.5)
    vae = linear_vae(weight, prior, log_factor=0.5)
    covariance = weight @ weight.T * math.exp(0.5) + SCALE**2 * torch.eye(D)
    exact = MultivariateNormal(weight @ torch.tensor([1.0, -1.0]), covariance).log_prob(x).mean().item()
    assert evaluate(vae, Items(x), k=20_000).bound == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("name", ["elbo", "iwae"])
@pytest.mark.parametrize("path_gradient", [False, True])
def test_the_loss_is_minus_the_bound(weight, x, name, path_gradient):
    vae = linear_vae(weight, MixturePrior(3, LATENT), shift=0.6)
    eps = noise(5, len(x), LATENT)
    loss, distortion, rate = Objective(vae, name, path_gradient=path_gradient)(x, eps)
    terms = vae.elbo(x, eps)
    assert distortion.item() == pytest.approx(terms.distortion.sum().item(), rel=1e-5)
    assert rate.item() == pytest.approx(terms.rate.sum().item(), rel=1e-4)
    if name == "elbo":
        assert loss.item() == pytest.approx(-terms.elbo.mean().item(), rel=1e-5)
    elif not path_gradient:  # with it, the value is a surrogate; its gradient is what counts
        assert loss.item() < -terms.elbo.mean().item()


def gradients(vae, name, path_gradient, x, draws, samples, beta=1.0):
    vae.zero_grad()
    eps = noise(samples, len(x) * draws, LATENT, seed=5)
    loss, _, _ = Objective(vae, name, path_gradient=path_gradient)(x.repeat(draws, 1), eps, beta)
    loss.backward()
    return {key: parameter.grad.clone() for key, parameter in vae.named_parameters()}


@pytest.mark.parametrize("name", ["elbo", "iwae"])
def test_the_path_gradient_has_the_same_mean(weight, x, name):
    vae = linear_vae(weight, shift=0.5, log_factor=0.3)
    usual, path = (gradients(vae, name, path_gradient, x, 20_000, 3) for path_gradient in (False, True))
    for key, expected in usual.items():
        torch.testing.assert_close(path[key], expected, atol=0.03, rtol=0.05)


def test_the_path_gradient_vanishes_at_the_exact_posterior(weight, x):
    """Sticking the landing: zero for every single draw, where the usual one is zero only on average."""
    prior = MixturePrior(1, LATENT)  # N(0, I), but not in closed form: the usual gradient then has its noise
    with torch.no_grad():
        prior.mean.zero_()
    for given in (None, prior):
        path = gradients(linear_vae(weight, given), "elbo", True, x[:1], 1, 1)
        assert path["encoder.matrix"].abs().max() < 1e-4
    usual = gradients(linear_vae(weight, prior), "elbo", False, x[:1], 1, 1)
    assert usual["encoder.log_var"].abs().max() > 0.1


def test_the_importance_weights_favour_the_better_draw(weight, x):
    """d loss / d log-likelihood of each draw is minus its normalised weight: finite differences agree."""
    vae = linear_vae(weight, shift=0.4)
    objective, eps = Objective(vae, "iwae", path_gradient=False), noise(4, len(x), LATENT)
    objective(x, eps)[0].backward()
    found = vae.decoder.weight.grad[0, 0].item()
    with torch.no_grad():
        losses = []
        for step in (1e-2, -1e-2):
            vae.decoder.weight[0, 0] += step
            losses.append(objective(x, eps)[0].item())
            vae.decoder.weight[0, 0] -= step
    assert found == pytest.approx((losses[0] - losses[1]) / 2e-2, rel=0.02, abs=1e-3)


def test_beta_weighs_the_rate_and_nothing_else(weight, x):
    vae, eps = linear_vae(weight, shift=0.4), noise(2, len(x), LATENT)
    objective = Objective(vae, "elbo", path_gradient=False)
    at_one, at_three = objective(x, eps, 1.0), objective(x, eps, 3.0)
    assert (at_three[0] - at_one[0]).item() == pytest.approx(2 * at_one[2].item() / len(x), rel=1e-4)
    torch.testing.assert_close(at_three[1:], at_one[1:])


def test_weights_of_minus_five_thousand_do_not_underflow(weight):
    far = torch.full((1, D), 70.0)
    loss, _, _ = Objective(linear_vae(weight, shift=0.4), "iwae", path_gradient=True)(far, noise(3, 1, LATENT))
    assert loss.item() > 5000
    assert loss.isfinite()
