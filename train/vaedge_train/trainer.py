"""The training loop."""

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vaedge_train.config import TrainConfig
from vaedge_train.data import Dataset, load_dataset, scale
from vaedge_train.errors import DataError
from vaedge_train.pictures import grid_png, reconstructions_png
from vaedge_train.run_folder import (
    EXAMPLES,
    Run,
    append_metrics,
    build_vae,
    create_run,
    load_run,
    write_atomically,
    write_config,
    write_weights,
)
from vaedge_train.vae import VAE

_TEST_BATCH = 1000
_EXAMPLES = 64
# Evaluation and pictures draw their noise from a seed of their own, the same in every epoch and every run.
_TEST_SEED = 1


def train(config: TrainConfig, out: str | os.PathLike[str], *, progress: bool = True) -> Run:
    """Train a VAE and write its run folder, epoch by epoch.

    Args:
        config: what to train, and on what.
        out: the run folder to make; it must not exist yet.
        progress: print a line per epoch, and a bar on a terminal.

    Returns:
        The finished run.

    Raises:
        DataError: the data set cannot be had, or does not fit the likelihood.
        RunError: `out` exists.
        OSError: the run folder cannot be written.
    """
    folder = Path(out)
    if folder.exists():
        create_run(folder)  # raises before the data set is loaded
    dataset = load_dataset(config)
    vae = build_vae(config, dataset.item_shape, dataset.train.mean(0, dtype=torch.float32) / 255)
    for part in (dataset.train, dataset.test):
        if any(refusal := vae.likelihood.refusal(scale(chunk)) for chunk in part.split(_TEST_BATCH)):
            raise DataError(f"{config.dataset}: {refusal}")
    create_run(folder)
    write_config(folder, config, dataset.item_shape)
    _write_examples(folder, dataset)
    for row in _fit(vae, dataset, config, progress):
        append_metrics(folder, row)
        write_weights(folder, vae)
        _write_pictures(folder, vae, dataset, config.latent)
        if progress:
            tqdm.write(describe(row, config.epochs))
    return load_run(folder)


def _fit(vae: VAE, dataset: Dataset, config: TrainConfig, progress: bool) -> Iterator[dict[str, Any]]:
    """Train in place and yield each epoch's figures, in nats per item."""
    generator = torch.Generator().manual_seed(config.seed)
    # `fused` updates all weights in one pass over memory; the plain loop is half again as slow here.
    optimizer = torch.optim.Adam(vae.parameters(), config.learning_rate, fused=True)
    start = time.perf_counter()
    steps = -(-len(dataset.train) // config.batch_size)
    with tqdm(total=steps * config.epochs, unit="step", disable=None if progress else True) as bar:
        for epoch in range(1, config.epochs + 1):
            totals = torch.zeros(2)
            order = torch.randperm(len(dataset.train), generator=generator)
            for rows in order.split(config.batch_size):
                x = scale(dataset.train[rows])
                terms = vae(x, torch.randn(config.samples, len(x), config.latent, generator=generator))
                optimizer.zero_grad()
                (-terms.elbo.mean()).backward()
                optimizer.step()
                totals += torch.stack([terms.distortion.detach().sum(), terms.rate.detach().sum()])
                bar.update()
            yield {
                "epoch": epoch,
                "step": epoch * steps,
                "seconds": round(time.perf_counter() - start, 3),
                **_figures("train", totals / len(dataset.train)),
                **_figures("test", evaluate(vae, dataset.test, config)),
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
        terms = vae(scale(chunk), torch.randn(config.samples, len(chunk), config.latent, generator=generator))
        totals += torch.stack([terms.distortion.double().sum(), terms.rate.double().sum()])
    return totals / len(items)


def describe(row: dict[str, Any], epochs: int) -> str:
    """Render one epoch's figures as the line that the terminal shows."""
    figures = "  ".join(
        f"{part} ELBO {row[f'{part}_elbo']:9.3f} (distortion {row[f'{part}_distortion']:8.3f}, "
        f"rate {row[f'{part}_rate']:7.3f})"
        for part in ("train", "test")
    )
    return f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  {row['seconds']:7.1f} s  {figures} nats"


def _figures(part: str, terms: Tensor) -> dict[str, float]:
    distortion, rate = terms.tolist()
    return {f"{part}_elbo": -(distortion + rate), f"{part}_distortion": distortion, f"{part}_rate": rate}


def _write_examples(folder: Path, dataset: Dataset) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, x=scale(dataset.test[:_EXAMPLES]).numpy())
    write_atomically(folder / EXAMPLES, content.getvalue())


def _write_pictures(folder: Path, vae: VAE, dataset: Dataset, latent: int) -> None:
    z = torch.randn(_EXAMPLES, latent, generator=torch.Generator().manual_seed(_TEST_SEED))
    write_atomically(folder / "samples.png", grid_png(vae.decode(z), 8))
    x = scale(dataset.test[:_EXAMPLES])
    write_atomically(folder / "reconstructions.png", reconstructions_png(x, vae.reconstruct(x)))
