"""Untrained models from configurations."""

import math

import pytest
import torch
from torch import nn

from vaedge_train import ConfigError, TrainConfig
from vaedge_train.build import build_vae
from vaedge_train.data.examples import Examples
from vaedge_train.model.priors import MixturePrior, StandardNormal, VampPrior
from vaedge_train.model.standardization import Moments

SHAPE = (1, 4, 4)


def weight_shapes(vae):
    return [tuple(weight.shape) for name, weight in vae.named_parameters() if name.endswith("weight")]


def test_default_model_has_the_layers_of_the_article():
    vae = build_vae(TrainConfig(), (1, 28, 28))
    assert weight_shapes(vae) == [(784, 784), (40, 784), (784, 20), (784, 784)]
    assert [type(layer) for layer in vae.encoder.hidden] == [nn.Flatten, nn.Linear, nn.ReLU]


def test_hidden_400_has_the_layers_of_the_pytorch_example():
    vae = build_vae(TrainConfig(hidden=(400,)), (1, 28, 28))
    assert sum(weight.numel() for weight in vae.parameters()) == 652_824


def test_decoder_mirrors_the_encoder():
    vae = build_vae(TrainConfig(hidden=(9, 5), latent=2, activation="tanh"), SHAPE)
    assert weight_shapes(vae) == [(9, 16), (5, 9), (4, 5), (5, 2), (9, 5), (16, 9)]
    assert isinstance(vae.decoder.hidden[1], nn.Tanh)


def test_weights_depend_on_the_seed_alone():
    models = [build_vae(TrainConfig(hidden=(4,), seed=seed), SHAPE).state_dict() for seed in (0, 0, 1)]
    same = [all(torch.equal(models[0][name], other[name]) for name in other) for other in models[1:]]
    assert same == [True, False]


def test_random_state_of_the_caller_is_unchanged():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_vae(TrainConfig(hidden=(4,)), SHAPE)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("scale", [1.0, 255])
def test_decoder_starts_at_the_mean_of_the_data(scale):
    x = torch.rand(30, *SHAPE) * scale
    x = x.byte() if scale == 255 else x
    vae = build_vae(TrainConfig(hidden=(4,), latent=1), SHAPE, train=Examples(x))
    expected = x.double().mean(0).flatten() / scale
    torch.testing.assert_close(torch.sigmoid(vae.decoder.output.bias).double(), expected, atol=1e-5, rtol=0)


def test_mean_of_bytes_does_not_overflow():
    x = torch.full((20_001, 2), 255, dtype=torch.uint8)
    x[:, 1] = 51
    vae = build_vae(TrainConfig(hidden=(4,), latent=1, likelihood="gaussian"), (2,), train=Examples(x))
    assert vae.decoder.output.bias[:2].tolist() == pytest.approx([1.0, 0.2])


def test_conv_decoder_starts_at_the_mean_color():
    x = torch.rand(30, 3, 8, 8)
    vae = build_vae(
        TrainConfig(network="conv", channels=4, likelihood="discretized_logistic"), (3, 8, 8), train=Examples(x)
    )
    expected = torch.cat([x.mean((0, 2, 3)), torch.full((3,), -2.5)])
    torch.testing.assert_close(vae.decoder.output.bias.detach(), expected)


@pytest.mark.parametrize("shape", [(6,), (30, 28)])
def test_conv_rejects_examples_that_are_not_images(shape):
    with pytest.raises(ConfigError, match="takes images, .* but the examples have the shape"):
        build_vae(TrainConfig(network="conv"), shape)


@pytest.mark.parametrize(
    ("name", "kind"), [("standard_normal", StandardNormal), ("mixture", MixturePrior), ("vamp", VampPrior)]
)
def test_prior_is_the_configured_one(name, kind):
    vae = build_vae(TrainConfig(prior=name, components=3, hidden=(4,), latent=2), SHAPE)
    assert type(vae.prior) is kind
    assert vae.prior.log_prob(torch.zeros(5, 2), vae.inference).shape == (5,)


def test_pseudo_inputs_are_the_first_training_examples():
    x = torch.randint(0, 256, (5, *SHAPE), dtype=torch.uint8)
    vae = build_vae(TrainConfig(prior="vamp", components=3, hidden=(4,)), SHAPE, train=Examples(x))
    torch.testing.assert_close(vae.prior.pseudo_inputs.detach(), x[:3] / 255)


