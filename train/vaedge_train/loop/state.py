"""The state of a run. A checkpoint holds the whole state, so a resumed run has the same results, bit for bit."""

import copy
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedge.files.atomic import write_atomically
from vaedge_train.config import TrainConfig
from vaedge_train.data.examples import Examples
from vaedge_train.errors import ConfigError, DataError, RunError
from vaedge_train.model.vae import VAE

CHECKPOINT = "checkpoint.pt"
_FORMAT = 3
_SAVED_ATTRIBUTES = ("epoch", "step", "totals", "seconds", "best", "best_epoch", "data")


class TrainingState:
    """The state of a run between two steps. The next step depends on nothing else.

    Attributes:
        vae: The model that is trained.
        config: The configuration of the run.
        average: The model with the moving average of the weights, or None if `config.average` is 0.
        optimizer: AdamW with its moments. If the weight decay is 0, AdamW is the same as Adam.
        device: The device of the model.
        generator: Source of the random numbers for the binarization and the noise, on the device.
        epoch: Number of complete epochs.
        step: Number of steps in the current epoch.
        totals: (2,) float64 on the device, distortion and rate summed over the examples of the current epoch, in nats.
        seconds: Training time in seconds, including the time before the run was resumed.
        best: Largest ELBO so far on the part that is evaluated after each epoch, in nats per example.
        best_epoch: Number of the epoch with the ELBO `best`, counted from 1.
        data: SHA-256 of the training examples, which must be the same in a resumed run.
    """

    def __init__(self, vae: VAE, config: TrainConfig, train: Examples) -> None:
        """Start a run at step 0.

        Args:
            vae: The untrained model, on the device of the training.
            config: The configuration of the run.
            train: The training examples.
        """
        self.vae = vae
        self.config = config
        self.average = copy.deepcopy(vae).requires_grad_(False) if config.average else None
        # `fused` updates all weights in one pass over memory. The default takes 1.5 times as long for a small MLP.
        self.optimizer = torch.optim.AdamW(
            vae.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.device = vae.device
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.epoch = 0
        self.step = 0
        self.totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        self.seconds = 0.0
        self.best = -math.inf
        self.best_epoch = 0
        self.data = train.sha256()
        self._examples = len(train)

    @property
    def trained(self) -> VAE:
        """The model to evaluate and to keep: the moving average if there is one, otherwise `vae`."""
        return self.vae if self.average is None else self.average

    def update_average(self, updates: int) -> None:
        """Update the moving average of the model, if there is one.

        Args:
            updates: Number of earlier updates.
        """
        if self.average is not None:
            averages, weights = list(self.average.parameters()), list(self.vae.parameters())
            update_moving_average(averages, weights, self.config.average, updates)

    @property
    def examples_done(self) -> int:
        """Number of training examples that the steps of the current epoch have used."""
        return min(self.step * self.config.batch_size, self._examples)

    def begin_epoch(self) -> Iterator[Tensor]:
        """Yield the remaining batches of the epoch: for each batch, (batch_size,) int32 indices of training examples.

        The order of the examples depends only on the seed and the epoch.
        """
        if self.step == 0:
            self.totals.zero_()
        generator = torch.Generator().manual_seed(_mixed_seed(self.config.seed, self.epoch))
        order = torch.randperm(self._examples, generator=generator).int()
        starts = range(self.examples_done, self._examples, self.config.batch_size)
        return (order[start : start + self.config.batch_size] for start in starts)

    def end_epoch(self) -> None:
        """Count the epoch as complete."""
        self.epoch, self.step = self.epoch + 1, 0

    def save(self, folder: Path) -> None:
        """Write the checkpoint. The file is replaced atomically.

        Raises:
            OSError: The disk is full, or the folder is not writable. The earlier checkpoint is intact.
        """
        content = io.BytesIO()
        torch.save(
            {
                "format": _FORMAT,
                "config": self.config.to_dict(),
                "vae": self.vae.state_dict(),
                "average": self.average.state_dict() if self.average else None,
                "optimizer": self.optimizer.state_dict(),
                "device": self.device.type,
                "generator": self.generator.get_state(),
                **{name: getattr(self, name) for name in _SAVED_ATTRIBUTES},
            },
            content,
        )
        write_atomically(folder / CHECKPOINT, content.getbuffer())

    def load(self, folder: Path) -> None:
        """Restore the state from the checkpoint of a run folder.

        If the checkpoint was written on another kind of device, the noise comes from a new seed.

        Raises:
            RunError: The checkpoint is missing, damaged, or was written by another version of vaedge.
            ConfigError: The run was trained with another configuration.
            DataError: The run was trained on other examples.
        """
        path = folder / CHECKPOINT
        try:
            saved: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        except FileNotFoundError as error:
            raise RunError(f"{path} is missing; expected the checkpoint of a run. Start a new run instead") from error
        except Exception as error:  # torch.load may raise almost any exception
            reason = (str(error) or repr(error)).splitlines()[0]
            raise RunError(f"{path} is damaged; start a new run. Reason: {reason}") from error
        if not isinstance(saved, dict) or saved.get("format") != _FORMAT:
            raise RunError(f"{path} was written by another version of vaedge; resume with that version")
        # A checkpoint of an earlier version lacks newer fields. Their defaults give the behavior of that version.
        require_same_config(self.config, {**TrainConfig().to_dict(), **saved["config"]}, folder)
        if saved["data"] != self.data:
            raise DataError(
                f"{folder} was trained on examples that differ from the current examples of {self.config.dataset}; "
                "restore the data set to resume the run"
            )
        if saved["vae"].keys() != self.vae.state_dict().keys():
            raise RunError(
                f"{path} was written by a version of vaedge that does not standardize data; train again, or resume "
                "with that version"
            )
        self.vae.load_state_dict(saved["vae"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        for name in _SAVED_ATTRIBUTES:
            setattr(self, name, saved[name])
        self.totals = self.totals.to(self.device)
        if saved["device"] == self.device.type:
            self.generator.set_state(saved["generator"])
        else:
            self.generator.manual_seed(_mixed_seed(self.config.seed, self.epoch, self.step))


def _mixed_seed(*numbers: int) -> int:
    """Combine several numbers into one seed, which depends on each of them."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def require_same_config(config: TrainConfig, saved: dict[str, Any], folder: Path) -> None:
    """Raise ConfigError if a run was trained with a configuration other than the given one.

    Args:
        config: The configuration to resume with.
        saved: The fields of the configuration in the run folder.
        folder: The run folder, for the message.
    """
    differences = config.differences(saved)
    if differences:
        raise ConfigError(
            f"{folder} was trained with another configuration ({', '.join(differences)}); resume with the same "
            "configuration"
        )


@torch.no_grad()
def update_moving_average(averages: Sequence[Tensor], weights: Sequence[Tensor], decay: float, updates: int) -> None:
    """Update exponential moving averages in place: average <- d average + (1 - d) weight.

    After n updates, d is min(decay, (1 + n) / (10 + n)), as in TensorFlow's `ExponentialMovingAverage`. In the
    first update, d is 0. The next values of d are small, so the average soon forgets the first weights, which are
    almost random.

    torch's `AveragedModel` is not used, because it counts the updates on the device: on a GPU, each update would wait
    for this count.

    Args:
        averages: The averages.
        weights: The weights, in the same order.
        decay: The final value of d, at least 0 and less than 1.
        updates: Number of earlier updates.
    """
    rate = min(decay, (1 + updates) / (10 + updates)) if updates else 0.0
    torch._foreach_lerp_(list(averages), list(weights), 1 - rate)
