"""The model and its ELBO against torch.distributions."""

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from vaedge_train import TrainConfig
from vaedge_train.build import build_vae
from vaedge_train.model.likelihoods import LIKELIHOODS
from vaedge_train.model.mlp import Decoder, Encoder
from vaedge_train.model.priors import StandardNormal
from vaedge_train.model.vae import VAE, kl_to_standard_normal

SHAPE = (1, 4, 4)


@pytest.fixture
def vae():
    return build_vae(TrainConfig(hidden=(8,), latent=3, seed=0), SHAPE)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_article_s_layers():
    vae = build_vae(TrainConfig(), (1, 28, 28))
    shapes = [tuple(weight.shape) for name, weight in vae.named_parameters() if name.endswith("weight")]
    assert shapes == [(784, 784), (40, 784), (784, 20), (784, 784)]
    assert [type(layer) for layer in vae.encoder.hidden] == [nn.Flatten, nn.Linear, nn.ReLU]


def test_the_pytorch_example_s_layers():
    vae = build_vae(TrainConfig(hidden=(400,)), (1, 28, 28))
    assert sum(weight.numel() for weight in vae.parameters()) == 652_824


def test_depth_is_configuration_and_the_decoder_mirrors_the_encoder():
    vae = build_vae(TrainConfig(hidden=(9, 5), latent=2, activation="tanh"), SHAPE)
    shapes = [tuple(weight.shape) for name, weight in vae.named_parameters() if name.endswith("weight")]
    assert shapes == [(9, 16), (5, 9), (4, 5), (5, 2), (9, 5), (16, 9)]
    assert isinstance(vae.decoder.hidden[1], nn.Tanh)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_shapes_at_every_batch(vae, batch):
    x = torch.rand(batch, *SHAPE)
    mean, log_var = vae.inference(x)
    assert mean.shape == log_var.shape == (batch, 3)
    (logits,) = vae.generative(mean)
    assert logits.shape == x.shape
    terms = vae.elbo(x, noise(2, batch, 3))
    assert terms.distortion.shape == terms.rate.shape == terms.elbo.shape == (batch,)


def test_forward_calls_the_encoder(vae):
    """The article's own forward chunks the module in place of its output."""
    eps = noise(1, 2, 3)
    a, b = (vae.elbo(torch.full((2, *SHAPE), value), eps) for value in (0.0, 1.0))
    assert not torch.equal(a.rate, b.rate)
    vae.elbo(torch.rand(2, *SHAPE), eps).elbo.sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in vae.encoder.parameters())


def test_rate_is_the_kl_divergence():
    mean, log_var = 3 * noise(5, 4), 2 * noise(5, 4, seed=1)
    posterior, prior = Normal(mean.double(), (0.5 * log_var.double()).exp()), Normal(0, 1)
    expected = kl_divergence(posterior, prior).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_var).double(), expected, rtol=1e-5, atol=1e-6)


def test_rate_is_zero_at_the_prior_and_never_negative():
    assert kl_to_standard_normal(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0
    log_var = torch.tensor([[-1e-4], [-1e-7], [1e-7], [1e-4]])
    assert (kl_to_standard_normal(torch.zeros(4, 1), log_var) >= 0).all()


def test_rate_sums_over_the_latents():
    mean, log_var = noise(2, 3), noise(2, 3, seed=1)
    twice = kl_to_standard_normal(mean.repeat(1, 2), log_var.repeat(1, 2))
    torch.testing.assert_close(twice, 2 * kl_to_standard_normal(mean, log_var))


def test_elbo_against_torch_distributions(vae):
    x, eps = torch.rand(6, *SHAPE).round(), noise(4, 6, 3)
    mean, log_var = vae.inference(x)
    posterior = Normal(mean, (0.5 * log_var).exp())
    draws = mean + posterior.scale * eps
    log_likelihood = torch.stack(
        [Bernoulli(logits=vae.decoder(z)[0]).log_prob(x).flatten(1).sum(1) for z in draws]
    ).mean(0)
    expected = log_likelihood - kl_divergence(posterior, Normal(0, 1)).sum(1)
    torch.testing.assert_close(vae.elbo(x, eps).elbo, expected)


def test_log_var_is_the_logarithm_of_the_variance():
    class Fixed(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 1), 2.0), torch.full((len(x), 1), 1.5)

    seen = []
    decoder = nn.Linear(1, 1)
    decoder.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    VAE(Fixed(), decoder, LIKELIHOODS["bernoulli"], StandardNormal(1)).elbo(torch.zeros(1, 1), noise(100_000, 1, 1))
    assert seen[0].mean().item() == pytest.approx(2.0, abs=0.02)
    assert seen[0].var().log().item() == pytest.approx(1.5, abs=0.02)


def test_more_draws_estimate_the_same_with_less_spread(vae):
    x = torch.rand(1, *SHAPE).round()
    one, many = (
        torch.stack([vae.elbo(x, noise(draws, 1, 3, seed=s)).distortion for s in range(200)]) for draws in (1, 50)
    )
    assert one.mean().item() == pytest.approx(many.mean().item(), abs=4 * one.std().item() / 200**0.5)
    assert many.std() < one.std() / 4


def test_training_mode_does_not_change_the_objective(vae):
    x, eps = torch.rand(3, *SHAPE), noise(1, 3, 3)
    torch.testing.assert_close(vae.train().elbo(x, eps).elbo, vae.eval().elbo(x, eps).elbo, rtol=0, atol=0)


def test_an_item_s_figures_do_not_depend_on_its_batch(vae):
    x, eps = torch.rand(5, *SHAPE), noise(2, 5, 3)
    alone = torch.cat([vae.elbo(x[i : i + 1], eps[:, i : i + 1]).elbo for i in range(5)])
    torch.testing.assert_close(vae.elbo(x, eps).elbo, alone)


def test_extreme_encoders_stay_finite():
    vae = VAE(
        Encoder(SHAPE, (4,), 2, "relu"), Decoder(2, (4,), SHAPE, "relu"), LIKELIHOODS["bernoulli"], StandardNormal(2)
    )
    with torch.no_grad():
        vae.encoder.output.bias.copy_(torch.tensor([0.0, 0.0, 1e6, -1e6]))
    _, log_var = vae.inference(torch.zeros(1, *SHAPE))
    assert log_var.tolist() == [[20.0, -30.0]]
    assert vae.elbo(torch.zeros(1, *SHAPE), noise(1, 1, 2)).elbo.isfinite().all()
