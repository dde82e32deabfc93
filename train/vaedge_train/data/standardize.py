"""Decide whether a run standardizes its data, and measure the mean and the standard deviation."""

from collections.abc import Sequence

from vaedge_train.config import TrainConfig
from vaedge_train.data.column_warnings import warn_about_scales
from vaedge_train.data.examples import Examples
from vaedge_train.errors import ConfigError
from vaedge_train.model.likelihoods import LIKELIHOODS
from vaedge_train.model.standardization import Moments, measure


def moments_of(train: Examples, config: TrainConfig, features: Sequence[str] = ()) -> Moments | None:
    """Return mean and standard deviation of the training data. Return None if the run does not standardize its data.

    With `standardize` "off", one warning names the columns with a very large or a very small standard deviation.

    Args:
        train: The training examples.
        config: The configuration.
        features: Names of the columns of a table; may be empty.

    Raises:
        ConfigError: `standardize` is "on", and the data is 8-bit.
    """
    if LIKELIHOODS[config.likelihood].support is not None:
        return None
    if train.is_8_bit:
        if config.standardize == "on":
            raise ConfigError(
                f"standardize is 'on', but {config.dataset} is 8-bit data, which is always divided by 255; use "
                "standardize 'auto' or 'off', or store the data as floating-point numbers"
            )
        return None
    if config.standardize != "on" and _is_within_unit_interval(train):
        return None
    moments = measure(chunk.stored for chunk in train.chunks("measuring data"))
    if config.standardize == "off":
        warn_about_scales(moments, features)
        return None
    return moments


def _is_within_unit_interval(train: Examples) -> bool:
    chunks = (chunk.stored for chunk in train.chunks("comparing values with 0 and 1"))
    return all(bool(((chunk >= 0) & (chunk <= 1)).all()) for chunk in chunks)
