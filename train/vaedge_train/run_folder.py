"""The run folder: what training leaves behind, and everything that the export stage needs.

`config.json` (the configuration and the shape of x), `model.safetensors`, `metrics.jsonl` (one line an epoch),
`examples.npz` (test items, so that nothing later needs the data set) and two picture grids.
"""

import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch

from vaedge_train.build import build_vae
from vaedge_train.config import TrainConfig
from vaedge_train.errors import RunError
from vaedge_train.model.vae import VAE

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
METRICS = "metrics.jsonl"
EXAMPLES = "examples.npz"
EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: the folder.
        config: how it was trained.
        input_shape: shape of one item of x.
        classes: names of the labels' values; empty where the model is not conditional.
        vae: the trained model, in evaluation mode.
        examples: test items: x (n, *input_shape) float32, and y (n,) int64 where the model is conditional.
        metrics: the figures of the last epoch that was kept, nats per item.
        evaluations: what `vaedge evaluate` found, one for each seed and k.
    """

    path: Path
    config: TrainConfig
    input_shape: tuple[int, ...]
    classes: tuple[str, ...]
    vae: VAE
    examples: dict[str, npt.NDArray[Any]]
    metrics: dict[str, Any]
    evaluations: list[dict[str, Any]]


def create_run(path: str | os.PathLike[str]) -> Path:
    """Make the folder of a new run.

    Raises:
        RunError: something is there already.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise RunError(f"{folder} exists already: name another folder, or remove it first") from error
    return folder


def write_config(folder: Path, config: TrainConfig, input_shape: tuple[int, ...], classes: tuple[str, ...]) -> None:
    """Write `config.json`."""
    tree = {**config.to_dict(), "input_shape": input_shape, "classes": classes}
    write_atomically(folder / CONFIG, (json.dumps(tree, indent=2) + "\n").encode())


def write_weights(folder: Path, vae: VAE) -> None:
    """Write `model.safetensors`."""
    write_atomically(folder / WEIGHTS, safetensors.torch.save(vae.state_dict()))


def append_metrics(folder: Path, row: dict[str, Any]) -> None:
    """Add a line to `metrics.jsonl`; a kill may cut it short, and the resumed run then writes it again."""
    with (folder / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of `metrics.jsonl`."""
    return [json.loads(line) for line in (folder / METRICS).read_text("utf-8").splitlines()]


def keep_metrics(folder: Path, epochs: int) -> None:
    """Drop the rows past an epoch, which a resumed run will write again."""
    if (folder / METRICS).exists():
        lines = (folder / METRICS).read_text("utf-8").splitlines(keepends=True)
        write_atomically(folder / METRICS, "".join(lines[:epochs]).encode())


def read_config(folder: Path) -> tuple[TrainConfig, tuple[int, ...], tuple[str, ...]]:
    """Return the configuration of a run, the shape of its items, and the names of their classes.

    Raises:
        RunError: `config.json` is missing or damaged.
    """
    try:
        tree = json.loads((folder / CONFIG).read_text("utf-8"))
        input_shape, classes = tuple(tree.pop("input_shape")), tuple(tree.pop("classes", ()))
        return TrainConfig.from_dict(tree), input_shape, classes
    except FileNotFoundError as error:
        raise RunError(f"{folder / CONFIG} is missing: {folder} is no run of `vaedge train`") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder / CONFIG} is damaged, or of another version of vaedge: {error}") from error


def load_run(path: str | os.PathLike[str]) -> Run:
    """Read a run folder.

    Raises:
        RunError: it is no run folder, the run has not finished an epoch, or a file is damaged.
    """
    folder = Path(path)
    for name in (CONFIG, WEIGHTS, METRICS, EXAMPLES):
        if not (folder / name).is_file():
            raise RunError(
                f"{folder / name} is missing: {folder} is not a run that finished an epoch of `vaedge train`"
            )
    config, input_shape, classes = read_config(folder)
    vae = build_vae(config, input_shape, len(classes))
    try:
        vae.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise RunError(f"{folder / WEIGHTS} is damaged, or does not fit {CONFIG}: {error}") from error
    try:
        with np.load(folder / EXAMPLES, allow_pickle=False) as archive:
            examples = {name: archive[name] for name in ("x", *(("y",) if classes else ()))}
        metrics = [row for row in read_metrics(folder) if row["kept"]][-1]
        evaluations = json.loads((folder / EVALUATION).read_text("utf-8")) if (folder / EVALUATION).exists() else []
    except (ValueError, OSError, EOFError, KeyError, IndexError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise RunError(f"{EXAMPLES}, {METRICS} or {EVALUATION} in {folder} is damaged: {error!r}") from error
    return Run(folder, config, input_shape, classes, vae.eval(), examples, metrics, evaluations)


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside the destination, then rename, so that a killed run leaves the old file or the new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # a failed write does not say where
    finally:
        temporary.unlink(missing_ok=True)
