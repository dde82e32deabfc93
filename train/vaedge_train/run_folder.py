"""The run folder: what training leaves behind, and everything that the export stage needs.

`config.json` (the configuration and the shape of x), `model.safetensors`, `metrics.jsonl` (one line an epoch),
`examples.npz` (test items, so that nothing later needs the data set) and two picture grids.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from vaedge_train.config import TrainConfig
from vaedge_train.errors import RunError
from vaedge_train.likelihoods import LIKELIHOODS
from vaedge_train.networks import Decoder, Encoder
from vaedge_train.vae import VAE

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
METRICS = "metrics.jsonl"
EXAMPLES = "examples.npz"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: the folder.
        config: how it was trained.
        input_shape: shape of one item of x.
        vae: the trained model, in evaluation mode.
        examples: (n, *input_shape) float32 in [0, 1], test items.
        metrics: the last epoch's figures, nats per item.
    """

    path: Path
    config: TrainConfig
    input_shape: tuple[int, ...]
    vae: VAE
    examples: npt.NDArray[np.float32]
    metrics: dict[str, Any]


def build_vae(config: TrainConfig, input_shape: tuple[int, ...], mean: Tensor | None = None) -> VAE:
    """Make the untrained model that a configuration describes, its weights drawn from the configuration's seed.

    Args:
        config: the configuration.
        input_shape: shape of one item of x.
        mean: of the training data, input_shape, where the decoder then starts; None leaves it at random.
    """
    likelihood = LIKELIHOODS[config.likelihood]
    hidden = config.hidden or (int(np.prod(input_shape)),)
    with torch.random.fork_rng(devices=[]):  # the caller's own random state stays as it was
        torch.manual_seed(config.seed)
        encoder = Encoder(input_shape, hidden, config.latent, config.activation)
        decoder = Decoder(config.latent, hidden[::-1], input_shape, config.activation)
    if mean is not None:
        decoder.start_at(likelihood.of_mean(mean))
    return VAE(encoder, decoder, likelihood)


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


def write_config(folder: Path, config: TrainConfig, input_shape: tuple[int, ...]) -> None:
    """Write `config.json`."""
    tree = {**asdict(config), "input_shape": input_shape}
    write_atomically(folder / CONFIG, (json.dumps(tree, indent=2) + "\n").encode())


def write_weights(folder: Path, vae: VAE) -> None:
    """Write `model.safetensors`."""
    write_atomically(folder / WEIGHTS, safetensors.torch.save(vae.state_dict()))


def append_metrics(folder: Path, row: dict[str, Any]) -> None:
    """Add a line to `metrics.jsonl`."""
    with (folder / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


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
    try:
        tree = json.loads((folder / CONFIG).read_text("utf-8"))
        input_shape = tuple(tree.pop("input_shape"))
        config = TrainConfig.from_dict(tree)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder / CONFIG} is damaged, or of another version of vaedge: {error}") from error
    vae = build_vae(config, input_shape)
    try:
        vae.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise RunError(f"{folder / WEIGHTS} is damaged, or does not fit {CONFIG}: {error}") from error
    try:
        with np.load(folder / EXAMPLES, allow_pickle=False) as archive:
            examples = archive["x"]
        metrics = json.loads((folder / METRICS).read_text("utf-8").splitlines()[-1])
    except (ValueError, OSError, KeyError, IndexError) as error:
        raise RunError(f"{folder} is damaged: {error}") from error
    return Run(folder, config, input_shape, vae.eval(), examples, metrics)


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
