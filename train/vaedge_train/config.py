"""One training run, as data: each field is also a flag of `vaedge train` and a key of `config.json`."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from vaedge_train.errors import ConfigError
from vaedge_train.likelihoods import LIKELIHOODS
from vaedge_train.networks import ACTIVATIONS


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What makes a run; its defaults are the article's model.

    Raises:
        ConfigError: a value cannot be used; the message names the field.
    """

    dataset: str = field(
        default="mnist-sample",
        metadata={"help": "mnist-sample (ships with vaedge), a data set of torchvision, or a folder of pictures"},
    )
    data_dir: str = field(default="data", metadata={"help": "where torchvision finds or puts its data sets"})
    image_size: tuple[int, ...] | None = field(
        default=None, metadata={"help": "height and width that every picture of a folder is resized to"}
    )
    hidden: tuple[int, ...] | None = field(
        default=None,
        metadata={"help": "widths of the encoder's hidden layers, mirrored in the decoder (default: one, x's size)"},
    )
    latent: int = field(default=20, metadata={"help": "size of z"})
    activation: str = field(default="relu", metadata={"help": ", ".join(ACTIVATIONS)})
    likelihood: str = field(default="bce_surrogate", metadata={"help": ", ".join(LIKELIHOODS)})
    samples: int = field(default=1, metadata={"help": "draws of z per item that estimate the reconstruction term"})
    epochs: int = field(default=50, metadata={"help": "passes over the training set"})
    batch_size: int = field(default=128, metadata={"help": "items per step"})
    learning_rate: float = field(default=1e-3, metadata={"help": "of Adam"})
    seed: int = field(default=0, metadata={"help": "the same seed gives the same run"})

    def __post_init__(self) -> None:
        for name in ("latent", "samples", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("hidden", "image_size"):
            sizes = getattr(self, name)
            if sizes is not None and (not sizes or min(sizes) < 1):
                raise ConfigError(f"{name} is {sizes}; every size must be at least 1")
        if self.image_size is not None and len(self.image_size) != 2:
            raise ConfigError(f"image_size is {self.image_size}; it takes a height and a width")
        if not 0 < self.learning_rate < float("inf"):
            raise ConfigError(f"learning_rate is {self.learning_rate}; it must be greater than 0")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; it must be at least 0")
        for name, known in (("activation", ACTIVATIONS), ("likelihood", LIKELIHOODS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; known are {', '.join(known)}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a configuration of what JSON or the command line gave, where tuples have become lists.

        Raises:
            ConfigError: a key is no field, or a value cannot be used.
        """
        unknown = values.keys() - {item.name for item in fields(cls)}
        if unknown:
            raise ConfigError(f"unknown fields: {', '.join(sorted(unknown))}")
        known: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**known)

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
                words += [flag(item.name), *map(str, value if isinstance(value, tuple) else (value,))]
        return shlex.join([*words, "--out", f"runs/{name}"])


def flag(name: str) -> str:
    """Return the command line's spelling of a field: `batch_size` -> `--batch-size`."""
    return "--" + name.replace("_", "-")
