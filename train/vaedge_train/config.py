"""The configuration of a run. Each field is also a flag of `vaedge train` and a key of `config.json`."""

import math
import os
import shlex
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

from vaedge.errors import InputError
from vaedge.files.arrays import LABEL_NAMES
from vaedge.files.background import parse_background
from vaedge_train.errors import ConfigError
from vaedge_train.model.likelihoods import LIKELIHOODS
from vaedge_train.model.mlp import ACTIVATIONS
from vaedge_train.model.objective import OBJECTIVES
from vaedge_train.model.priors import PRIORS
from vaedge_train.schedules import SCHEDULES


class _Rule(NamedTuple):
    """A rule for the values of a field of TrainConfig.

    Attributes:
        expected: Description of the valid values, for the error message.
        holds: Function that returns whether a value is valid.
    """

    expected: str
    holds: Callable[[Any], Any]


def _is_gaussian_scale(text: str) -> bool:
    """Return whether a text is "element", "shared", or a number whose logarithm is from -6 to 10."""
    try:
        return text in ("element", "shared") or -6 <= math.log(float(text)) <= 10
    except ValueError:
        return False


def _is_color(text: str) -> bool:
    try:
        parse_background(text)
    except InputError:
        return False
    return True


_COUNT = _Rule("an integer of at least 1", lambda v: v >= 1)
_MAYBE_COUNT = _Rule("an integer of at least 1", lambda v: v is None or v >= 1)
_NOT_NEGATIVE = _Rule("a number of at least 0", lambda v: 0 <= v < math.inf)
_POSITIVE = _Rule("a number greater than 0", lambda v: 0 < v < math.inf)
_FRACTION = _Rule("a number of at least 0 and less than 1", lambda v: 0 <= v < 1)
_SEED = _Rule("an integer from 0 to 2^63 - 1", lambda v: 0 <= v < 2**63)
_SIZES = _Rule("one or more integers of at least 1", lambda v: v is None or (v and min(v) >= 1))
_IMAGE_SIZE = _Rule(
    "one size, or a height and a width, of at least 1", lambda v: v is None or (len(v) in (1, 2) and min(v) >= 1)
)
_BACKGROUND = _Rule("white, black, or R,G,B with integers from 0 to 255", lambda v: v is None or _is_color(v))
_SCALE = _Rule("'element', 'shared', or a number from 0.0025 to 22026", _is_gaussian_scale)


def _field(default: Any, help: str, rule: _Rule | None = None) -> Any:  # noqa: A002 - as in argparse
    return field(default=default, metadata={"help": help, "rule": rule, "choices": None})


