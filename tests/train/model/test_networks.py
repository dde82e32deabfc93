"""The fully connected networks, the convolutional networks, and their adapters."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vaedge_train import TrainConfig
from vaedge_train.build import build_vae
from vaedge_train.data.examples import Examples
from vaedge_train.model.adapters import Labeled, SharedScale
from vaedge_train.model.conv import ConvDecoder, Residual
from vaedge_train.model.mlp import ACTIVATIONS, Decoder, Encoder, Gated


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 12), (3, 5, 6), (3, 30, 30), (1, 1, 3)])
@pytest.mark.parametrize("likelihood", ["bernoulli", "discretized_logistic"])
def test_conv_networks_have_the_right_shapes(shape, likelihood):
    config = TrainConfig(network="conv", channels=4, latent=5, likelihood=likelihood)
    x = torch.rand(2, *shape).round()
    vae = build_vae(config, shape, train=Examples(x))
    mean, log_var = vae.inference(x)
    assert mean.shape == log_var.shape == (2, 5)
    assert all(parameter.shape == x.shape for parameter in vae.generative(mean))
    assert vae(x, torch.zeros(1, 2, 5)).elbo.shape == (2,)


@pytest.mark.parametrize("shape", [(3, 5, 6), (3, 30, 30)])
@pytest.mark.parametrize("hidden", [None, (7,)])
def test_every_weight_and_every_pixel_of_conv_networks_has_a_gradient(shape, hidden):
    """If a side is not a multiple of four, the input of the encoder is padded, and the decoder output is cropped."""
    torch.manual_seed(0)
    config = TrainConfig(network="conv", channels=4, hidden=hidden, latent=5, likelihood="gaussian")
    vae = build_vae(config, shape)
    x = torch.rand(4, *shape, requires_grad=True)
    mean, log_var = vae.encoder(x)
    (mean.sum() + log_var.sum()).backward()
    assert (x.grad != 0).all()
    vae.zero_grad()
    vae(x, torch.randn(1, 4, 5)).elbo.sum().backward()
    for name, weight in vae.named_parameters():
        assert weight.grad.isfinite().all(), name
        assert weight.grad.abs().sum() > 0, name


def test_conv_decoder_with_mirrored_weights_returns_the_mirrored_image():
    """If the decoder cropped the image at a wrong position, the results would differ."""
    torch.manual_seed(0)
    decoder = ConvDecoder(latent=5, channels=4, hidden=(), output_shape=(3, 8, 12), parameters=1)
    z = torch.randn(2, 5)
    (image,) = decoder(z)
    with torch.no_grad():
        for weight in decoder.parameters():
            if weight.ndim == 4:
                weight.copy_(weight.flip(3))
        for tensor in decoder.input[-1].parameters():  # its outputs are 8 channels of 2 x 3 pixels
            tensor.copy_(tensor.unflatten(0, (8, 2, 3)).flip(2).flatten(0, 2))
    torch.testing.assert_close(decoder(z)[0], image.flip(3))


def test_conv_networks_learn():
    """After training on two kinds of images, the ELBO is higher, and z separates the two kinds."""
    torch.manual_seed(0)
    x = torch.zeros(64, 1, 8, 8)
    x[:32, :, :, :4] = 1
    x[32:, :, :4, :] = 1
    vae = build_vae(
        TrainConfig(network="conv", channels=8, latent=2, likelihood="bernoulli"), (1, 8, 8), train=Examples(x)
    )
    optimizer = torch.optim.Adam(vae.parameters(), 3e-3)
    elbos = []
    for _ in range(120):
        elbo = vae(x, torch.randn(1, 64, 2)).elbo.mean()
        optimizer.zero_grad()
        (-elbo).backward()
        optimizer.step()
        elbos.append(elbo.item())
    assert elbos[-1] > elbos[0] + 20
    assert (vae.reconstruct(x) - x).abs().mean() < 0.1


def test_residual_block_adds_to_its_input():
    block, x = Residual(6), torch.randn(2, 6, 4, 4)
    expected = x + block.second(F.silu(block.first(F.silu(block.normalize(x)))))
    torch.testing.assert_close(block(x), expected)
    nn.init.zeros_(block.second.weight)
    nn.init.zeros_(block.second.bias)
    assert torch.equal(block(x), x)


def test_gated_layer_multiplies_by_a_sigmoid():
    layer, x = Gated(3, 2), torch.randn(4, 3)
    values, gates = nn.functional.linear(x, layer.both.weight, layer.both.bias).chunk(2, 1)
    torch.testing.assert_close(layer(x), values * torch.sigmoid(gates))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_makes_the_networks_nonlinear(activation):
    torch.manual_seed(0)
    encoder, decoder = Encoder((6,), (5, 4), 2, activation), Decoder(2, (4, 5), (6,), activation)
    x, z = torch.randn(3, 6), torch.randn(3, 2)
    for network, inputs in ((encoder, x), (decoder, z)):
        doubled = network(2 * inputs)[0] - network(torch.zeros_like(inputs))[0]
        assert not torch.allclose(doubled, 2 * (network(inputs)[0] - network(torch.zeros_like(inputs))[0]))


def test_decoder_starts_at_the_given_parameters():
    decoder = Decoder(2, (), (2, 3), "relu", parameters=2)
    loc, log_scale = torch.rand(2, 3), torch.rand(2, 3)
    decoder.start_at([loc, log_scale])
    found = decoder(torch.zeros(1, 2))
    torch.testing.assert_close(found[0][0], loc)
    torch.testing.assert_close(found[1][0], log_scale)


def test_labeled_network_receives_one_hot_classes():
    inputs = []
    network = Labeled(nn.Identity(), 3)
    network.network.register_forward_hook(lambda _, given, __: inputs.append(given[0]))
    network(torch.zeros(2, 1), torch.tensor([2, 0]))
    assert inputs[0].tolist() == [[0, 0, 0, 1], [0, 1, 0, 0]]
    network(torch.zeros(2, 1, 2, 2), torch.tensor([2, 0]))
    assert inputs[1].shape == (2, 4, 2, 2)
    assert inputs[1].sum((2, 3)).tolist() == [[0, 0, 0, 4], [0, 4, 0, 0]]


@pytest.mark.parametrize("learned", [False, True])
def test_shared_scale_is_the_same_for_all_elements(learned):
    decoder = SharedScale(Decoder(2, (4,), (3,), "relu"), -1.5, learned=learned)
    loc, log_scale = decoder(torch.randn(4, 2))
    assert loc.shape == log_scale.shape == (4, 3)
    assert log_scale.unique().tolist() == [-1.5]
    assert ("log_scale" in dict(decoder.named_parameters())) == learned
    assert "log_scale" in decoder.state_dict()
