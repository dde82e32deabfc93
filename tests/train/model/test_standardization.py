"""The affine map between the units of the data and the standardized units of the networks."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal

from vaedge_train.data.examples import Examples
from vaedge_train.evaluation import evaluate, mean_terms
from vaedge_train.model.likelihoods import LIKELIHOODS
from vaedge_train.model.priors import StandardNormal, VampPrior
from vaedge_train.model.standardization import Moments, Standardization, measure, statistics
from vaedge_train.model.vae import VAE

MEAN, STD = torch.tensor([3.0, -200.0, 0.01]), torch.tensor([1.0, 5000.0, 0.002])


@pytest.mark.parametrize("chunk", [7, 1000])
def test_moments_of_a_table_are_those_of_each_column(chunk):
    x = np.random.default_rng(0).standard_normal((100, 3)) * STD.numpy() + MEAN.numpy()
    moments = measure(torch.from_numpy(x.astype(np.float32)).split(chunk))
    np.testing.assert_allclose(moments.mean, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(moments.std, x.std(0), rtol=1e-5)
    assert moments.mean.dtype == moments.std.dtype == torch.float32


def test_moments_of_images_are_those_of_each_channel():
    x = torch.rand(20, 3, 4, 5) * torch.tensor([1.0, 10, 100])[:, None, None]
    moments = measure([x])
    assert moments.mean.shape == moments.std.shape == (3, 1, 1)
    torch.testing.assert_close(moments.mean.flatten(), x.mean((0, 2, 3)))
    torch.testing.assert_close(moments.std.flatten(), x.std((0, 2, 3), correction=0))


def test_moments_of_other_shapes_are_those_of_each_element():
    x = torch.randn(50, 4, 6)
    torch.testing.assert_close(measure([x]).std, x.std(0, correction=0))


@pytest.mark.parametrize("value", [0.0, 0.1, -12345.678, 3e38])
def test_constant_column_has_the_standard_deviation_1(value):
    x = torch.stack([torch.full((5000,), value), torch.randn(5000)], 1)
    moments = measure([x])
    assert moments.std[0] == 1
    assert moments.mean[0] == x[0, 0]
    assert not Standardization(moments)(x)[:, 0].any()


def test_spread_below_the_smallest_normal_number_counts_as_constant():
    assert measure([torch.tensor([[0.0], [1e-40]])]).std.tolist() == [1]


@pytest.mark.parametrize("first", [1e6, 1e6 + 1, 0])
def test_standard_deviation_is_accurate_where_the_mean_is_large(first):
    x = torch.tensor([[1e6], [1e6 + 1]]).repeat(5000, 1)
    x[0] = first
    assert measure([x]).std.item() == pytest.approx(np.std(x.double().numpy()), rel=1e-6)


@pytest.mark.parametrize("shape", [(500, 2), (50, 3, 4, 6)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f8"])
def test_statistics_of_chunks_are_those_of_all_data(shape, dtype):
    values = np.random.default_rng(0).standard_normal(shape) * 5 + 1000
    found = statistics(np.array_split(values.astype(dtype), 7))
    axes = (0, 2, 3) if len(shape) == 4 else 0
    for value, expected in zip(found, (values.mean(axes), values.std(axes), np.abs(values).max(axes)), strict=True):
        assert value.dtype == np.float64
        np.testing.assert_allclose(value.ravel(), expected, rtol=1e-6)


def test_parameters_return_to_the_units_of_the_data():
    units = Standardization(Moments(MEAN, STD))
    x = torch.randn(4, 3) * STD + MEAN
    loc, log_scale = units.to_data(units(x), torch.zeros(4, 3))
    torch.testing.assert_close(loc, x, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(log_scale, STD.log().expand(4, 3))


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 4, 5), ()])
def test_log_volume_counts_every_element(shape):
    std = torch.rand(shape) + 0.5
    expected = std.log().expand(3, 4, 5).sum()
    torch.testing.assert_close(Standardization(Moments(torch.zeros(shape), std)).log_volume((3, 4, 5)), expected)


class Pair(nn.Module):
    """A network with two linear outputs."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs)

    def forward(self, value):
        return self.first(value), self.second(value)


@pytest.fixture
def pair():
    """Two VAEs with the same networks: the first in the units of the data, the second in standardized units."""
    torch.manual_seed(0)
    encoder, decoder = Pair(3, 2), Pair(2, 3)
    parts = encoder, decoder, LIKELIHOODS["gaussian"], StandardNormal(2)
    return VAE(*parts, Standardization(Moments(MEAN, STD))), VAE(*parts)


def test_log_densities_are_those_of_the_data(pair):
    raw, inner = pair
    units, eps = torch.randn(6, 3), torch.randn(4, 6, 2)
    found, expected = raw(units * STD + MEAN, eps), inner(units, eps)
    volume = STD.double().log().sum()
    torch.testing.assert_close(
        found.log_likelihood.double(), expected.log_likelihood.double() - volume, atol=3e-4, rtol=0
    )
    torch.testing.assert_close(found.rate, expected.rate, atol=1e-5, rtol=0)
    loc, log_scale = raw.generative(found.z)
    density = Normal(loc, log_scale.exp()).log_prob(units * STD + MEAN).sum(-1)
    torch.testing.assert_close(found.log_likelihood, density, atol=3e-4, rtol=2e-6)


def test_evaluations_are_those_of_the_data(pair):
    raw, inner = pair
    units = torch.randn(30, 3)
    volume = STD.log().sum().item()
    x = units * STD + MEAN
    found, expected = evaluate(raw, Examples(x), k=5), evaluate(inner, Examples(raw.standardization(x)), k=5)
    assert found.bound == pytest.approx(expected.bound - volume, abs=1e-4)
    assert found.rate == pytest.approx(expected.rate, abs=1e-5)
    assert found.active_units == expected.active_units
    found, expected = mean_terms(raw, Examples(x), 2), mean_terms(inner, Examples(raw.standardization(x)), 2)
    torch.testing.assert_close(found, expected + torch.tensor([volume, 0.0]).double(), atol=1e-4, rtol=0)


def test_samples_and_reconstructions_are_in_the_units_of_the_data(pair):
    raw, inner = pair
    x = torch.randn(5, 3) * STD + MEAN
    torch.testing.assert_close(raw.reconstruct(x), inner.reconstruct(raw.standardization(x)) * STD + MEAN)
    samples, expected = (vae.sample(9, torch.Generator().manual_seed(1)) for vae in (raw, inner))
    torch.testing.assert_close(samples, expected * STD + MEAN)


def test_generative_returns_bounded_scales_in_the_units_of_the_data(pair):
    raw, _ = pair
    with torch.no_grad():
        raw.decoder.second.bias.copy_(torch.tensor([-50.0, 50, 0]))
        _, log_scale = raw.generative(torch.zeros(1, 2))
    assert log_scale[0].tolist() == pytest.approx([-6 + 0, 10 + math.log(5000), math.log(0.002)], rel=1e-5)


def test_pseudo_inputs_are_in_standardized_units(pair):
    raw, _ = pair
    pseudo_inputs = torch.tensor([[5.0, -5, 0]])
    vae = VAE(raw.encoder, raw.decoder, raw.likelihood, VampPrior(pseudo_inputs, None), raw.standardization)
    torch.testing.assert_close(vae.frozen_prior().mean, raw.encoder(pseudo_inputs)[0])


def test_buffers_are_saved_and_not_trained(pair):
    raw, _ = pair
    assert {"standardization.mean", "standardization.std"} <= raw.state_dict().keys()
    assert not [name for name, _ in raw.named_parameters() if "standardization" in name]
