"""The training loop."""

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from vaedge.cli.progress import progress_bar
from vaedge_train import schedules
from vaedge_train.build import build_vae
from vaedge_train.config import TrainConfig
from vaedge_train.data.examples import scale
from vaedge_train.dataset import Dataset, binarize, load_dataset
from vaedge_train.errors import NonFiniteError, OutOfMemoryError
from vaedge_train.evaluation import flushed_denormals, mean_terms
from vaedge_train.loop.batches import Batch, prepare_batches
from vaedge_train.loop.device import (
    choose_device,
    describe_device,
    deterministic_convolutions,
    limited_threads,
)
from vaedge_train.loop.distributed import Workers, joined_workers
from vaedge_train.loop.interrupts import delayed_interrupt
from vaedge_train.loop.state import TrainingState, require_same_config
from vaedge_train.loop.writer import SilentWriter, Writer
from vaedge_train.model.objective import Objective
from vaedge_train.run_folder import Run, create_run, load_run, read_config

_CHECKPOINT_SECONDS = 60.0
_CUDA_CHECK_STEPS = 50  # steps between two checks of the loss on a GPU; each check waits for the GPU


def train(
    config: TrainConfig,
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    progress: bool = True,
    device: str = "auto",
    threads: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Run:
    """Train a VAE, and update its run folder after each epoch.

    An interrupted run can be resumed. On the same kind of device, with the same number of threads, the resumed run ends
    with the same bits as a run without the interruption.

    Args:
        config: The configuration.
        out: The run folder. A new run creates it, so it must not exist. A resumed run needs the existing folder.
        resume: Whether to resume from the checkpoint in the folder.
        progress: Whether to print a line after each epoch, and to show a progress bar.
        device: "cpu", "cuda", "cuda:N", or "auto". "auto" means CUDA if it works, otherwise the CPU.
        threads: Number of CPU threads; None keeps the setting of torch.
        cache_dir: Folder for decoded images, if the data set is a folder of images. With None, the folder "cache"
            beside `out` is used. Later runs reuse the decoded images if the images have not changed.

    Returns:
        The finished run.

    Raises:
        DataError: The data set cannot be loaded, does not fit the likelihood, or differs from that of the resumed run.
        RunError: The folder of a new run exists, or the run in the folder cannot be resumed.
        ConfigError: The resumed run has another configuration, or the network does not fit the data.
        DeviceError: The device is not available.
        OutOfMemoryError: The GPU does not have enough memory; the last checkpoint is intact.
        NonFiniteError: The loss became NaN or infinite; the last checkpoint is intact.
        KeyboardInterrupt: Ctrl-C was pressed; the state is saved.
        OSError: A file of the run folder cannot be written.
    """
    folder = Path(out)
    if resume:
        require_same_config(config, read_config(folder)[0].to_dict(), folder)
    elif folder.exists():
        create_run(folder)  # raises RunError before the data set is loaded
    chosen = choose_device(device)
    with limited_threads(threads), deterministic_convolutions(), joined_workers(chosen) as workers:
        is_first = workers.rank == 0
        if progress and is_first:
            tqdm.write(f"training on {describe_device(chosen)}")
        with workers.first_alone():
            dataset = load_dataset(config, folder.parent / "cache" if cache_dir is None else Path(cache_dir))
        vae = build_vae(config, dataset.input_shape, len(dataset.classes), dataset.train, dataset.moments)
        state = TrainingState(vae.to(chosen), config, dataset.train)
        if resume:
            state.load(folder)
        writer = Writer(folder, state, dataset, progress=progress) if is_first else SilentWriter()
        workers.wait()  # every process checks that the folder is absent before rank 0 creates it
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
        # Convolutions are faster if the channels of a pixel are neighbors in memory.
        self._layout = torch.channels_last if config.network == "conv" else torch.contiguous_format
        state.vae.to(memory_format=self._layout)  # type: ignore[call-overload]
        objective: torch.nn.Module = Objective(state.vae, config.objective, path_gradient=config.path_gradient)
        if config.compile:
            objective = torch.compile(objective)  # type: ignore[assignment]
        self.objective = workers.distribute(objective)
        self.steps_per_epoch = -(-len(dataset.train) // config.batch_size)
        self._check_steps = 1 if state.device.type == "cpu" else _CUDA_CHECK_STEPS
        self._progress = progress
        self._start = time.perf_counter() - state.seconds
        self._last_save = time.perf_counter()

    def fit(self) -> None:
        """Run the remaining epochs.

        If `patience` is configured, stop early if the ELBO has not improved for this number of epochs.

        Raises:
            NonFiniteError: The loss became NaN or infinite.
            OutOfMemoryError: The GPU does not have enough memory.
            KeyboardInterrupt: Ctrl-C was pressed; the state is saved.
        """
        state, examples, epochs = self.state, len(self.dataset.train), self.config.epochs
        bar = progress_bar(
            epochs * examples,
            "training",
            "examples",
            initial=state.epoch * examples + state.examples_done,
            shown=self._progress,
        )
        with bar as progress, delayed_interrupt() as interrupted, flushed_denormals():
            while state.epoch < epochs and not self._out_of_patience():
                try:
                    self.run_epoch(progress, interrupted)
                except torch.OutOfMemoryError as error:
                    raise OutOfMemoryError(state.device, str(error)) from error

    def run_epoch(self, progress: Callable[..., None], interrupted: Callable[[], bool]) -> None:
        """Run the remaining steps of the epoch, evaluate the model, and write the results.

        Args:
            progress: Function that is called after each step with two arguments: the number of examples in the step,
                and a function that returns the current metrics as text.
            interrupted: Function that returns whether Ctrl-C was pressed.

        Raises:
            NonFiniteError: The loss became NaN or infinite.
            KeyboardInterrupt: Ctrl-C was pressed; the state is saved.
        """
        state = self.state
        batches = prepare_batches(self.dataset.train, state.begin_epoch(), self.workers, state.device)
        with closing(batches):
            for batch in batches:
                self.step(batch)
                progress(batch.size, self._describe)
                if interrupted() or time.perf_counter() - self._last_save > _CHECKPOINT_SECONDS:
                    self.save()
                if interrupted():
                    raise KeyboardInterrupt(f"saved at epoch {state.epoch + 1}, step {state.step}")
        self._require_finite_totals()
        state.end_epoch()
        state.seconds = time.perf_counter() - self._start
        row = {
            "epoch": state.epoch,
            "step": self._steps_done(),
            "seconds": round(state.seconds, 3),
            **_metrics("train", state.totals / len(self.dataset.train)),
        }
        self.writer.end_epoch({**row, **self.evaluate()})

    def step(self, batch: Batch) -> None:
        """Update the weights once.

        Each process draws the random numbers of the whole batch, and then computes its share of the batch. The result
        therefore does not depend on the number of processes. On a GPU, most steps do not wait for their results.

        Args:
            batch: The examples that this process computes.

        Raises:
            NonFiniteError: The loss is NaN or infinite. On a CPU, the weights are unchanged.
        """
        config, state, workers, n = self.config, self.state, self.workers, batch.size
        share = workers.share(n)
        x = scale(batch.x)
        if config.binarize == "dynamic":
            uniform = torch.rand(n, *x.shape[1:], generator=state.generator, device=state.device)
            x = binarize(x, uniform[share])
        x = x.contiguous(memory_format=self._layout)
        eps = torch.randn(config.samples, n, config.latent, generator=state.generator, device=state.device)
        position = state.epoch + state.step / self.steps_per_epoch
        beta = schedules.beta(config.beta, config.warm_up, position)
        with torch.autocast(state.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            loss, distortion, rate = self.objective(x, eps[:, share], beta, batch.y)
        if state.step % self._check_steps == 0 and not bool(loss.isfinite()):
            raise NonFiniteError(self._steps_done(), loss.item(), distortion.item(), rate.item())

        state.optimizer.zero_grad()
        (loss * workers.weight(n)).backward()
        if config.clip:
            torch.nn.utils.clip_grad_norm_(state.vae.parameters(), config.clip)
        for group in state.optimizer.param_groups:
            group["lr"] = schedules.learning_rate(config.schedule, config.learning_rate, position / config.epochs)
        state.optimizer.step()
        state.update_average(self._steps_done())
        state.totals += workers.total(torch.stack([distortion, rate]), n)
        state.step += 1

    def evaluate(self) -> dict[str, Any]:
        """Evaluate the model, and decide whether to keep its weights.

        If the data set has a validation part, the model is evaluated on it, and the weights with the best ELBO are
        kept. Otherwise, the model is evaluated on the test part, and the weights of the last epoch are kept. The test
        part therefore does not influence which weights are kept.

        Returns:
            Dict from the name of each metric to its value in nats per example. The key "kept" holds whether the weights
            are kept.
        """
        part = self.dataset.monitored
        terms = mean_terms(self.state.trained, getattr(self.dataset, part), self.config.latent)
        elbo = -float(terms.sum())
        kept = part == "test" or elbo > self.state.best
        if elbo > self.state.best or part == "test":
            self.state.best, self.state.best_epoch = elbo, self.state.epoch
        return {**_metrics(part, terms), "kept": kept}

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            NonFiniteError: The loss became NaN or infinite; the last checkpoint is unchanged.
        """
        self._require_finite_totals()
        self._last_save = time.perf_counter()
        self.state.seconds = self._last_save - self._start
        self.writer.save()

    def _require_finite_totals(self) -> None:
        """Raise NonFiniteError if the loss became NaN or infinite in a step whose loss has not been checked yet."""
        if not bool(self.state.totals.isfinite().all()):
            distortion, rate = self.state.totals.tolist()
            raise NonFiniteError(self._steps_done(), distortion + rate, distortion, rate)

    def _out_of_patience(self) -> bool:
        patience = self.config.patience
        return patience is not None and self.state.epoch - self.state.best_epoch >= patience

    def _describe(self) -> str:
        """Return the metrics of the current epoch so far, for the progress bar."""
        state = self.state
        distortion, rate = (state.totals / max(1, state.examples_done)).tolist()
        return (
            f"epoch {state.epoch + 1} of {self.config.epochs}, ELBO {-(distortion + rate):.2f}, distortion "
            f"{distortion:.2f}, rate {rate:.2f} nats"
        )

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
