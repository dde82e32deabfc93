"""The model and the terms of its bounds agree with torch.distributions."""

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vaedge_train import TrainConfig
from vaedge_train.build import build_vae
from vaedge_train.model.gaussian import LOG_VAR_RANGE
from vaedge_train.model.likelihoods import LIKELIHOODS
from vaedge_train.model.mlp import Decoder, Encoder
from vaedge_train.model.priors import MixturePrior, StandardNormal
from vaedge_train.model.vae import VAE

SHAPE = (1, 4, 4)


@pytest.fixture
def vae():
    return build_vae(TrainConfig(hidden=(8,), latent=3, seed=0), SHAPE)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def oracle(vae, x, eps):
    """Compute log p(x|z), log q(z|x), log p(z) and KL(q(z|x) || N(0, I)) with torch.distributions."""
    mean, log_var = vae.inference(x)
    posterior = Independent(Normal(mean, (0.5 * log_var).exp()), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    z = mean + (0.5 * log_var).exp() * eps
    log_likelihood = torch.stack([Bernoulli(logits=vae.decoder(draw)[0]).log_prob(x).flatten(1).sum(1) for draw in z])
    return log_likelihood, posterior.log_prob(z), prior.log_prob(z), kl_divergence(posterior, prior)


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_shapes_for_every_batch_size(vae, batch_size):
    x = torch.rand(batch_size, *SHAPE)
    mean, log_var = vae.inference(x)
    assert mean.shape == log_var.shape == (batch_size, 3)
    (logits,) = vae.generative(mean)
    assert logits.shape == x.shape
    terms = vae(x, noise(2, batch_size, 3))
    for term in (terms.log_likelihood, terms.log_posterior, terms.log_prior, terms.log_ratio, terms.log_weight):
        assert term.shape == (2, batch_size)
    assert terms.distortion.shape == terms.rate.shape == terms.elbo.shape == terms.kl.shape == (batch_size,)
    assert terms.z.shape == (2, batch_size, 3)


def test_terms_are_those_of_torch_distributions(vae):
    x, eps = torch.rand(6, *SHAPE).round(), noise(4, 6, 3)
    log_likelihood, log_posterior, log_prior, kl = oracle(vae, x, eps)
    terms = vae(x, eps)
    torch.testing.assert_close(terms.log_likelihood, log_likelihood)
    torch.testing.assert_close(terms.log_posterior, log_posterior)
    torch.testing.assert_close(terms.log_prior, log_prior)
    torch.testing.assert_close(terms.kl, kl)
    torch.testing.assert_close(terms.log_weight, log_likelihood + log_prior - log_posterior)
    torch.testing.assert_close(terms.distortion, -log_likelihood.mean(0))
    torch.testing.assert_close(terms.rate, kl)
    torch.testing.assert_close(terms.elbo, log_likelihood.mean(0) - kl)


def test_rate_is_estimated_from_the_draws_without_a_closed_form(vae):
    x, eps = torch.rand(6, *SHAPE).round(), noise(4, 6, 3)
    estimated = VAE(vae.encoder, vae.decoder, vae.likelihood, MixturePrior(5, 3))(x, eps)
    assert estimated.kl is None
    torch.testing.assert_close(estimated.rate, (estimated.log_posterior - estimated.log_prior).mean(0))
    torch.testing.assert_close(estimated.elbo, estimated.log_weight.mean(0))


def test_path_gradient_changes_no_density_but_estimates_the_rate(vae):
    x, eps = torch.rand(6, *SHAPE).round(), noise(4, 6, 3)
    usual, path = vae(x, eps), vae(x, eps, path_gradient=True)
    for name in ("log_likelihood", "log_posterior", "log_prior", "z"):
        assert torch.equal(getattr(usual, name), getattr(path, name))
    assert path.kl is None


def test_path_gradient_leaves_only_the_path_through_z(vae):
    """The path gradient of log q(z|x) treats the mean and the variance in the density as constants."""
    x, eps = torch.rand(2, *SHAPE), noise(1, 2, 3)
    vae(x, eps, path_gradient=True).log_posterior.sum().backward()
    found = vae.encoder.output.bias.grad.clone()
    vae.zero_grad()
    mean, log_var = vae.inference(x)
    z = mean + (0.5 * log_var).exp() * eps
    Normal(mean.detach(), (0.5 * log_var.detach()).exp()).log_prob(z).sum().backward()
    torch.testing.assert_close(found, vae.encoder.output.bias.grad)
    vae.zero_grad()
    vae(x, eps).log_posterior.sum().backward()
    assert not torch.allclose(found, vae.encoder.output.bias.grad)


def test_densities_are_computed_in_the_type_of_z(vae):
    x = torch.rand(2, *SHAPE)
    mean, log_var = vae.inference(x)
    z = noise(4, 2, 3).double()
    terms = vae.terms(x, z, mean.double(), log_var.double())
    assert terms.log_posterior.dtype == terms.log_prior.dtype == terms.kl.dtype == torch.float64
    assert terms.log_likelihood.dtype == torch.float32


def test_encoder_receives_every_gradient(vae):
    vae(torch.rand(2, *SHAPE), noise(1, 2, 3)).elbo.sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in vae.encoder.parameters())


