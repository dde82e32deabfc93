"""The training loop."""

import io
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vaedge_train import schedules
from vaedge_train.config import TrainConfig
from vaedge_train.data import Dataset, binarize, load_dataset, scale
from vaedge_train.errors import ConfigError, NonFiniteError
from vaedge_train.objective import Objective
from vaedge_train.pictures import grid_png, reconstructions_png
from vaedge_train.run_folder import (
    EXAMPLES,
    Run,
    append_metrics,
    build_vae,
    create_run,
    keep_metrics,
    load_run,
    read_config,
    write_atomically,
    write_config,
    write_weights,
)
from vaedge_train.state import TrainingState, batches
from vaedge_train.vae import VAE

_TEST_BATCH = 1000
_EXAMPLES = 64
# Evaluation and pictures draw their noise from a seed of their own, the same in every epoch and every run.
_TEST_SEED = 1
_CHECKPOINT_SECONDS = 60.0
_PICTURE_SECONDS = 5.0  # between pictures, which would take half the time of a small data set's epochs


def train(config: TrainConfig, out: str | os.PathLike[str], *, resume: bool = False, progress: bool = True) -> Run:
    """Train a VAE and write its run folder, epoch by epoch.

    A run that was stopped, however it was, goes on with `resume` and ends in the same bits as if it had not been.

    Args:
        config: what to train, and on what.
        out: the run folder to make; it must not exist yet, unless the run is resumed.
        resume: go on from the folder's checkpoint.
        progress: print a line per epoch, and a bar on a terminal.

    Returns:
        The finished run.

    Raises:
        DataError: the data set cannot be had, or does not fit the likelihood.
        RunError: `out` exists, or cannot be resumed.
        ConfigError: the run that is resumed has another configuration.
        NonFiniteError: the loss became NaN or infinite; the last checkpoint is intact.
        KeyboardInterrupt: Ctrl-C, after the state was saved.
        OSError: the run folder cannot be written.
    """
    folder = Path(out)
    if resume:
        different = config.differences(read_config(folder)[0].to_dict())
        if different:
            raise ConfigError(f"{folder} was trained with another configuration: {', '.join(different)}")
    elif folder.exists():
        create_run(folder)  # raises before the data set is loaded
    dataset = load_dataset(config)
    vae = build_vae(config, dataset.item_shape, scale(dataset.train))
    state = TrainingState(vae, config)
    if resume:
        state.load(folder, config)
        keep_metrics(folder, state.epoch)
    else:
        create_run(folder)
        write_config(folder, config, dataset.item_shape)
        _write_examples(folder, dataset)
        state.save(folder, config)
    drawn = -math.inf
    monitored = "validation" if len(dataset.validation) else "test"
    for row in _fit(state, dataset, config, folder, progress):
        figures = evaluate(state.trained, getattr(dataset, monitored), config)
        row.update(_figures(monitored, figures))
        elbo = -float(figures.sum())
        # Without a validation part there is nothing to choose by, and the last epoch is the one to keep.
        row["kept"] = monitored == "test" or elbo > state.best
        if row["kept"]:
            state.best = elbo
            write_weights(folder, state.trained)
            if time.perf_counter() - drawn > _PICTURE_SECONDS:
                _write_pictures(folder, state.trained, dataset)
                drawn = time.perf_counter()
        append_metrics(folder, row)
        state.save(folder, config)
        if progress:
            tqdm.write(describe(row, monitored, config.epochs))
    run = load_run(folder)
    _write_pictures(folder, run.vae, dataset)
    return run


