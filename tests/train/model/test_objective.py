"""Losses agree with the known log p(x) of a linear-Gaussian VAE, and gradients agree with finite differences."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vaedge_train import TrainConfig
from vaedge_train.build import build_vae
from vaedge_train.model.gaussian import gaussian_log_prob
from vaedge_train.model.objective import Objective, dreg_loss, elbo_loss, iwae_loss
from vaedge_train.model.priors import MixturePrior

LATENT = 2


def noise(*shape, seed=2):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tiny(**fields):
    config = TrainConfig(hidden=(8,), latent=3, likelihood="bernoulli", **fields)
    return build_vae(config, (6,)).eval()


def test_elbo_at_the_exact_posterior_is_the_evidence(linear_vae, x, log_evidence):
    found = linear_vae()(x, noise(4000, len(x), LATENT)).elbo
    torch.testing.assert_close(found, log_evidence, atol=0.05, rtol=0)


def test_every_importance_weight_at_the_exact_posterior_is_the_evidence(linear_vae, x, log_evidence):
    found = linear_vae()(x, noise(3, len(x), LATENT)).log_weight
    torch.testing.assert_close(found, log_evidence.expand(3, -1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("draws", [1, 3])
def test_elbo_loss_is_that_of_torch_distributions(bits, draws):
    vae, eps = tiny(), noise(draws, 20, 3)
    mean, log_var = vae.inference(bits)
    q = Independent(Normal(mean, torch.exp(0.5 * log_var)), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    likelihood = Independent(Bernoulli(logits=vae.generative(mean + eps * torch.exp(0.5 * log_var))[0]), 1)
    distortion, rate = -likelihood.log_prob(bits).mean(0), kl_divergence(q, prior)
    for beta in (0.0, 1.0, 2.5):
        loss, *sums = Objective(vae, "elbo", path_gradient=False)(bits, eps, beta)
        torch.testing.assert_close(loss, (distortion + beta * rate).mean())
        torch.testing.assert_close(sums, [distortion.sum(), rate.sum()])


def test_loss_does_not_depend_on_the_batch_size(bits):
    objective, eps = Objective(tiny(), "elbo", path_gradient=False), noise(1, 20, 3)
    once, *_ = objective(bits, eps)
    twice, *_ = objective(bits.repeat(2, 1), eps.repeat(1, 2, 1))
    torch.testing.assert_close(once, twice)


@pytest.mark.parametrize("name", ["elbo", "iwae"])
@pytest.mark.parametrize("path_gradient", [False, True])
def test_reported_terms_are_at_beta_one(linear_vae, x, name, path_gradient):
    vae = linear_vae(MixturePrior(3, LATENT), shift=0.6)
    eps = noise(5, len(x), LATENT)
    _, distortion, rate = Objective(vae, name, path_gradient=path_gradient)(x, eps, 0.1)
    terms = vae(x, eps)
    assert distortion.item() == pytest.approx(terms.distortion.sum().item(), rel=1e-5)
    assert rate.item() == pytest.approx(terms.rate.sum().item(), rel=1e-4)
    assert not distortion.requires_grad
    assert not rate.requires_grad


@pytest.mark.parametrize("path_gradient", [False, True])
def test_elbo_loss_is_minus_the_elbo(linear_vae, x, path_gradient):
    vae, eps = linear_vae(MixturePrior(3, LATENT), shift=0.6), noise(5, len(x), LATENT)
    loss = elbo_loss(vae(x, eps, path_gradient=path_gradient))
    assert loss.item() == pytest.approx(-vae(x, eps).elbo.mean().item(), rel=1e-5)


def test_iwae_loss_is_minus_the_logarithm_of_the_mean_weight(linear_vae, x):
    vae, eps = linear_vae(shift=0.6), noise(5, len(x), LATENT)
    terms = vae(x, eps)
    for beta in (1.0, 0.5):
        log_weight = terms.log_likelihood - beta * (terms.log_posterior - terms.log_prior)
        expected = -log_weight.double().exp().mean(0).log().mean()
        torch.testing.assert_close(iwae_loss(terms, beta).double(), expected, rtol=1e-5, atol=1e-5)
    assert iwae_loss(terms) < -terms.log_weight.mean()  # the bound is tighter than the ELBO


def test_iwae_loss_with_one_draw_is_the_elbo_loss(linear_vae, x):
    terms = linear_vae(MixturePrior(3, LATENT), shift=0.6)(x, noise(1, len(x), LATENT))
    torch.testing.assert_close(iwae_loss(terms, 0.7), elbo_loss(terms, 0.7))


def test_objective_selects_the_loss(linear_vae, x):
    vae, eps = linear_vae(MixturePrior(3, LATENT), shift=0.6), noise(4, len(x), LATENT)
    usual, path = vae(x, eps), vae(x, eps, path_gradient=True)
    for name, path_gradient, expected in (
        ("elbo", False, elbo_loss(usual)),
        ("elbo", True, elbo_loss(path)),
        ("iwae", False, iwae_loss(usual)),
        ("iwae", True, dreg_loss(path)),
    ):
        torch.testing.assert_close(Objective(vae, name, path_gradient=path_gradient)(x, eps)[0], expected)


def gradients(vae, name, path_gradient, x, draws, samples, beta=1.0):
    vae.zero_grad()
    eps = noise(samples, len(x) * draws, LATENT, seed=5)
    loss, _, _ = Objective(vae, name, path_gradient=path_gradient)(x.repeat(draws, 1), eps, beta)
    loss.backward()
    return {key: parameter.grad.clone() for key, parameter in vae.named_parameters()}


@pytest.mark.parametrize("name", ["elbo", "iwae"])
def test_path_gradient_has_the_same_mean(linear_vae, x, name):
    vae = linear_vae(shift=0.5, log_factor=0.3)
    usual, path = (gradients(vae, name, path_gradient, x, 20_000, 3) for path_gradient in (False, True))
    for key, expected in usual.items():
        torch.testing.assert_close(path[key], expected, atol=0.03, rtol=0.05)


def test_path_gradient_vanishes_at_the_exact_posterior(linear_vae, x):
    """At the exact posterior, the path gradient of every draw is zero. The usual gradient is zero only on average."""
    prior = MixturePrior(1, LATENT)  # N(0, I), but with a rate that is estimated from draws
    with torch.no_grad():
        prior.mean.zero_()
    for given in (None, prior):
        path = gradients(linear_vae(given), "elbo", True, x[:1], 1, 1)
        assert path["encoder.matrix"].abs().max() < 1e-4
    usual = gradients(linear_vae(prior), "elbo", False, x[:1], 1, 1)
    assert usual["encoder.log_var"].abs().max() > 0.1


def test_dreg_weights_each_path_by_the_squared_importance_weight(linear_vae, x):
    """The gradient is equation 8 of Tucker et al. 2019, computed with one backward pass for each draw."""
    vae, eps = linear_vae(shift=0.5, log_factor=0.3), noise(3, 1, LATENT)
    found = gradients_of(vae, dreg_loss(vae(x[:1], eps, path_gradient=True)))
    weight = torch.softmax(vae(x[:1], eps).log_weight.detach(), 0)
    expected = torch.zeros_like(found)
    for draw in range(3):
        single = vae(x[:1], eps[draw : draw + 1], path_gradient=True)
        expected += weight[draw, 0] ** 2 * gradients_of(vae, -single.log_weight.sum())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def gradients_of(vae, loss):
    return torch.autograd.grad(loss, vae.encoder.log_var)[0]


def test_iwae_gradient_is_that_of_finite_differences_in_the_decoder(linear_vae, x):
    vae = linear_vae(shift=0.4)
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


def test_iwae_gradient_is_that_of_finite_differences_in_the_encoder(bits):
    vae, eps = tiny().double(), noise(4, 20, 3).double()
    x = bits.double()

    def bound(shift):
        mean, log_var = (part.double() for part in vae.inference(x))
        mean = mean + shift
        z = mean + eps * torch.exp(0.5 * log_var)
        weights = vae.likelihood.log_prob(x, *vae.generative(z)) + vae.prior.log_prob(z, vae.inference)
        return (torch.logsumexp(weights - gaussian_log_prob(z, mean, log_var), 0) - math.log(4)).mean()

    Objective(vae, "iwae", path_gradient=False)(x, eps)[0].backward()
    step = torch.tensor([1e-3, 0.0, 0.0], dtype=torch.float64)
    expected = (bound(step) - bound(-step)) / 2e-3
    assert -vae.encoder.output.bias.grad[0].item() == pytest.approx(expected.item(), rel=2e-2)


@pytest.mark.parametrize("name", ["elbo", "iwae"])
@pytest.mark.parametrize("path_gradient", [False, True])
def test_weights_of_minus_five_thousand_nats_do_not_underflow(linear_vae, name, path_gradient):
    far = torch.full((1, 5), 70.0)
    loss, *_ = Objective(linear_vae(shift=0.4), name, path_gradient=path_gradient)(far, noise(3, 1, LATENT))
    assert loss.item() > 5000
    assert loss.isfinite()


def test_loss_without_gradients_works_with_the_path_gradient(linear_vae, x):
    with torch.no_grad():
        loss, *_ = Objective(linear_vae(), "iwae", path_gradient=True)(x, noise(3, len(x), LATENT))
    assert loss.isfinite()
