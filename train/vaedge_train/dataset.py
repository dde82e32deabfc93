"""A data set in memory, split and ready to train on."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaedge_train.config import TrainConfig
from vaedge_train.data.array_files import load_arrays
from vaedge_train.data.examples import Items, Source, scale
from vaedge_train.data.image_folder import load_folder
from vaedge_train.data.torchvision_data import is_torchvision, load_torchvision
from vaedge_train.errors import DataError
from vaedge_train.model.likelihoods import LIKELIHOODS

SAMPLE_NAME = "mnist-sample"
BINARIZE_SEED = 123


@dataclass(frozen=True)
class Dataset:
    """What a run sees; no item is in two parts.

    Attributes:
        train: to train on.
        validation: to choose the best epoch by; may be empty.
        test: which no choice ever sees.
        classes: names of the values of y; empty where the model is not conditional.
    """

    train: Items
    validation: Items
    test: Items
    classes: tuple[str, ...]

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one item of x."""
        return tuple(self.train.x.shape[1:])


def binarize(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw 0 or 1 from each grey level of x, in [0, 1]."""
    return (torch.rand(x.shape, generator=generator) < x).float()


def load_dataset(config: TrainConfig) -> Dataset:
    """Load the data set that a configuration names, wherever it comes from.

    With `binarize`, validation and test parts are binarised here, once, from a seed of their own: every run and
    every evaluation sees the same bits.

    Raises:
        DataError: it is unknown, missing, damaged, has no labels for a conditional model, or has values that the
            likelihood cannot score.
    """
    source = _read(config)
    train, validation = source.train.hold_out(round(len(source.train) * config.validation))
    test = source.test
    if config.condition == "label":
        if not source.classes:
            raise DataError(
                f"{config.dataset} has no labels, which condition 'label' needs: a folder has a subfolder for each "
                "class, and no picture outside of them; a .npz the array y beside x, or train_labels and test_labels "
                "beside train and test"
            )
    else:
        train, validation, test = (Items(part.x) for part in (train, validation, test))
    # Training items are binarised each time they are seen; what matters of them here is that they are grey levels.
    train_as = "bce_surrogate" if config.binarize == "dynamic" else config.likelihood
    for part in filter(len, (train, validation, test)):
        for values in _distinct(part.x):
            if refusal := LIKELIHOODS[train_as].refusal(scale(values)):
                wish = "grey levels from 0 to 1 can be binarised, but " if config.binarize == "dynamic" else ""
                raise DataError(f"{config.dataset}: {wish}{refusal}")
    if config.binarize == "dynamic":
        generator = torch.Generator().manual_seed(BINARIZE_SEED)
        test, validation = (_binarized(part, generator) for part in (test, validation))
    return Dataset(train, validation, test, source.classes if config.condition == "label" else ())


def _read(config: TrainConfig) -> Source:
    if config.image_size is not None and not Path(config.dataset).is_dir():
        raise DataError(f"image_size is for folders of pictures, and {config.dataset} is none")
    if config.dataset == SAMPLE_NAME:
        return _load_sample()
    if Path(config.dataset).suffix in (".npy", ".npz"):
        return load_arrays(Path(config.dataset))
    if is_torchvision(config.dataset) or not Path(config.dataset).is_dir():
        return load_torchvision(config.dataset, config.data_dir)
    return load_folder(Path(config.dataset), config.image_size, skip_broken=config.skip_broken)


def _distinct(x: Tensor) -> Iterator[Tensor]:
    """Yield the values that occur, in tensors that fit the memory: of 8-bit pixels, each level once."""
    if x.dtype == torch.uint8:
        counts = torch.zeros(256, dtype=torch.int64)
        for chunk in x.split(1000):
            counts += torch.bincount(chunk.flatten(), minlength=256)
        yield torch.arange(256, dtype=torch.uint8)[counts > 0]
    else:
        yield from x.split(1000)


def _binarized(part: Items, generator: torch.Generator) -> Items:
    return Items(binarize(scale(part.x), generator).mul_(255).byte(), part.y)


def _load_sample() -> Source:
    resource = files("vaedge_train") / "data" / "mnist_sample" / "digits.npz"
    try:
        with resource.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            train, test = (
                Items(
                    torch.from_numpy(archive[f"{part}_images"][:, None]),
                    torch.from_numpy(archive[f"{part}_labels"].astype(np.int64)),
                )
                for part in ("train", "test")
            )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{resource} is missing or damaged ({error}): install vaedge again") from error
    return Source(train, test, tuple("0123456789"))
