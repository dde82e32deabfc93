"""A configuration becomes an untrained model."""

import math

import torch
from torch import Tensor, nn

from vaedge_train.config import TrainConfig
from vaedge_train.data.examples import scale
from vaedge_train.errors import ConfigError
from vaedge_train.model.adapters import Labelled, SharedScale
from vaedge_train.model.conv import ConvDecoder, ConvEncoder
from vaedge_train.model.likelihoods import LIKELIHOODS
from vaedge_train.model.mlp import Decoder, Encoder
from vaedge_train.model.priors import MixturePrior, Prior, StandardNormal, VampPrior
from vaedge_train.model.vae import VAE


def build_vae(config: TrainConfig, input_shape: tuple[int, ...], classes: int = 0, items: Tensor | None = None) -> VAE:
    """Make the untrained model that a configuration describes, its weights drawn from the configuration's seed.

    Args:
        config: the configuration.
        input_shape: shape of one item of x.
        classes: how many there are, for a conditional model.
        items: (n, *input_shape) training data, uint8 or float32, around whose mean the decoder then starts, and of
            which a VampPrior's pseudo-inputs are the first; None leaves both to be loaded.

    Raises:
        ConfigError: the network does not take items of this shape, or there are fewer of them than pseudo-inputs.
    """
    if config.network == "conv" and (len(input_shape) != 3 or input_shape[1] % 4 or input_shape[2] % 4):
        raise ConfigError(f"network 'conv' takes pictures whose sides are multiples of four, not items {input_shape}")
    with torch.random.fork_rng(devices=[]):  # the caller's own random state stays as it was
        torch.manual_seed(config.seed)
        encoder = _encoder(config, input_shape, classes)
        decoder = _decoder(config, input_shape, classes, items)
        prior = _prior(config, input_shape, items)
    return VAE(encoder, decoder, LIKELIHOODS[config.likelihood], prior)


def _encoder(config: TrainConfig, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    network: nn.Module
    if config.network == "conv":
        colours, *sides = input_shape
        network = ConvEncoder((colours + classes, *sides), config.channels, config.latent)
        return Labelled(network, classes) if classes else network
    hidden = config.hidden or (math.prod(input_shape),)
    network = Encoder((math.prod(input_shape) + classes,), hidden, config.latent, config.activation)
    return Labelled(network, classes, flatten=True) if classes else network


def _decoder(config: TrainConfig, input_shape: tuple[int, ...], classes: int, items: Tensor | None) -> nn.Module:
    likelihood = LIKELIHOODS[config.likelihood]
    one_scale = config.likelihood == "gaussian" and config.gaussian_scale != "element"
    parameters = 1 if one_scale else len(likelihood.parameters)
    decoder: Decoder | ConvDecoder
    if config.network == "conv":
        decoder = ConvDecoder(config.latent + classes, config.channels, input_shape, parameters)
    else:
        hidden = (config.hidden or (math.prod(input_shape),))[::-1]
        decoder = Decoder(config.latent + classes, hidden, input_shape, config.activation, parameters)
    if items is not None:
        decoder.start_at(likelihood.at_mean(_mean(items))[:parameters])
    network: nn.Module = Labelled(decoder, classes) if classes else decoder
    if one_scale:
        learned = config.gaussian_scale == "shared"
        return SharedScale(network, 0.0 if learned else math.log(float(config.gaussian_scale)), learned=learned)
    return network


def _prior(config: TrainConfig, input_shape: tuple[int, ...], items: Tensor | None) -> Prior:
    if config.prior == MixturePrior.name:
        return MixturePrior(config.components, config.latent)
    if config.prior == VampPrior.name:
        if items is not None and len(items) < config.components:
            raise ConfigError(f"components is {config.components}, but there are only {len(items)} training items")
        return VampPrior(
            torch.zeros(config.components, *input_shape) if items is None else scale(items[: config.components])
        )
    return StandardNormal(config.latent)


def _mean(items: Tensor) -> Tensor:
    """Return the mean item, (*input_shape) float32 as the networks take it, without a floating copy of all items."""
    total = torch.zeros(items.shape[1:], dtype=torch.float64)
    for chunk in items.split(10_000):
        total += chunk.sum(0, dtype=torch.int64 if chunk.dtype == torch.uint8 else torch.float64)
    mean = (total / len(items)).float()
    return mean / 255 if items.dtype == torch.uint8 else mean