def _choice(default: str, help: str, choices: Collection[str]) -> Any:  # noqa: A002
    rule = _Rule(f"one of {', '.join(choices)}", choices.__contains__)
    return field(default=default, metadata={"help": help, "rule": rule, "choices": list(choices)})


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The configuration of a run.

    By default, the fields have the values with which `models/article` was trained. `vaedge train --help` describes
    the fields.

    Raises:
        ConfigError: A value is invalid. The message names the field.
    """

    # Data.
    dataset: str = _field(
        "mnist-sample",
        "mnist-sample (ships with vaedge), the name of a torchvision data set, a folder of images (the names of its "
        "subfolders are labels), a .csv file with a header, or a .npy or .npz file (labels are "
        f"{LABEL_NAMES})",
    )
    label_column: str | None = _field(
        None,
        "column of a .csv file that holds the class of each row (see --condition label); this column is not in x",
    )
    data_dir: str = _field("data", "folder in which torchvision stores its data sets")
    image_size: tuple[int, ...] | None = _field(
        None, "height and width to which all images of a folder are resized; one number means both", _IMAGE_SIZE
    )
    background: str | None = _field(
        None, "color on which transparent images of a folder are composited: white, black, or R,G,B", _BACKGROUND
    )
    skip_broken: bool = _field(False, "skip unreadable images of a folder, and print their names")
    condition: str = _choice(
        "none",
        "label: train a conditional model, whose encoder and decoder also take the class of each example",
        ("none", "label"),
    )
    binarize: str = _choice(
        "none",
        "dynamic: in each epoch, replace each gray level of the training set by a new random 0 or 1",
        ("none", "dynamic"),
    )
    standardize: str = _choice(
        "auto",
        "subtract the mean of the data and divide by its standard deviation, for each column of a table or each "
        "channel of an image. The bundle takes and returns data in the original units. auto: on for the gaussian "
        "likelihood, if the data is floating-point data with values outside [0, 1]",
        ("auto", "on", "off"),
    )
    validation: float = _field(
        0.0,
        "fraction of the training set to hold out; the run keeps the weights of the epoch with the best ELBO on the "
        "held-out part",
        _FRACTION,
    )
    # Model.
    network: str = _choice(
        "mlp",
        "mlp (fully connected), or conv (residual convolutions, for images of any size)",
        ("mlp", "conv"),
    )
    channels: int = _field(
        32,
        "number of channels of the conv network at half the resolution; the number is doubled at a quarter of the "
        "resolution",
        _COUNT,
    )
    hidden: tuple[int, ...] | None = _field(
        None,
        "widths of the fully connected hidden layers of the encoder; the decoder has the same widths in reverse order. "
        "In the conv network, these layers are between the convolutions and z. Default for conv: no such layers. "
        "Default for mlp: one layer, whose width is the number of elements of x, but at least 128 if the data is "
        "standardized",
        _SIZES,
    )
    latent: int = _field(20, "size of the latent vector z", _COUNT)
    activation: str = _choice("relu", "activation of the mlp network", ACTIVATIONS)
    likelihood: str = _choice("bce_surrogate", "likelihood p(x|z)", LIKELIHOODS)
    gaussian_scale: str = _field(
        "element",
        "scale of the gaussian likelihood: element (the decoder returns one scale for each element of x), shared (one "
        "learned scale for all elements), or a number (a constant scale, in standard deviations if the data is "
        "standardized)",
        _SCALE,
    )
    prior: str = _choice("standard_normal", "prior p(z)", PRIORS)
    components: int = _field(500, "number of Gaussians in a mixture or vamp prior", _COUNT)
    # Objective.
    objective: str = _choice("elbo", "elbo, or iwae (the importance-weighted bound, with --samples draws)", OBJECTIVES)
    samples: int = _field(1, "number of draws of z for each example in each step", _COUNT)
    path_gradient: bool = _field(
        False, 'use a gradient with less variance: "sticking the landing" for elbo, DReG for iwae'
    )
    beta: float = _field(
        1.0,
        "weight of the rate (the KL divergence of q(z|x) from the prior) in the loss; the weight of the distortion "
        "(the reconstruction error) is 1; metrics always use beta = 1",
        _NOT_NEGATIVE,
    )
    warm_up: float = _field(0.0, "number of epochs during which beta rises linearly from 0", _NOT_NEGATIVE)
    # Optimization.
    epochs: int = _field(50, "number of passes over the training set", _COUNT)
    patience: int | None = _field(
        None, "stop if the ELBO on the validation part has not improved for this number of epochs", _MAYBE_COUNT
    )
    batch_size: int = _field(128, "number of examples per step", _COUNT)
    learning_rate: float = _field(1e-3, "learning rate of Adam", _POSITIVE)
    schedule: str = _choice("constant", "schedule of the learning rate", SCHEDULES)
    weight_decay: float = _field(0.0, "decoupled weight decay, as in AdamW", _NOT_NEGATIVE)
    clip: float = _field(0.0, "maximum norm of the gradient; 0 means no limit", _NOT_NEGATIVE)
    average: float = _field(
        0.0,
        "decay of a moving average of the weights; the run evaluates and stores the average instead of the weights; 0 "
        "means no average",
        _FRACTION,
    )
    precision: str = _choice(
        "float32",
        "float32, or bfloat16 (matrix products in half precision, on a CPU or GPU that supports bfloat16)",
        ("float32", "bfloat16"),
    )
    compile: bool = _field(False, "compile the objective with torch.compile")
    seed: int = _field(0, "seed of all random numbers; the same seed gives the same run", _SEED)

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = _converted(setting.name, getattr(self, setting.name), setting.type)
            object.__setattr__(self, setting.name, value)
            rule: _Rule | None = setting.metadata["rule"]
            if rule is not None and not rule.holds(value):
                raise ConfigError(f"{setting.name} is {value!r}; expected {rule.expected}")
        if self.image_size is not None and len(self.image_size) == 1:
            object.__setattr__(self, "image_size", self.image_size * 2)
        if self.gaussian_scale != "element" and self.likelihood != "gaussian":
            raise ConfigError(
                f"gaussian_scale is {self.gaussian_scale!r}, but likelihood is {self.likelihood!r}; "
                "gaussian_scale needs likelihood 'gaussian'"
            )
        if self.standardize == "on" and LIKELIHOODS[self.likelihood].support is not None:
            raise ConfigError(
                f"standardize is 'on', but the likelihood {self.likelihood!r} takes only values from "
                "0 to 1; standardize needs likelihood 'gaussian'"
            )
        if self.patience is not None and not self.validation:
            raise ConfigError(
                "patience needs a validation part, but validation is 0; set validation to a fraction such as 0.1"
            )
        if self.condition != "none" and self.prior == "vamp":
            raise ConfigError(
                "prior 'vamp' does not support conditions: with condition 'label' use prior 'mixture' or "
                "'standard_normal'"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of the fields for JSON, in which tuples are lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Return a text "name: other value -> own value" for each field that differs between two configurations.

        `data_dir` is not compared, because it does not change the result.

        Args:
            other: Fields of the other configuration, as `to_dict` returns them.
        """
        own = self.to_dict()
        names = [name for name in own if name != "data_dir" and own[name] != other.get(name)]
        return [f"{name}: {other.get(name)} -> {own[name]}" for name in names]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Create a configuration from a dict of field names and values. A tuple may be given as a list.

        Raises:
            ConfigError: A key is not the name of a field, or a value is invalid.
        """
        unknown = values.keys() - {setting.name for setting in fields(cls)}
        if unknown:
            raise ConfigError(f"unknown fields: {', '.join(sorted(unknown))}; expected only fields of TrainConfig")
        return cls(**dict[str, Any](values))

    def command(self, name: str) -> str:
        """Return the command `vaedge train ...` that repeats the run.

        The command sets every field that differs from its default. It contains no folders of this machine: it omits
        `data_dir`, and it shortens the path of a data set to its last part.

        Args:
            name: Name of the run, for `--out runs/NAME`.
        """
        words = ["vaedge", "train", "--dataset", Path(self.dataset).name]
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.name not in ("dataset", "data_dir") and value != setting.default:
                words.append(flag(setting.name))
                if value is not True:
                    words += map(str, value if isinstance(value, tuple) else (value,))
        return shlex.join([*words, "--out", f"runs/{name}"])


def flag(name: str) -> str:
    """Return the flag of a field on the command line: `batch_size` -> `--batch-size`."""
    return "--" + name.replace("_", "-")


def _converted(name: str, value: Any, expected: Any) -> Any:
    """Return a value as the expected type of a field.

    If a str is expected, a path is converted, too. If a float is expected, an int is converted, and if a tuple is
    expected, a list is converted. Other values must have the expected type.
    """
    if expected is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if expected is float and type(value) is int:
        return float(value)
    if isinstance(expected, types.UnionType):
        if value is None:
            return None
        if expected in (str | None, int | None):
            return _converted(name, value, str if expected == str | None else int)
        if isinstance(value, list | tuple) and all(type(size) is int for size in value):
            return tuple(value)
        raise ConfigError(f"{name} is {value!r}; expected a tuple of integers, such as (400, 200)")
    if type(value) is not expected:
        raise ConfigError(f"{name} is {value!r}; expected a value of type {expected.__name__}")
    return value