def test_different_inputs_have_different_rates(vae):
    eps = noise(1, 2, 3)
    a, b = (vae(torch.full((2, *SHAPE), value), eps) for value in (0.0, 1.0))
    assert not torch.equal(a.rate, b.rate)


def test_draws_have_the_mean_and_variance_of_the_posterior():
    class Fixed(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 1), 2.0), torch.full((len(x), 1), 1.5)

    vae = VAE(Fixed(), nn.Linear(1, 1), LIKELIHOODS["bernoulli"], StandardNormal(1))
    z = vae(torch.zeros(1, 1), noise(100_000, 1, 1)).z
    assert z.mean().item() == pytest.approx(2.0, abs=0.02)
    assert z.var().log().item() == pytest.approx(1.5, abs=0.02)


def test_more_draws_estimate_the_same_with_less_variance(vae):
    x = torch.rand(1, *SHAPE).round()
    one, many = (torch.stack([vae(x, noise(draws, 1, 3, seed=s)).distortion for s in range(200)]) for draws in (1, 50))
    assert one.mean().item() == pytest.approx(many.mean().item(), abs=4 * one.std().item() / 200**0.5)
    assert many.std() < one.std() / 4


def test_training_mode_does_not_change_the_terms(vae):
    x, eps = torch.rand(3, *SHAPE), noise(1, 3, 3)
    assert torch.equal(vae.train()(x, eps).elbo, vae.eval()(x, eps).elbo)


def test_terms_of_an_example_do_not_depend_on_its_batch(vae, bits):
    x, eps = torch.rand(5, *SHAPE), noise(2, 5, 3)
    alone = torch.cat([vae(x[i : i + 1], eps[:, i : i + 1]).elbo for i in range(5)])
    torch.testing.assert_close(vae(x, eps).elbo, alone)
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(vae(x[order], eps[:, order]).log_weight, vae(x, eps).log_weight[:, order])


def test_extreme_encoder_outputs_are_clamped():
    assert LOG_VAR_RANGE == (-30.0, 20.0)
    vae = VAE(
        Encoder(SHAPE, (4,), 2, "relu"), Decoder(2, (4,), SHAPE, "relu"), LIKELIHOODS["bernoulli"], StandardNormal(2)
    )
    with torch.no_grad():
        vae.encoder.output.bias.copy_(torch.tensor([0.0, 0.0, 1e6, -1e6]))
    _, log_var = vae.inference(torch.zeros(1, *SHAPE))
    assert log_var.tolist() == [[20.0, -30.0]]
    assert vae(torch.zeros(1, *SHAPE), noise(1, 1, 2)).elbo.isfinite().all()


def test_sample_returns_the_means_of_draws_from_the_prior(vae):
    samples = vae.sample(4, torch.Generator().manual_seed(0))
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(samples, torch.sigmoid(vae.decoder(z)[0]))


def test_reconstruct_returns_the_means_at_the_posterior_mean(vae):
    x = torch.rand(4, *SHAPE)
    torch.testing.assert_close(vae.reconstruct(x), torch.sigmoid(vae.decoder(vae.inference(x)[0])[0]))
