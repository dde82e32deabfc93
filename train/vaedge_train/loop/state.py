"""The state of a run, whole: what a checkpoint holds, so that a resumed run ends in the same bits."""

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from vaedge_train.config import TrainConfig
from vaedge_train.errors import ConfigError, DataError, RunError
from vaedge_train.model.vae import VAE
from vaedge_train.run_folder import write_atomically

CHECKPOINT = "checkpoint.pt"
_FORMAT = 2


class TrainingState:
    """Everything that the next step depends on.

    Attributes:
        vae: the model that is trained.
        average: its moving average, or None where the configuration asks for none.
        optimizer: Adam or AdamW, with its moments.
        generator: the one source of randomness: order, binarisation, noise.
        epoch: whole epochs done.
        step: steps done in the current epoch.
        order: the current epoch's order of the training set.
        totals: distortion and rate summed over the current epoch's items so far, nats.
        seconds: time spent training, earlier sessions included.
        data: sha256 of the training items, which a resumed run must have again.
        best: the best ELBO on the validation part so far.
    """

    def __init__(self, vae: VAE, config: TrainConfig) -> None:
        """Begin at step 0."""
        self.vae = vae
        self.average = AveragedModel(vae, multi_avg_fn=_average_towards(config.average)) if config.average else None
        # `fused` updates all weights in one pass over memory; the plain loop takes half again as long for a small MLP.
        self.optimizer = torch.optim.AdamW(
            vae.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.generator = torch.Generator().manual_seed(config.seed)
        self.epoch = 0
        self.step = 0
        self.order = torch.empty(0, dtype=torch.int64)
        self.totals = torch.zeros(2, dtype=torch.float64)
        self.seconds = 0.0
        self.best = -math.inf
        self.data = ""

    @property
    def trained(self) -> VAE:
        """The model to evaluate and to keep: the average where there is one."""
        if self.average is None:
            return self.vae
        return cast("VAE", self.average.module)

    def begin_epoch(self, items: int) -> None:
        """Draw the order of a new epoch, unless a resumed run is in the middle of one."""
        if self.step == 0:
            self.order = torch.randperm(items, generator=self.generator)
            self.totals = torch.zeros(2, dtype=torch.float64)

    def end_epoch(self) -> None:
        """Count the epoch."""
        self.epoch, self.step = self.epoch + 1, 0

    def save(self, folder: Path, config: TrainConfig) -> None:
        """Write the checkpoint, atomically."""
        content = io.BytesIO()
        torch.save(
            {
                "format": _FORMAT,
                "config": config.to_dict(),
                "vae": self.vae.state_dict(),
                "average": self.average.state_dict() if self.average else None,
                "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.get_state(),
                **{name: getattr(self, name) for name in _PLAIN},
            },
            content,
        )
        write_atomically(folder / CHECKPOINT, content.getvalue())

    def load(self, folder: Path, config: TrainConfig) -> None:
        """Go on from the checkpoint.

        Raises:
            RunError: there is none, or it is damaged or of another version of vaedge.
            ConfigError: it belongs to another configuration.
            DataError: the training items are others than they were.
        """
        path = folder / CHECKPOINT
        try:
            saved: dict[str, Any] = torch.load(path, weights_only=True)
        except FileNotFoundError as error:
            raise RunError(f"{path} is missing: there is nothing to resume") from error
        except Exception as error:  # torch.load raises of everything
            raise RunError(f"{path} is damaged: {(str(error) or repr(error)).splitlines()[0]}") from error
        if not isinstance(saved, dict) or saved.get("format") != _FORMAT:
            raise RunError(f"{path} was written by another version of vaedge, which alone can resume it")
        different = config.differences(saved["config"])
        if different:
            raise ConfigError(f"{folder} was trained with another configuration: {', '.join(different)}")
        self.vae.load_state_dict(saved["vae"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.generator.set_state(saved["generator"])
        if saved["data"] != self.data:
            raise DataError(f"{folder} was trained on other items than {config.dataset} has now: it cannot be resumed")
        for name in _PLAIN:
            setattr(self, name, saved[name])


def _average_towards(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Return the update of an exponential moving average that forgets its random start.

    The decay rises with the number of updates n as (1 + n) / (10 + n), up to the one that is asked for.
    """

    @torch.no_grad()
    def update(averages: Sequence[Tensor], weights: Sequence[Tensor], updates: Tensor | int) -> None:
        n = float(updates)
        torch._foreach_lerp_(list(averages), list(weights), 1 - min(decay, (1 + n) / (10 + n)))

    return update


_PLAIN = ("epoch", "step", "order", "totals", "seconds", "best", "data")


def batches(state: TrainingState, batch_size: int) -> list[Tensor]:
    """Return what is left of the current epoch, as indices of the training set, one tensor a step."""
    return list(state.order.split(batch_size))[state.step :]
