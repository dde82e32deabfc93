"""The convolutional pair."""

import pytest
import torch

from vaedge_train import ConfigError, TrainConfig
from vaedge_train.build import build_vae


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 12)])
@pytest.mark.parametrize("likelihood", ["bernoulli", "discretized_logistic"])
def test_shapes(shape, likelihood):
    config = TrainConfig(network="conv", channels=4, latent=5, likelihood=likelihood)
    x = torch.rand(2, *shape).round()
    vae = build_vae(config, shape, items=x)
    mean, log_var = vae.inference(x)
    assert mean.shape == log_var.shape == (2, 5)
    assert all(parameter.shape == x.shape for parameter in vae.generative(mean))
    assert vae.elbo(x, torch.zeros(1, 2, 5)).elbo.shape == (2,)


@pytest.mark.parametrize("shape", [(6,), (1, 30, 28), (3, 8, 10)])
def test_items_that_it_does_not_take(shape):
    with pytest.raises(ConfigError, match="multiples of four"):
        build_vae(TrainConfig(network="conv"), shape)


def test_it_learns(tmp_path):
    """A few steps on two kinds of pictures: the bound rises, and z tells the kinds apart."""
    torch.manual_seed(0)
    x = torch.zeros(64, 1, 8, 8)
    x[:32, :, :, :4] = 1
    x[32:, :, :4, :] = 1
    vae = build_vae(TrainConfig(network="conv", channels=8, latent=2, likelihood="bernoulli"), (1, 8, 8), items=x)
    optimizer = torch.optim.Adam(vae.parameters(), 3e-3)
    elbos = []
    for _ in range(120):
        elbo = vae.elbo(x, torch.randn(1, 64, 2)).elbo.mean()
        optimizer.zero_grad()
        (-elbo).backward()
        optimizer.step()
        elbos.append(elbo.item())
    assert elbos[-1] > elbos[0] + 20
    assert (vae.reconstruct(x) - x).abs().mean() < 0.1
