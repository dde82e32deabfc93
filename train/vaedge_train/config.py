"""One training run, as data: each field is also a flag of `vaedge train` and a key of `config.json`."""

import math
import os
import shlex
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from vaedge_train.errors import ConfigError
from vaedge_train.loop.schedules import SCHEDULES
from vaedge_train.model.likelihoods import LIKELIHOODS
from vaedge_train.model.mlp import ACTIVATIONS
from vaedge_train.model.objective import OBJECTIVES
from vaedge_train.model.priors import PRIORS


def _field(default: Any, help: str) -> Any:  # noqa: A002 - argparse's own word
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What makes a run; its defaults are the article's model.

    Raises:
        ConfigError: a value cannot be used; the message names the field.
    """

    # The data.
    dataset: str = _field(
        "mnist-sample",
        "mnist-sample (ships with vaedge), a data set of torchvision, a folder of pictures, .npy, .npz",
    )
    data_dir: str = _field("data", "where torchvision finds or puts its data sets")
    image_size: tuple[int, ...] | None = _field(None, "height and width that every picture of a folder is resized to")
    skip_broken: bool = _field(False, "leave out the pictures of a folder that cannot be read, and name them")
    condition: str = _field("none", "label: encoder and decoder are told the class of each item")
    binarize: str = _field("none", "dynamic: draw 0 or 1 from each grey level, each time it is seen")
    validation: float = _field(0.0, "share of the training set that is held out to choose the best epoch")
    # The model.
    network: str = _field("mlp", "mlp, or conv for pictures whose sides are multiples of four")
    channels: int = _field(32, "of the conv network at half the picture's size, twice as many at a quarter")
    hidden: tuple[int, ...] | None = _field(
        None, "widths of the encoder's hidden layers, mirrored in the decoder (default: one, x's size)"
    )
    latent: int = _field(20, "size of z")
    activation: str = _field("relu", ", ".join(ACTIVATIONS))
    likelihood: str = _field("bce_surrogate", ", ".join(LIKELIHOODS))
    gaussian_scale: str = _field(
        "element", "of the gaussian likelihood: element (the decoder gives each), shared (one, learned), or a number"
    )
    prior: str = _field("standard_normal", ", ".join(PRIORS))
    components: int = _field(500, "how many Gaussians a mixture or vamp prior has")
    # The objective.
    objective: str = _field("elbo", ", ".join(OBJECTIVES))
    samples: int = _field(1, "draws of z per item and step")
    path_gradient: bool = _field(False, "leave the score out of the gradient: sticking the landing, or DReG for iwae")
    beta: float = _field(1.0, "weight of the rate; figures are reported at 1")
    warm_up: float = _field(0.0, "epochs over which beta rises from 0")
    # The descent.
    epochs: int = _field(50, "passes over the training set")
    batch_size: int = _field(128, "items per step")
    learning_rate: float = _field(1e-3, "of Adam")
    schedule: str = _field("constant", ", ".join(SCHEDULES))
    weight_decay: float = _field(0.0, "decoupled, as in AdamW")
    clip: float = _field(0.0, "greatest norm of the gradient; 0 for none")
    average: float = _field(0.0, "decay of a moving average of the weights, which is then what is kept; 0 for none")
    precision: str = _field("float32", "bfloat16: the matrix products in half precision, where the processor has it")
    compile: bool = _field(False, "compile the objective with torch.compile")
    seed: int = _field(0, "the same seed gives the same run")

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, _read(item.name, getattr(self, item.name), item.type))
        self._check(
            "an integer of at least 1",
            lambda v: v >= 1,
            "latent",
            "samples",
            "epochs",
            "batch_size",
            "components",
            "channels",
        )
        self._check("at least 0", lambda v: 0 <= v < math.inf, "beta", "warm_up", "weight_decay", "clip")
        self._check("0 to 2^63 - 1", lambda v: 0 <= v < 2**63, "seed")
        self._check("in [0, 1)", lambda v: 0 <= v < 1, "validation", "average")
        self._check("greater than 0", lambda v: 0 < v < math.inf, "learning_rate")
        self._check("sizes of at least 1", lambda v: v is None or (v and min(v) >= 1), "hidden", "image_size")
        self._check("a height and a width", lambda v: v is None or len(v) == 2, "image_size")
        for name, known in CHOICES.items():
            self._check(f"one of {', '.join(known)}", known.__contains__, name)
        self._check("element, shared, or a number from 0.0025 to 22026", _is_scale, "gaussian_scale")
        if self.gaussian_scale != "element" and self.likelihood != "gaussian":
            raise ConfigError(f"gaussian_scale is {self.gaussian_scale!r}, but likelihood is {self.likelihood!r}")
        if self.condition != "none" and self.prior == "vamp":
            raise ConfigError("prior 'vamp' knows no labels: for condition 'label' take mixture or standard_normal")

    def _check(self, expected: str, valid: Callable[[Any], Any], *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not valid(value):
                raise ConfigError(f"{name} is {value!r}; expected {expected}")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Return "name: other's value -> this value" for each field that differs, of those that shape the result."""
        own = self.to_dict()
        names = [name for name in own if name != "data_dir" and own[name] != other.get(name)]
        return [f"{name}: {other.get(name)} -> {own[name]}" for name in names]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a configuration of what JSON or the command line gave, where tuples have become lists.

        Raises:
            ConfigError: a key is no field, or a value cannot be used.
        """
        unknown = values.keys() - {item.name for item in fields(cls)}
        if unknown:
            raise ConfigError(f"unknown fields: {', '.join(sorted(unknown))}")
        return cls(**dict[str, Any](values))

    def command(self, name: str) -> str:
        """Return the command that repeats the run, with every field that is not at its default.

        Where things lie on this machine is left out: `data_dir`, and the folder above a folder of pictures.

        Args:
            name: of the run, for `--out runs/NAME`.
        """
        words = ["vaedge", "train", "--dataset", Path(self.dataset).name]
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name not in ("dataset", "data_dir") and value != item.default:
                words.append(flag(item.name))
                if value is not True:
                    words += map(str, value if isinstance(value, tuple) else (value,))
        return shlex.join([*words, "--out", f"runs/{name}"])


def _read(name: str, value: Any, expected: Any) -> Any:
    """Bring a value to its field's type where nothing is lost: a path to text, a whole number to a float, a list."""
    if expected is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if expected is float and type(value) is int:
        return float(value)
    if isinstance(expected, types.UnionType):
        if value is None:
            return None
        if isinstance(value, list | tuple) and all(type(size) is int for size in value):
            return tuple(value)
        raise ConfigError(f"{name} is {value!r}; expected a tuple of whole numbers, such as (400, 200)")
    if type(value) is not expected:
        raise ConfigError(f"{name} is {value!r}; expected {expected.__name__}")
    return value


def _is_scale(text: str) -> bool:
    """Say whether it is a word, or a scale between the bounds of the Gaussian's log_scale, -6 and 10."""
    try:
        return text in ("element", "shared") or -6 <= math.log(float(text)) <= 10
    except ValueError:
        return False


CHOICES: Mapping[str, Collection[str]] = {
    "binarize": ("none", "dynamic"),
    "condition": ("none", "label"),
    "network": ("mlp", "conv"),
    "activation": ACTIVATIONS,
    "likelihood": LIKELIHOODS,
    "prior": PRIORS,
    "objective": OBJECTIVES,
    "schedule": SCHEDULES,
    "precision": ("float32", "bfloat16"),
}


def flag(name: str) -> str:
    """Return the command line's spelling of a field: `batch_size` -> `--batch-size`."""
    return "--" + name.replace("_", "-")
