"""The training loop."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from vaedge_train import schedules
from vaedge_train.build import build_vae
from vaedge_train.config import TrainConfig
from vaedge_train.data.examples import Examples, scale
from vaedge_train.dataset import Dataset, binarize, load_dataset
from vaedge_train.errors import NonFiniteError
from vaedge_train.evaluation import flushed_denormals, mean_terms
from vaedge_train.loop.distributed import Workers, joined_workers
from vaedge_train.loop.state import TrainingState, require_same_config
from vaedge_train.loop.writer import SilentWriter, Writer
from vaedge_train.model.objective import Objective
from vaedge_train.run_folder import Run, create_run, load_run, read_config

_CHECKPOINT_SECONDS = 60.0


def train(config: TrainConfig, out: str | os.PathLike[str], *, resume: bool = False, progress: bool = True) -> Run:
    """Train a VAE and write its run folder after each epoch.

    An interrupted run can be resumed. The resumed run ends with the same bits as a run without the interruption.

    Args:
        config: The configuration.
        out: The run folder. A new run creates it, so it must not exist. A resumed run needs the existing folder.
        resume: Whether to resume from the checkpoint in the folder.
        progress: Whether to print a line after each epoch, and to show a progress bar on a terminal.

    Returns:
        The finished run.

    Raises:
        DataError: The data set cannot be loaded, does not fit the likelihood, or differs from that of the resumed run.
        RunError: The folder of a new run exists, or the run in the folder cannot be resumed.
        ConfigError: The resumed run has another configuration, or the network does not fit the data.
        NonFiniteError: The loss became NaN or infinite; the last checkpoint is intact.
        KeyboardInterrupt: Ctrl-C was pressed; the state is saved.
        OSError: A file of the run folder cannot be written.
    """
    folder = Path(out)
    if resume:
        require_same_config(config, read_config(folder)[0].to_dict(), folder)
    elif folder.exists():
        create_run(folder)  # raises RunError before the data set is loaded
    dataset = load_dataset(config)
    vae = build_vae(config, dataset.input_shape, len(dataset.classes), dataset.train.x, dataset.moments)
    state = TrainingState(vae, config, dataset.train)
    if resume:
        state.load(folder)
    with joined_workers() as workers:
        is_first = workers.rank == 0
        writer = Writer(folder, state, dataset, progress=progress) if is_first else SilentWriter()
        workers.wait()  # every process has checked that the folder is absent before rank 0 creates it
        with closing(writer):
            writer.begin(resume)
            Trainer(state, dataset, workers, writer, progress=progress and is_first).fit()
            writer.finish()
        workers.wait()
    return load_run(folder)


class Trainer:
    """Train a model in place. `fit` runs the epochs, `run_epoch` one epoch, and `step` one step.

    Args:
        state: The state of the run. Each step changes it.
        dataset: The data set.
        workers: The processes that train together.
        writer: The writer of the run folder.
        progress: Whether to show a progress bar on a terminal.
    """

    def __init__(
        self, state: TrainingState, dataset: Dataset, workers: Workers, writer: SilentWriter, *, progress: bool
    ) -> None:
        self.state = state
        self.dataset = dataset
        self.workers = workers
        self.writer = writer
        self.config = config = state.config
        objective: torch.nn.Module = Objective(state.vae, config.objective, path_gradient=config.path_gradient)
        if config.compile:
            objective = torch.compile(objective)  # type: ignore[assignment]
        self.objective = workers.distribute(objective)
        self.steps_per_epoch = -(-len(dataset.train) // config.batch_size)
        self._progress = progress
        self._start = time.perf_counter() - state.seconds
        self._last_save = time.perf_counter()

    def fit(self) -> None:
        """Run the remaining epochs.

        Raises:
            NonFiniteError: The loss became NaN or infinite.
            KeyboardInterrupt: Ctrl-C was pressed; the state is saved.
        """
        bar = tqdm(
            total=self.steps_per_epoch * self.config.epochs,
            initial=self._steps_done(),
            unit="step",
            disable=None if self._progress else True,
        )
        with bar, _delayed_interrupt() as interrupted, flushed_denormals():
            while self.state.epoch < self.config.epochs:
                self.run_epoch(bar.update, interrupted)

    def run_epoch(self, progress: Callable[[], object], interrupted: Callable[[], bool]) -> None:
        """Run the remaining steps of the epoch, evaluate the model, and write the results.

        Args:
            progress: Function that is called after each step.
            interrupted: Function that returns whether Ctrl-C was pressed.

        Raises:
            NonFiniteError: The loss became NaN or infinite.
            KeyboardInterrupt: Ctrl-C was pressed; the state is saved.
        """
        state = self.state
        for rows in state.begin_epoch():
            self.step(self.dataset.train[rows])
            progress()
            if interrupted() or time.perf_counter() - self._last_save > _CHECKPOINT_SECONDS:
                self.save()
            if interrupted():
                raise KeyboardInterrupt(f"saved at epoch {state.epoch + 1}, step {state.step}")
        state.end_epoch()
        state.seconds = time.perf_counter() - self._start
        row = {
            "epoch": state.epoch,
            "step": self._steps_done(),
            "seconds": round(state.seconds, 3),
            **_metrics("train", state.totals / len(self.dataset.train)),
        }
        self.writer.end_epoch({**row, **self.evaluate()})

    def step(self, batch: Examples) -> None:
        """Update the weights once.

        Each process draws the random numbers of the whole batch, and then computes its share of the batch. The result
        therefore does not depend on the number of processes.

        Args:
            batch: The examples of the whole batch. All processes get the same batch.

        Raises:
            NonFiniteError: The loss is NaN or infinite; the weights are unchanged.
        """
        config, state, workers, n = self.config, self.state, self.workers, len(batch)
        x = scale(batch.x)
        if config.binarize == "dynamic":
            x = binarize(x, state.generator)
        eps = torch.randn(config.samples, n, config.latent, generator=state.generator)
        position = state.epoch + state.step / self.steps_per_epoch
        beta = schedules.beta(config.beta, config.warm_up, position)
        share = workers.share(n)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16"):
            loss, distortion, rate = self.objective(x[share], eps[:, share], beta, batch[share].y)
        if not bool(loss.isfinite()):
            raise NonFiniteError(self._steps_done(), loss.item(), distortion.item(), rate.item())

        state.optimizer.zero_grad()
        (loss * workers.weight(n)).backward()
        if config.clip:
            torch.nn.utils.clip_grad_norm_(state.vae.parameters(), config.clip)
        for group in state.optimizer.param_groups:
            group["lr"] = schedules.learning_rate(config.schedule, config.learning_rate, position / config.epochs)
        state.optimizer.step()
        if state.average is not None:
            state.average.update_parameters(state.vae)
        state.totals += workers.total(torch.stack([distortion, rate]), n)
        state.step += 1

    def evaluate(self) -> dict[str, Any]:
        """Evaluate the model, and decide whether to keep its weights.

        If the data set has a validation part, the model is evaluated on it, and the weights with the best ELBO are
        kept. Otherwise, the model is evaluated on the test part, and the weights of the last epoch are kept. The test
        part therefore does not influence which weights are kept.

        Returns:
            Dict from the name of each metric to its value in nats per example. The key "kept" holds the decision.
        """
        part = self.dataset.monitored
        terms = mean_terms(self.state.trained, getattr(self.dataset, part), self.config.latent)
        elbo = -float(terms.sum())
        kept = part == "test" or elbo > self.state.best
        if kept:
            self.state.best = elbo
        return {**_metrics(part, terms), "kept": kept}

    def save(self) -> None:
        """Write a checkpoint."""
        self._last_save = time.perf_counter()
        self.state.seconds = self._last_save - self._start
        self.writer.save()

    def _steps_done(self) -> int:
        return self.state.epoch * self.steps_per_epoch + self.state.step


def _metrics(part: str, terms: Tensor) -> dict[str, float]:
    """Return a dict from "PART_elbo", "PART_distortion" and "PART_rate" to values in nats per example.

    Args:
        part: Name of the part of the data set.
        terms: (2,), the mean distortion and the mean rate.
    """
    distortion, rate = terms.tolist()
    return {f"{part}_elbo": -(distortion + rate), f"{part}_distortion": distortion, f"{part}_rate": rate}


@contextmanager
def _delayed_interrupt() -> Iterator[Callable[[], bool]]:
    """Finish the current step after the first Ctrl-C. A second Ctrl-C interrupts at once.

    Yields:
        A function that returns whether Ctrl-C was pressed.
    """
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set  # only the main thread can handle signals
        return

    def handle(*_: object) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, previous)