def _fit(
    state: TrainingState, dataset: Dataset, config: TrainConfig, folder: Path, progress: bool
) -> Iterator[dict[str, Any]]:
    """Train in place and yield each epoch's figures, in nats per item; save the state from time to time."""
    objective: torch.nn.Module = Objective(state.vae, config.objective, path_gradient=config.path_gradient)
    if config.compile:
        objective = torch.compile(objective)  # type: ignore[assignment]
    half = torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16")
    steps = -(-len(dataset.train) // config.batch_size)
    began = time.perf_counter() - state.seconds
    saved = time.perf_counter()
    bar = tqdm(
        total=steps * config.epochs,
        initial=steps * state.epoch + state.step,
        unit="step",
        disable=None if progress else True,
    )
    with bar, _interruptible() as interrupted, _denormals_flushed():
        while state.epoch < config.epochs:
            state.begin_epoch(len(dataset.train))
            for rows in batches(state, config.batch_size):
                x = scale(dataset.train[rows])
                if config.binarize == "dynamic":
                    x = binarize(x, state.generator)
                eps = torch.randn(config.samples, len(x), config.latent, generator=state.generator)
                epoch = state.epoch + state.step / steps
                for group in state.optimizer.param_groups:
                    group["lr"] = schedules.learning_rate(config.schedule, config.learning_rate, epoch / config.epochs)
                with half:
                    loss, distortion, rate = objective(x, eps, schedules.beta(config.beta, config.warm_up, epoch))
                if not bool(loss.isfinite()):
                    raise NonFiniteError(state.epoch * steps + state.step, loss.item(), distortion.item(), rate.item())
                state.optimizer.zero_grad()
                loss.backward()
                if config.clip:
                    torch.nn.utils.clip_grad_norm_(state.vae.parameters(), config.clip)
                state.optimizer.step()
                if state.average is not None:
                    state.average.update_parameters(state.vae)
                state.totals += torch.stack([distortion, rate])
                state.step += 1
                bar.update()
                if interrupted() or time.perf_counter() - saved > _CHECKPOINT_SECONDS:
                    saved = time.perf_counter()
                    state.seconds = saved - began
                    state.save(folder, config)
                    if interrupted():
                        raise KeyboardInterrupt(f"saved at epoch {state.epoch + 1}, step {state.step}")
            state.end_epoch()
            state.seconds = time.perf_counter() - began
            yield {
                "epoch": state.epoch,
                "step": state.epoch * steps,
                "seconds": round(state.seconds, 3),
                **_figures("train", state.totals / len(dataset.train)),
            }


@torch.no_grad()
def evaluate(vae: VAE, items: Tensor, config: TrainConfig) -> Tensor:
    """Return mean distortion and rate over all items, (2,) in nats per item; the same noise in every call.

    Args:
        vae: the model.
        items: (n, *input_shape) uint8.
        config: for the number of Monte Carlo samples and the size of z.
    """
    generator = torch.Generator().manual_seed(_TEST_SEED)
    totals = torch.zeros(2, dtype=torch.float64)
    for chunk in items.split(_TEST_BATCH):
        terms = vae.elbo(scale(chunk), torch.randn(1, len(chunk), config.latent, generator=generator))
        totals += torch.stack([terms.distortion.double().sum(), terms.rate.double().sum()])
    return totals / len(items)


def describe(row: dict[str, Any], monitored: str, epochs: int) -> str:
    """Render one epoch's figures as the line that the terminal shows."""
    figures = "  ".join(
        f"{part} ELBO {row[f'{part}_elbo']:9.3f} (distortion {row[f'{part}_distortion']:8.3f}, "
        f"rate {row[f'{part}_rate']:7.3f})"
        for part in ("train", monitored)
    )
    return f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  {row['seconds']:7.1f} s  {figures} nats"


@contextmanager
def _interruptible() -> Iterator[Any]:
    """Let the current step finish after a first Ctrl-C; a second one breaks off at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set  # only the main thread may handle signals
        return

    def ask(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Take numbers below 1e-38 for zero: the small weights of a mixture's components make steps five times slower."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _figures(part: str, terms: Tensor) -> dict[str, float]:
    distortion, rate = terms.tolist()
    return {f"{part}_elbo": -(distortion + rate), f"{part}_distortion": distortion, f"{part}_rate": rate}


def _write_examples(folder: Path, dataset: Dataset) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, x=scale(dataset.test[:_EXAMPLES]).numpy())
    write_atomically(folder / EXAMPLES, content.getvalue())


def _write_pictures(folder: Path, vae: VAE, dataset: Dataset) -> None:
    samples = vae.sample(_EXAMPLES, torch.Generator().manual_seed(_TEST_SEED))
    write_atomically(folder / "samples.png", grid_png(samples, 8))
    x = scale(dataset.test[:_EXAMPLES])
    write_atomically(folder / "reconstructions.png", reconstructions_png(x, vae.reconstruct(x)))
