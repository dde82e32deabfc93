"""What training writes into its run folder, epoch by epoch: figures, the weights worth keeping, pictures."""

import io
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from vaedge_train.config import TrainConfig
from vaedge_train.data.examples import Items, scale
from vaedge_train.dataset import Dataset
from vaedge_train.loop.images import grid_png, is_picture_shape, reconstructions_png
from vaedge_train.loop.state import TrainingState
from vaedge_train.model.vae import VAE
from vaedge_train.run_folder import (
    EVALUATION,
    EXAMPLES,
    append_metrics,
    create_run,
    keep_metrics,
    write_atomically,
    write_config,
    write_weights,
)

_TEST_BATCH = 1000
_EXAMPLES = 500  # test items that stay in the run folder: what an export measures its variants on
_PICTURED = 64
_COLUMNS, _MOST_COLUMNS = 8, 16
# Evaluation and pictures draw their noise from a seed of their own, the same in every epoch and every run.
_TEST_SEED = 1
_PICTURE_SECONDS = 5.0  # between pictures, which would take half the time of a small data set's epochs


class Writer:
    """Writes one run folder.

    Attributes:
        folder: the run folder.
        monitored: the part that each epoch is evaluated on: "validation", or "test" where nothing is held out; then
            no choice is made by it, and the last epoch is the one that is kept.
    """

    def __init__(self, folder: Path, config: TrainConfig, dataset: Dataset) -> None:
        """Prepare; nothing is written yet."""
        self.folder = folder
        self.monitored = "validation" if len(dataset.validation) else "test"
        self._config = config
        self._dataset = dataset
        self._drawn = -math.inf
        self._events: SummaryWriter | None = None

    def begin(self, state: TrainingState, resume: bool) -> None:
        """Make the folder, with the configuration, a few test items and a first checkpoint; or go on in it.

        Raises:
            RunError: a new run's folder exists.
        """
        if resume:
            keep_metrics(self.folder, state.epoch)
        else:
            self._create(state)
        # Whatever a killed session wrote past the checkpoint, TensorBoard then leaves out.
        self._events = SummaryWriter(str(self.folder / "events"), purge_step=state.epoch + 1)

    def _create(self, state: TrainingState) -> None:
        create_run(self.folder)
        write_config(self.folder, self._config, self._dataset.item_shape, self._dataset.classes)
        content = io.BytesIO()
        examples = self._dataset.test[:_EXAMPLES]
        arrays: dict[str, Any] = {
            "x": scale(examples.x).numpy(),
            **({} if examples.y is None else {"y": examples.y.numpy()}),
        }
        np.savez_compressed(content, **arrays)
        write_atomically(self.folder / EXAMPLES, content.getvalue())
        state.save(self.folder, self._config)

    def end_epoch(self, state: TrainingState, row: dict[str, Any]) -> str:
        """Evaluate, keep the weights if they are the ones to keep, write figures and checkpoint.

        Args:
            state: at the end of an epoch.
            row: the epoch's figures so far; the monitored part's are added.

        Returns:
            The line for the terminal.
        """
        terms = evaluate(state.trained, getattr(self._dataset, self.monitored), self._config.latent)
        row.update(figures(self.monitored, terms))
        elbo = -float(terms.sum())
        row["kept"] = self.monitored == "test" or elbo > state.best
        if row["kept"]:
            state.best = elbo
            write_weights(self.folder, state.trained)
            (self.folder / EVALUATION).unlink(missing_ok=True)  # it was of other weights
            if time.perf_counter() - self._drawn > _PICTURE_SECONDS:
                self.draw(state.trained)
                self._drawn = time.perf_counter()
        append_metrics(self.folder, row)
        self._add_events(row)
        state.save(self.folder, self._config)
        return self._describe(row)

    def draw(self, vae: VAE) -> None:
        """Write the picture grids, where items can be shown; of a conditional model a column for each class."""
        if is_picture_shape(self._dataset.item_shape):
            columns = min(len(self._dataset.classes), _MOST_COLUMNS) or _COLUMNS
            y = torch.arange(columns).repeat(_COLUMNS) if self._dataset.classes else None
            samples = vae.sample(columns * _COLUMNS, torch.Generator().manual_seed(_TEST_SEED), y)
            write_atomically(self.folder / "samples.png", grid_png(samples, columns))
            examples = self._dataset.test[:_PICTURED]
            x = scale(examples.x)
            reconstructions = vae.reconstruct(x, examples.y)
            write_atomically(self.folder / "reconstructions.png", reconstructions_png(x, reconstructions))

    def close(self) -> None:
        """Write what TensorBoard's writer still holds."""
        if self._events is not None:
            self._events.close()

    def _add_events(self, row: dict[str, Any]) -> None:
        """Add the epoch's figures as elbo/train, rate/test, ..., so that TensorBoard draws the parts together."""
        if self._events is None:
            return
        for part in ("train", self.monitored):
            for name in ("elbo", "distortion", "rate"):
                self._events.add_scalar(f"{name}/{part}", row[f"{part}_{name}"], row["epoch"])
        self._events.flush()

    def _describe(self, row: dict[str, Any]) -> str:
        shown = "  ".join(
            f"{part} ELBO {row[f'{part}_elbo']:9.3f} (distortion {row[f'{part}_distortion']:8.3f}, "
            f"rate {row[f'{part}_rate']:7.3f})"
            for part in ("train", self.monitored)
        )
        epochs = self._config.epochs
        return f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  {row['seconds']:7.1f} s  {shown} nats"


def figures(part: str, terms: Tensor) -> dict[str, float]:
    """Name the figures of a part: ELBO, distortion and rate, from (2,) distortion and rate in nats per item."""
    distortion, rate = terms.tolist()
    return {f"{part}_elbo": -(distortion + rate), f"{part}_distortion": distortion, f"{part}_rate": rate}


@torch.no_grad()
def evaluate(vae: VAE, items: Items, latent: int) -> Tensor:
    """Return mean distortion and rate over all items, (2,) in nats per item; the same noise in every call.

    Args:
        vae: the model.
        items: as the data set holds them.
        latent: size of z.
    """
    generator = torch.Generator().manual_seed(_TEST_SEED)
    totals = torch.zeros(2, dtype=torch.float64)
    for chunk in items.split(_TEST_BATCH):
        terms = vae.elbo(scale(chunk.x), torch.randn(1, len(chunk), latent, generator=generator), chunk.y)
        totals += torch.stack([terms.distortion.double().sum(), terms.rate.double().sum()])
    return totals / len(items)
