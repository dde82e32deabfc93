"""The run folder: what training leaves behind, and everything that the export stage needs.

`config.json` (the configuration and the shape of x), `model.safetensors`, `metrics.jsonl` (one line an epoch),
`examples.npz` (test items, so that nothing later needs the data set) and two picture grids.
"""

import json
import math
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
import torch
from torch import Tensor

from vaedge_train.config import TrainConfig
from vaedge_train.conv import ConvDecoder, ConvEncoder
from vaedge_train.errors import ConfigError, RunError
from vaedge_train.likelihoods import LIKELIHOODS
from vaedge_train.networks import Decoder, Encoder
from vaedge_train.priors import MixturePrior, Prior, StandardNormal, VampPrior
from vaedge_train.vae import VAE

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
        vae: the trained model, in evaluation mode.
        examples: (n, *input_shape) float32 in [0, 1], test items.
        metrics: the figures of the last epoch that was kept, nats per item.
        evaluation: what `vaedge evaluate` found, or None.
    """

    path: Path
    config: TrainConfig
    input_shape: tuple[int, ...]
    vae: VAE
    examples: npt.NDArray[np.float32]
    metrics: dict[str, Any]
    evaluation: dict[str, Any] | None


def build_vae(config: TrainConfig, input_shape: tuple[int, ...], items: Tensor | None = None) -> VAE:
    """Make the untrained model that a configuration describes, its weights drawn from the configuration's seed.

    Args:
        config: the configuration.
        input_shape: shape of one item of x.
        items: (n, *input_shape) training data as the networks take it, around whose mean the decoder then starts,
            and of which a VampPrior's pseudo-inputs are the first; None leaves both to be loaded.

    Raises:
        ConfigError: the network does not take items of this shape, or there are fewer of them than pseudo-inputs.
    """
    if config.network == "conv" and (len(input_shape) != 3 or input_shape[1] % 4 or input_shape[2] % 4):
        raise ConfigError(f"network 'conv' takes pictures whose sides are multiples of four, not items {input_shape}")
    likelihood = LIKELIHOODS[config.likelihood]
    hidden = config.hidden or (math.prod(input_shape),)
    with torch.random.fork_rng(devices=[]):  # the caller's own random state stays as it was
        torch.manual_seed(config.seed)
        encoder: Encoder | ConvEncoder
        decoder: Decoder | ConvDecoder
        if config.network == "conv":
            encoder = ConvEncoder(input_shape, config.channels, config.latent)
            decoder = ConvDecoder(config.latent, config.channels, input_shape, len(likelihood.parameters))
        else:
            encoder = Encoder(input_shape, hidden, config.latent, config.activation)
            decoder = Decoder(config.latent, hidden[::-1], input_shape, config.activation, len(likelihood.parameters))
        prior: Prior
        if config.prior == MixturePrior.name:
            prior = MixturePrior(config.components, config.latent)
        elif config.prior == VampPrior.name:
            if items is not None and len(items) < config.components:
                raise ConfigError(f"components is {config.components}, but there are only {len(items)} training items")
            prior = VampPrior(
                torch.zeros(config.components, *input_shape) if items is None else items[: config.components]
            )
        else:
            prior = StandardNormal(config.latent)
    if items is not None:
        decoder.start_at(likelihood.at_mean(items.mean(0)))
    return VAE(encoder, decoder, likelihood, prior)


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
    tree = {**config.to_dict(), "input_shape": input_shape}
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


def read_config(folder: Path) -> tuple[TrainConfig, tuple[int, ...]]:
    """Return the configuration of a run and the shape of its items.

    Raises:
        RunError: `config.json` is missing or damaged.
    """
    try:
        tree = json.loads((folder / CONFIG).read_text("utf-8"))
        input_shape = tuple(tree.pop("input_shape"))
        return TrainConfig.from_dict(tree), input_shape
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
    config, input_shape = read_config(folder)
    vae = build_vae(config, input_shape)
    try:
        vae.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise RunError(f"{folder / WEIGHTS} is damaged, or does not fit {CONFIG}: {error}") from error
    try:
        with np.load(folder / EXAMPLES, allow_pickle=False) as archive:
            examples = archive["x"]
        metrics = [row for row in read_metrics(folder) if row["kept"]][-1]
        evaluation = json.loads((folder / EVALUATION).read_text("utf-8")) if (folder / EVALUATION).exists() else None
    except (ValueError, OSError, EOFError, KeyError, IndexError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise RunError(f"{EXAMPLES}, {METRICS} or {EVALUATION} in {folder} is damaged: {error!r}") from error
    return Run(folder, config, input_shape, vae.eval(), examples, metrics, evaluation)


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
