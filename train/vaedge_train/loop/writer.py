"""Write the run folder during training: metrics, the weights to keep, checkpoints and image grids."""

import io
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from vaedge.files.atomic import write_atomically
from vaedge.files.images import grid_png, interleave_rows, is_image_shape
from vaedge_train.data.examples import scale
from vaedge_train.dataset import Dataset
from vaedge_train.loop.plot import metrics_png
from vaedge_train.loop.state import TrainingState
from vaedge_train.model.likelihoods import bits_per_dimension
from vaedge_train.model.vae import VAE
from vaedge_train.run_folder import (
    EVALUATION,
    EXAMPLES,
    Description,
    append_metrics,
    create_run,
    load_run,
    read_metrics,
    truncate_metrics,
    write_config,
    write_weights,
)

_EXAMPLES = 500  # number of test examples in the run folder; the export measures variants on them
_GRID_EXAMPLES = 64
_GRID_COLUMNS, _MAX_GRID_COLUMNS = 8, 16
_GRID_SEED = 1  # constant, so that the grids of epochs and runs are comparable
_GRID_SECONDS = 5.0  # minimum time between grids; grids after every short epoch would double the time of a run


class SilentWriter:
    """A writer that writes nothing. The processes whose rank is not 0 use it."""

    def begin(self, resume: bool) -> None:
        """Do nothing. In a `Writer`, this method creates or prepares the run folder."""

    def end_epoch(self, row: dict[str, Any]) -> None:
        """Do nothing. In a `Writer`, this method writes the results of an epoch."""

    def save(self) -> None:
        """Do nothing. In a `Writer`, this method writes a checkpoint."""

    def finish(self) -> None:
        """Do nothing. In a `Writer`, this method writes the final images."""

    def close(self) -> None:
        """Do nothing. In a `Writer`, this method closes the file of events."""


class Writer(SilentWriter):
    """A writer of one run folder.

    Args:
        folder: The run folder.
        state: The state of the run.
        dataset: The data set of the run.
        progress: Whether to print a line after each epoch.
    """

    def __init__(self, folder: Path, state: TrainingState, dataset: Dataset, *, progress: bool) -> None:
        self._folder = folder
        self._state = state
        self._dataset = dataset
        self._progress = progress
        self._grid_time = -math.inf
        self._events: SummaryWriter | None = None

    def begin(self, resume: bool) -> None:
        """Create a new run folder, or prepare the folder of a resumed run.

        A new folder gets the configuration, the test examples and a first checkpoint.

        Args:
            resume: Whether the run is resumed.

        Raises:
            RunError: The folder of a new run exists.
        """
        if resume:
            truncate_metrics(self._folder, self._state.epoch)
        else:
            create_run(self._folder)
            write_config(self._folder, self._state.config, self._describe_data())
            self._write_examples()
            self.save()
        # `purge_step` hides the events that a killed process wrote after its last checkpoint.
        self._events = SummaryWriter(str(self._folder / "events"), purge_step=self._state.epoch + 1)

    def end_epoch(self, row: dict[str, Any]) -> None:
        """Write the metrics and a checkpoint. If the weights of the epoch are kept, write the weights, too.

        Args:
            row: The metrics of the epoch, which become a line of `metrics.jsonl`.
        """
        if row["kept"]:
            write_weights(self._folder, self._state.trained)
            (self._folder / EVALUATION).unlink(missing_ok=True)  # the evaluation describes the earlier weights
            if time.perf_counter() - self._grid_time > _GRID_SECONDS:
                self._write_grids(self._state.trained)
                self._grid_time = time.perf_counter()
        append_metrics(self._folder, row)
        self._add_events(row)
        self.save()
        if self._progress:
            tqdm.write(self._describe(row))

    def save(self) -> None:
        """Write a checkpoint."""
        self._state.save(self._folder)

    def finish(self) -> None:
        """Write image grids of the model with the kept weights, and the plot of the metrics."""
        self._write_grids(load_run(self._folder).vae)
        plot = metrics_png(read_metrics(self._folder), self._dataset.monitored)
        if plot is not None:
            write_atomically(self._folder / "metrics.png", plot)

    def close(self) -> None:
        """Close the file of events for TensorBoard."""
        if self._events is not None:
            self._events.close()

    def _describe_data(self) -> Description:
        dataset = self._dataset
        return Description(dataset.input_shape, dataset.classes, dataset.encoding, dataset.features)

    def _write_examples(self) -> None:
        examples = self._dataset.test[:_EXAMPLES]
        arrays: dict[str, Any] = {"x": scale(examples.x).numpy()}
        if examples.y is not None:
            arrays["y"] = examples.y.numpy()
        if self._dataset.test_labels:
            arrays["labels"] = np.array(self._dataset.test_labels[:_EXAMPLES])
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        write_atomically(self._folder / EXAMPLES, content.getbuffer())

    def _write_grids(self, vae: VAE) -> None:
        """Write grids of samples and reconstructions, if the examples are images.

        The samples of a conditional model have one column for each class.
        """
        if not is_image_shape(self._dataset.input_shape):
            return
        columns = min(len(self._dataset.classes), _MAX_GRID_COLUMNS) or _GRID_COLUMNS
        y = torch.arange(columns, device=vae.device).repeat(_GRID_COLUMNS) if self._dataset.classes else None
        samples = vae.sample(columns * _GRID_COLUMNS, torch.Generator(vae.device).manual_seed(_GRID_SEED), y)
        captions = [] if y is None else [self._dataset.classes[index] for index in y]
        write_atomically(self._folder / "samples.png", grid_png(samples.cpu().numpy(), columns, captions))
        examples = self._dataset.test[:_GRID_EXAMPLES]
        x, y = scale(examples.x), None if examples.y is None else examples.y.to(vae.device)
        pairs, columns = interleave_rows(x.numpy(), vae.reconstruct(x.to(vae.device), y).cpu().numpy())
        write_atomically(self._folder / "reconstructions.png", grid_png(pairs, columns))

    def _add_events(self, row: dict[str, Any]) -> None:
        """Write the metrics for TensorBoard, which plots metrics such as elbo/train and elbo/test together."""
        if self._events is None:
            return
        for part in ("train", self._dataset.monitored):
            for name in ("elbo", "distortion", "rate"):
                self._events.add_scalar(f"{name}/{part}", row[f"{part}_{name}"], row["epoch"])
        self._events.flush()

    def _describe(self, row: dict[str, Any]) -> str:
        """Return the line that is printed after an epoch."""
        parts = "  ".join(
            f"{part} ELBO {row[f'{part}_elbo']:9.3f} (distortion {row[f'{part}_distortion']:8.3f}, "
            f"rate {row[f'{part}_rate']:7.3f})"
            for part in ("train", self._dataset.monitored)
        )
        epochs, elements = self._state.config.epochs, math.prod(self._dataset.input_shape)
        bits = ""
        if self._state.vae.likelihood.is_8_bit:
            value = bits_per_dimension(row[f"{self._dataset.monitored}_elbo"], elements)
            bits = f", {self._dataset.monitored} {value:.3f} bits per dimension"
        return f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  {row['seconds']:7.1f} s  {parts} nats{bits}"
