"""Build the untrained model that a configuration describes."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from vaedge_train.config import TrainConfig
from vaedge_train.data.examples import Examples, scale
from vaedge_train.errors import ConfigError
from vaedge_train.model.adapters import Labeled, SharedScale
from vaedge_train.model.conv import ConvDecoder, ConvEncoder
from vaedge_train.model.likelihoods import LIKELIHOODS
from vaedge_train.model.mlp import Decoder, Encoder
from vaedge_train.model.priors import MixturePrior, Prior, StandardNormal, VampPrior
from vaedge_train.model.standardization import Moments, Standardization
from vaedge_train.model.vae import VAE

# Minimum width of the default hidden layer for standardized data. By default, the width is the number of elements
# of x, which is too narrow for a table of a dozen columns. With most seeds, a model with such a narrow layer uses more
# latents than it needs, and the standard deviations of its samples are a tenth too small.
_MIN_WIDTH = 128


def build_vae(
    config: TrainConfig,
    input_shape: tuple[int, ...],
    classes: int = 0,
    train: Examples | None = None,
    moments: Moments | None = None,
) -> VAE:
    """Build an untrained model. The seed of the configuration determines its initial weights.

    Args:
        config: The configuration.
        input_shape: Shape of one example.
        classes: Number of classes of a conditional model; 0 if the model is not conditional.
        train: The training examples. The decoder starts near their mean. The first examples become the initial
            pseudo-inputs of a VampPrior. None if the weights are loaded afterward.
        moments: Mean and standard deviation of the training data, if the networks take standardized data. Otherwise,
            None.

    Raises:
        ConfigError: The network does not take examples of this shape, or a VampPrior has more components than there
            are training examples.
    """
    if config.network == "conv" and len(input_shape) != 3:
        raise ConfigError(
            f"network 'conv' takes images, (channels, height, width), but the examples have the shape {input_shape}; "
            "use network 'mlp'"
        )
    standardization = None if moments is None else Standardization(moments)
    with torch.random.fork_rng(devices=[]):  # leaves the random state of the caller unchanged
        torch.manual_seed(config.seed)
        hidden = _hidden(config, input_shape, moments)
        encoder = _encoder(config, input_shape, classes, hidden)
        decoder = _decoder(
            config, input_shape, classes, hidden, None if train is None else _mean(train, standardization)
        )
        prior = _prior(config, input_shape, train, standardization)
    return VAE(encoder, decoder, LIKELIHOODS[config.likelihood], prior, standardization)


def _hidden(config: TrainConfig, input_shape: tuple[int, ...], moments: Moments | None) -> tuple[int, ...]:
    """Return the widths of the fully connected hidden layers of the encoder."""
    if config.hidden is not None:
        return config.hidden
    return () if config.network == "conv" else (max(math.prod(input_shape), 1 if moments is None else _MIN_WIDTH),)


def _encoder(config: TrainConfig, input_shape: tuple[int, ...], classes: int, hidden: tuple[int, ...]) -> nn.Module:
    network: nn.Module
    if config.network == "conv":
        colors, *sides = input_shape
        network = ConvEncoder((colors + classes, *sides), config.channels, hidden, config.latent)
        return Labeled(network, classes) if classes else network
    network = Encoder((math.prod(input_shape) + classes,), hidden, config.latent, config.activation)
    return Labeled(network, classes, flatten=True) if classes else network


def _decoder(
    config: TrainConfig, input_shape: tuple[int, ...], classes: int, hidden: tuple[int, ...], mean: Tensor | None
) -> nn.Module:
    """Return an untrained decoder. If `mean` is given, the mean of p(x|z) is about `mean` for every z."""
    likelihood = LIKELIHOODS[config.likelihood]
    one_scale = config.likelihood == "gaussian" and config.gaussian_scale != "element"
    parameters = 1 if one_scale else len(likelihood.parameters)
    decoder: Decoder | ConvDecoder
    if config.network == "conv":
        decoder = ConvDecoder(config.latent + classes, config.channels, hidden[::-1], input_shape, parameters)
    else:
        decoder = Decoder(config.latent + classes, hidden[::-1], input_shape, config.activation, parameters)
    if mean is not None:
        decoder.start_at(likelihood.at_mean(mean)[:parameters])
    network: nn.Module = Labeled(decoder, classes) if classes else decoder
    if one_scale:
        learned = config.gaussian_scale == "shared"
        return SharedScale(network, 0.0 if learned else math.log(float(config.gaussian_scale)), learned=learned)
    return network


def _prior(
    config: TrainConfig, input_shape: tuple[int, ...], train: Examples | None, standardization: Standardization | None
) -> Prior:
    if config.prior == MixturePrior.name:
        return MixturePrior(config.components, config.latent)
    if config.prior == VampPrior.name:
        value_range = _value_range(config, standardization)
        if train is None:
            return VampPrior(torch.zeros(config.components, *input_shape), value_range)
        if len(train) < config.components:
            raise ConfigError(
                f"components is {config.components}; expected at most the number of training examples, {len(train)}"
            )
        pseudo_inputs = scale(train[: config.components].x)
        return VampPrior(pseudo_inputs if standardization is None else standardization(pseudo_inputs), value_range)
    return StandardNormal(config.latent)


def _value_range(config: TrainConfig, standardization: Standardization | None) -> tuple[float, float] | None:
    """Return the minimum and the maximum of x in the units of the networks, or None if x has no limits.

    With `standardize` "auto", a run standardizes its data if a value is outside [0, 1]. If all values are inside, the
    limits are 0 and 1.
    """
    if standardization is None and config.standardize == "auto":
        return 0.0, 1.0
    return LIKELIHOODS[config.likelihood].support


def _mean(train: Examples, standardization: Standardization | None) -> Tensor:
    """Return the mean of all examples, (*input_shape) float32 in the units of the networks."""
    total = torch.zeros(train.shape, dtype=torch.float64)
    for chunk in train.chunks("averaging data"):
        # numpy adds integers ten times faster than torch.
        total += torch.from_numpy(chunk.stored.numpy().sum(0, dtype=np.int64 if train.is_8_bit else np.float64))
    mean = (total / len(train)).float()
    if standardization is not None:
        return standardization(mean)  # type: ignore[no-any-return]
    return mean / 255 if train.is_8_bit else mean
