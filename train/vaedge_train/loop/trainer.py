"""The training loop."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from vaedge_train.build import build_vae
from vaedge_train.config import TrainConfig
from vaedge_train.data.examples import scale
from vaedge_train.dataset import Dataset, binarize, load_dataset
from vaedge_train.errors import ConfigError, NonFiniteError
from vaedge_train.loop import schedules
from vaedge_train.loop.distributed import Workers, distribute, joined
from vaedge_train.loop.state import TrainingState, batches
from vaedge_train.loop.writer import Writer, figures
from vaedge_train.model.objective import Objective
from vaedge_train.run_folder import Run, create_run, load_run, read_config

_CHECKPOINT_SECONDS = 60.0


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
        DataError: the data set cannot be had, does not fit the likelihood, or is not the one of the run resumed.
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
    vae = build_vae(config, dataset.item_shape, len(dataset.classes), dataset.train.x)
    state = TrainingState(vae, config)
    state.data = dataset.train.sha256()
    if resume:
        state.load(folder, config)
    with joined() as workers:
        writer = Writer(folder, config, dataset) if workers.rank == 0 else None
        workers.wait()  # nobody has looked whether the folder exists once it is made
        with nullcontext() if writer is None else closing(writer):
            if writer is not None:
                writer.begin(state, resume)
            for row in _fit(state, dataset, config, workers, writer, progress and workers.rank == 0):
                if writer is not None:
                    line = writer.end_epoch(state, row)
                    if progress:
                        tqdm.write(line)
            if writer is not None:
                writer.draw(load_run(folder).vae)
        workers.wait()
    return load_run(folder)


def _fit(
    state: TrainingState,
    dataset: Dataset,
    config: TrainConfig,
    workers: Workers,
    writer: Writer | None,
    progress: bool,
) -> Iterator[dict[str, Any]]:
    """Train in place and yield each epoch's figures, in nats per item; save the state from time to time."""
    objective: torch.nn.Module = Objective(state.vae, config.objective, path_gradient=config.path_gradient)
    if config.compile:
        objective = torch.compile(objective)  # type: ignore[assignment]
    objective = distribute(objective, workers)
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
                # Every worker draws the whole batch's randomness, so that the result does not depend on their number.
                items = dataset.train[rows]
                x = scale(items.x)
                if config.binarize == "dynamic":
                    x = binarize(x, state.generator)
                eps = torch.randn(config.samples, len(x), config.latent, generator=state.generator)
                part = workers.share(len(rows))
                epoch = state.epoch + state.step / steps
                rate = schedules.learning_rate(config.schedule, config.learning_rate, epoch / config.epochs)
                for group in state.optimizer.param_groups:
                    group["lr"] = rate
                beta = schedules.beta(config.beta, config.warm_up, epoch)
                with half:
                    loss, *terms = objective(x[part], eps[:, part], beta, items[part].y)
                if not bool(loss.isfinite()):
                    raise NonFiniteError(
                        state.epoch * steps + state.step, loss.item(), *(term.item() for term in terms)
                    )
                state.optimizer.zero_grad()
                (loss * workers.weight(len(rows))).backward()
                if config.clip:
                    torch.nn.utils.clip_grad_norm_(state.vae.parameters(), config.clip)
                state.optimizer.step()
                if state.average is not None:
                    state.average.update_parameters(state.vae)
                state.totals += workers.total(torch.stack(terms), len(rows))
                state.step += 1
                bar.update()
                if interrupted() or time.perf_counter() - saved > _CHECKPOINT_SECONDS:
                    saved = time.perf_counter()
                    state.seconds = saved - began
                    if writer is not None:
                        state.save(writer.folder, config)
                    if interrupted():
                        raise KeyboardInterrupt(f"saved at epoch {state.epoch + 1}, step {state.step}")
            state.end_epoch()
            state.seconds = time.perf_counter() - began
            yield {
                "epoch": state.epoch,
                "step": state.epoch * steps,
                "seconds": round(state.seconds, 3),
                **figures("train", state.totals / len(dataset.train)),
            }


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
