"""Build the untrained model that a configuration describes."""

import math

import torch
from torch import Tensor, nn

from vaedge_train.config import TrainConfig
from vaedge_train.data.examples import scale
from vaedge_train.errors import ConfigError
from vaedge_train.model.adapters import Labeled, SharedScale
from vaedge_train.model.conv import ConvDecoder, ConvEncoder
from vaedge_train.model.likelihoods import LIKELIHOODS
from vaedge_train.model.mlp import Decoder, Encoder
from vaedge_train.model.priors import MixturePrior, Prior, StandardNormal, VampPrior
from vaedge_train.model.vae import VAE


def build_vae(config: TrainConfig, input_shape: tuple[int, ...], classes: int = 0, x: Tensor | None = None) -> VAE:
    """Build an untrained model, with weights drawn from the seed of the configuration.

    Args:
        config: The configuration.
        input_shape: Shape of one example.
        classes: Number of classes of a conditional model, or 0.
        x: (n, *input_shape) training examples, uint8 or float32. The untrained decoder returns about the mean of x. A
            VampPrior takes the first rows of x as its pseudo-inputs. Pass None if the weights are loaded afterward.

    Raises:
        ConfigError: The network does not take examples of this shape, or x has fewer rows than the VampPrior needs.
    """
    if config.network == "conv" and (len(input_shape) != 3 or input_shape[1] % 4 or input_shape[2] % 4):
        raise ConfigError(
            f"network 'conv' takes images whose height and width are multiples of four, but the examples have the "
            f"shape {input_shape}; use network 'mlp', or resize the images (--image-size)"
        )
    with torch.random.fork_rng(devices=[]):  # leaves the random state of the caller unchanged
        torch.manual_seed(config.seed)
        encoder = _encoder(config, input_shape, classes)
        decoder = _decoder(config, input_shape, classes, x)
        prior = _prior(config, input_shape, x)
    return VAE(encoder, decoder, LIKELIHOODS[config.likelihood], prior)


def _encoder(config: TrainConfig, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    network: nn.Module
    if config.network == "conv":
        colors, *sides = input_shape
        network = ConvEncoder((colors + classes, *sides), config.channels, config.latent)
        return Labeled(network, classes) if classes else network
    hidden = config.hidden or (math.prod(input_shape),)
    network = Encoder((math.prod(input_shape) + classes,), hidden, config.latent, config.activation)
    return Labeled(network, classes, flatten=True) if classes else network


def _decoder(config: TrainConfig, input_shape: tuple[int, ...], classes: int, x: Tensor | None) -> nn.Module:
    likelihood = LIKELIHOODS[config.likelihood]
    one_scale = config.likelihood == "gaussian" and config.gaussian_scale != "element"
    parameters = 1 if one_scale else len(likelihood.parameters)
    decoder: Decoder | ConvDecoder
    if config.network == "conv":
        decoder = ConvDecoder(config.latent + classes, config.channels, input_shape, parameters)
    else:
        hidden = (config.hidden or (math.prod(input_shape),))[::-1]
        decoder = Decoder(config.latent + classes, hidden, input_shape, config.activation, parameters)
    if x is not None:
        decoder.start_at(likelihood.at_mean(_mean(x))[:parameters])
    network: nn.Module = Labeled(decoder, classes) if classes else decoder
    if one_scale:
        learned = config.gaussian_scale == "shared"
        return SharedScale(network, 0.0 if learned else math.log(float(config.gaussian_scale)), learned=learned)
    return network


def _prior(config: TrainConfig, input_shape: tuple[int, ...], x: Tensor | None) -> Prior:
    if config.prior == MixturePrior.name:
        return MixturePrior(config.components, config.latent)
    if config.prior == VampPrior.name:
        if x is None:
            return VampPrior(torch.zeros(config.components, *input_shape))
        if len(x) < config.components:
            raise ConfigError(
                f"components is {config.components}; expected at most the number of training examples, {len(x)}"
            )
        return VampPrior(scale(x[: config.components]))
    return StandardNormal(config.latent)


def _mean(x: Tensor) -> Tensor:
    """Return the mean of all examples, (*input_shape) float32. The mean of uint8 pixels is scaled to [0, 1].

    The sum is computed in chunks, because a floating-point copy of all examples would need too much memory.
    """
    total = torch.zeros(x.shape[1:], dtype=torch.float64)
    for chunk in x.split(10_000):
        total += chunk.sum(0, dtype=torch.int64 if chunk.dtype == torch.uint8 else torch.float64)
    mean = (total / len(x)).float()
    return mean / 255 if x.dtype == torch.uint8 else mean