def test_fewer_examples_than_pseudo_inputs_are_an_error():
    config = TrainConfig(prior="vamp", components=6, hidden=(4,))
    with pytest.raises(ConfigError, match="components is 6; expected at most the number of training examples, 5"):
        build_vae(config, SHAPE, train=Examples(torch.rand(5, *SHAPE)))
    build_vae(config, SHAPE, train=Examples(torch.rand(6, *SHAPE)))


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("scale", ["shared", "0.1"])
def test_gaussian_scale_combines_with_networks_and_labels(network, scale):
    fields = {"likelihood": "gaussian", "network": network, "channels": 4, "latent": 2, "gaussian_scale": scale}
    vae = build_vae(
        TrainConfig(condition="label", hidden=(4,), **fields), (1, 8, 8), 3, Examples(torch.rand(5, 1, 8, 8))
    )
    loc, log_scale = vae.generative(torch.randn(3, 5, 2), torch.tensor([0, 1, 2, 0, 1]))
    assert loc.shape == log_scale.shape == (3, 5, 1, 8, 8)
    assert log_scale.unique().tolist() == [pytest.approx(0.0 if scale == "shared" else math.log(0.1))]
    assert any("scale" in name for name, _ in vae.named_parameters()) == (scale == "shared")


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_both_networks_use_the_label(network):
    config = TrainConfig(network=network, channels=4, latent=3, hidden=(8,), likelihood="bernoulli", condition="label")
    vae = build_vae(config, (1, 8, 8), classes=3).eval()
    x, z = torch.rand(2, 1, 8, 8), torch.randn(2, 3)
    for outputs in (lambda y: vae.inference(x, y)[0], lambda y: vae.generative(z, y)[0]):
        a, b = (outputs(torch.tensor(y)) for y in ([0, 1], [0, 2]))
        assert torch.equal(a[0], b[0])
        assert not torch.equal(a[1], b[1])


def test_label_belongs_to_every_draw_of_z():
    vae = build_vae(TrainConfig(latent=3, hidden=(8,), condition="label"), (6,), classes=4).eval()
    z, y = torch.randn(5, 2, 3), torch.tensor([3, 1])
    (together,) = vae.generative(z, y)
    for draw in range(5):
        torch.testing.assert_close(together[draw], vae.generative(z[draw], y)[0])


@pytest.fixture
def moments():
    return Moments(torch.tensor([3.0, -200]), torch.tensor([0.5, 4000]))


def test_standardized_decoder_starts_at_the_mean_of_the_data(moments):
    x = torch.randn(50, 2) * moments.std + moments.mean
    vae = build_vae(TrainConfig(hidden=(4,), latent=1, likelihood="gaussian"), (2,), train=Examples(x), moments=moments)
    expected = (x.mean(0) - moments.mean) / moments.std
    torch.testing.assert_close(
        vae.decoder.output.bias.detach(), torch.cat([expected, torch.zeros(2)]), atol=1e-5, rtol=0
    )


def test_pseudo_inputs_of_standardized_data_are_standardized(moments):
    x = torch.randn(9, 2) * moments.std + moments.mean
    config = TrainConfig(prior="vamp", components=3, hidden=(4,), likelihood="gaussian")
    vae = build_vae(config, (2,), train=Examples(x), moments=moments)
    torch.testing.assert_close(vae.prior.pseudo_inputs.detach(), (x[:3] - moments.mean) / moments.std)


@pytest.mark.parametrize(
    ("fields", "standardized", "expected"),
    [
        ({"likelihood": "gaussian"}, True, None),
        ({"likelihood": "gaussian"}, False, (0, 1)),
        ({"likelihood": "gaussian", "standardize": "off"}, False, None),
        ({"likelihood": "bernoulli"}, False, (0, 1)),
        ({"likelihood": "bernoulli", "standardize": "off"}, False, (0, 1)),
    ],
)
def test_pseudo_inputs_are_clamped_only_where_the_data_has_a_range(moments, fields, standardized, expected):
    config = TrainConfig(prior="vamp", components=3, hidden=(4,), **fields)
    assert build_vae(config, (2,), moments=moments if standardized else None).prior.value_range == expected


@pytest.mark.parametrize(("size", "standardized", "width"), [(2, False, 2), (2, True, 128), (300, True, 300)])
def test_default_hidden_layer_is_wide_for_standardized_data(size, standardized, width):
    moments = Moments(torch.zeros(size), torch.ones(size)) if standardized else None
    vae = build_vae(TrainConfig(likelihood="gaussian", latent=3), (size,), moments=moments)
    assert weight_shapes(vae) == [(width, size), (6, width), (width, 3), (2 * size, width)]
