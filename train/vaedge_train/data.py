"""A data set in memory: one tensor to train on, one to test on."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaedge_train.arrays import load_arrays
from vaedge_train.config import TrainConfig
from vaedge_train.errors import DataError
from vaedge_train.likelihoods import LIKELIHOODS
from vaedge_train.picture_folder import load_folder
from vaedge_train.torchvision_data import is_torchvision, load_torchvision

SAMPLE_NAME = "mnist-sample"
SPLIT_SEED = 0  # of the validation part: fixed, so that runs with different seeds choose by the same items
BINARIZE_SEED = 123


@dataclass(frozen=True)
class Dataset:
    """Items that fit in memory, pictures as 8-bit numbers; `scale` makes a batch of them floating.

    No item is in two parts.

    Attributes:
        train: (n, channels, height, width) uint8, or (n, *item) float32.
        validation: the same, to choose the best epoch by; may be empty.
        test: the same, which no choice ever sees.
    """

    train: Tensor
    validation: Tensor
    test: Tensor

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one item."""
        return tuple(self.train.shape[1:])


def scale(pixels: Tensor) -> Tensor:
    """Turn uint8 of 0..255 into float32 of 0..1; floating items are taken as they are."""
    return pixels.float().div_(255) if pixels.dtype == torch.uint8 else pixels


def binarize(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw 0 or 1 from each grey level of x, in [0, 1]."""
    return (torch.rand(x.shape, generator=generator) < x).float()


def load_dataset(config: TrainConfig) -> Dataset:
    """Load the data set that a configuration names, wherever it comes from.

    With `binarize`, validation and test parts are binarised here, once, from a seed of their own: every run and
    every evaluation sees the same bits.

    Raises:
        DataError: it is unknown, missing, damaged, or has values that the likelihood cannot score.
    """
    if config.dataset == SAMPLE_NAME:
        train, test = _load_sample()
    elif Path(config.dataset).suffix in (".npy", ".npz"):
        train, test = load_arrays(Path(config.dataset))
    elif is_torchvision(config.dataset) or not Path(config.dataset).is_dir():
        train, test = load_torchvision(config.dataset, config.data_dir)
    else:
        train, test = load_folder(Path(config.dataset), config.image_size)
    parts = [*_split(train, round(len(train) * config.validation)), test]
    if config.binarize == "dynamic":
        if refusal := LIKELIHOODS["bce_surrogate"].refusal(scale(test)):
            raise DataError(f"{config.dataset}: grey levels from 0 to 1 can be binarised, but {refusal}")
        generator = torch.Generator().manual_seed(BINARIZE_SEED)
        parts[1:] = [binarize(scale(part), generator).mul_(255).byte() for part in (parts[2], parts[1])][::-1]
    # Training items are binarised each time they are seen; what matters of them here is that they are grey levels.
    train_as = "bce_surrogate" if config.binarize == "dynamic" else config.likelihood
    for part, name in ((parts[0], train_as), (parts[2], config.likelihood)):
        likelihood = LIKELIHOODS[name]
        for chunk in part.split(1000):
            if refusal := likelihood.refusal(scale(chunk)):
                raise DataError(f"{config.dataset}: {refusal}")
    return Dataset(*parts)


def _split(train: Tensor, held_out: int) -> tuple[Tensor, Tensor]:
    """Hold out so many items, the same ones in every run, and leave both parts in their order."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(SPLIT_SEED))
    return train[order[held_out:].sort().values], train[order[:held_out].sort().values]


def _load_sample() -> tuple[Tensor, Tensor]:
    resource = files("vaedge_train") / "mnist_sample" / "digits.npz"
    try:
        with resource.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            train, test = (torch.from_numpy(archive[part][:, None]) for part in ("train_images", "test_images"))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{resource} is missing or damaged ({error}): install vaedge again") from error
    return train, test
