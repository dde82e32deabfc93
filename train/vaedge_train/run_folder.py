"""The run folder: the files that training writes. The export needs only this folder.

- `config.json`: the configuration, the shape of x and the names of the classes.
- `model.safetensors`: the weights.
- `metrics.jsonl`: one line of metrics for each epoch.
- `examples.npz`: some test examples, so that the export does not need the data set.
- `evaluation.json`: the results of `vaedge evaluate`.
- `metrics.png`: a plot of the metrics, if matplotlib is installed.
- Two image grids, a checkpoint and the events for TensorBoard.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
from torch import Tensor

from vaedge.files.arrays import UNREADABLE
from vaedge.files.atomic import write_atomically
from vaedge_train.build import build_vae
from vaedge_train.config import TrainConfig
from vaedge_train.errors import RunError
from vaedge_train.model.standardization import Moments
from vaedge_train.model.vae import VAE

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
METRICS = "metrics.jsonl"
EXAMPLES = "examples.npz"
EVALUATION = "evaluation.json"


class Description(NamedTuple):
    """The description of the data, which `config.json` holds in addition to the configuration.

    Attributes:
        input_shape: Shape of one example.
        classes: Names of the classes 0, 1, ...; empty if the model is not conditional.
        encoding: "uint8" if the data was 8-bit, and was divided by 255; otherwise None.
        features: Names of the columns of a table; empty if the columns have no names.
    """

    input_shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    encoding: str | None = None
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """A run that finished at least one epoch.

    Attributes:
        path: The run folder.
        config: The configuration.
        input_shape: Shape of one example.
        classes: Names of the classes 0, 1, ...; empty if the model is not conditional.
        encoding: "uint8" if the data was 8-bit, and was divided by 255; otherwise None.
        features: Names of the columns of a table; empty if the columns have no names.
        vae: The trained model, in evaluation mode.
        examples: Test examples: x (n, *input_shape) float32, and y (n,) int64 if the model is conditional.
        labels: Name of the class of each test example, also if the model is not conditional; empty if the data set
            has no classes.
        metrics: Metrics of the epoch whose weights were kept, in nats per example.
        evaluations: Results of `vaedge evaluate`, at most one for each combination of k, seed, and number of examples.
    """

    path: Path
    config: TrainConfig
    input_shape: tuple[int, ...]
    classes: tuple[str, ...]
    encoding: str | None
    features: tuple[str, ...]
    vae: VAE
    examples: dict[str, npt.NDArray[Any]]
    labels: tuple[str, ...]
    metrics: dict[str, Any]
    evaluations: list[dict[str, Any]]


def create_run(path: str | os.PathLike[str]) -> Path:
    """Create the folder of a new run, and return its path.

    Raises:
        RunError: The path exists.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise RunError(f"{folder} exists already; name another folder, or remove it first") from error
    return folder


def write_config(folder: Path, config: TrainConfig, description: Description) -> None:
    """Write `config.json`."""
    write_json(folder / CONFIG, {**config.to_dict(), **description._asdict()})


def write_weights(folder: Path, vae: VAE) -> None:
    """Write `model.safetensors`."""
    weights = {name: tensor.cpu().contiguous() for name, tensor in vae.state_dict().items()}
    write_atomically(folder / WEIGHTS, safetensors.torch.save(weights))


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON. The file is replaced atomically."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def append_metrics(folder: Path, row: dict[str, Any]) -> None:
    """Append a line to `metrics.jsonl`.

    If the process is killed and leaves half a line, the resumed run removes it and writes the whole line again.
    """
    with (folder / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Read `metrics.jsonl`. Return one dict for each epoch, from the name of each metric to its value."""
    return [json.loads(line) for line in (folder / METRICS).read_text("utf-8").splitlines()]


def truncate_metrics(folder: Path, epochs: int) -> None:
    """Keep only the lines of the first epochs in `metrics.jsonl`. The resumed run writes the later lines again.

    Args:
        folder: The run folder.
        epochs: Number of epochs whose lines are kept.
    """
    if (folder / METRICS).exists():
        lines = (folder / METRICS).read_text("utf-8").splitlines(keepends=True)
        write_atomically(folder / METRICS, "".join(lines[:epochs]).encode())


def read_config(folder: Path) -> tuple[TrainConfig, Description]:
    """Return the configuration of a run, and the description of its data.

    Raises:
        RunError: `config.json` is missing or damaged.
    """
    try:
        tree = json.loads((folder / CONFIG).read_text("utf-8"))
        description = Description(
            input_shape=tuple(tree.pop("input_shape")),
            classes=tuple(tree.pop("classes", ())),
            encoding=tree.pop("encoding", None),
            features=tuple(tree.pop("features", ())),
        )
        return TrainConfig.from_dict(tree), description
    except FileNotFoundError as error:
        raise RunError(f"{folder / CONFIG} is missing; expected {folder} to be a run of `vaedge train`") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{folder / CONFIG} is damaged, or was written by another version of vaedge; restore the file, or train "
            f"again. Reason: {error}"
        ) from error


def load_run(path: str | os.PathLike[str]) -> Run:
    """Read a run folder.

    Raises:
        RunError: The folder is not a run folder, the run has not finished an epoch, or a file is damaged.
    """
    folder = Path(path)
    for name in (CONFIG, WEIGHTS, METRICS, EXAMPLES):
        if not (folder / name).is_file():
            raise RunError(
                f"{folder / name} is missing; expected {folder} to be a run of `vaedge train` that finished an epoch"
            )
    config, description = read_config(folder)
    input_shape, classes, encoding, features = description
    try:
        weights = safetensors.torch.load_file(folder / WEIGHTS)
        vae = build_vae(config, input_shape, len(classes), moments=_read_moments(weights))
        vae.load_state_dict(weights)
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise RunError(
            f"{folder / WEIGHTS} is damaged, or does not fit {CONFIG}; restore the file, or train again. Reason: "
            f"{error}"
        ) from error
    try:
        with np.load(folder / EXAMPLES, allow_pickle=False) as archive:
            examples = {name: archive[name] for name in ("x", *(("y",) if classes else ()))}
            labels = tuple(archive["labels"].tolist()) if "labels" in archive else ()
        metrics = [row for row in read_metrics(folder) if row["kept"]][-1]
        evaluations = json.loads((folder / EVALUATION).read_text("utf-8")) if (folder / EVALUATION).exists() else []
    except (*UNREADABLE, IndexError) as error:
        raise RunError(
            f"{EXAMPLES}, {METRICS} or {EVALUATION} in {folder} is damaged; restore the file, or train again. Reason: "
            f"{error!r}"
        ) from error
    return Run(
        folder, config, input_shape, classes, encoding, features, vae.eval(), examples, labels, metrics, evaluations
    )


def _read_moments(weights: dict[str, Tensor]) -> Moments | None:
    """Return the mean and the standard deviation that are stored with the weights, or None if they are not stored."""
    names = [f"standardization.{name}" for name in Moments._fields]
    return Moments(*map(weights.__getitem__, names)) if all(name in weights for name in names) else None
