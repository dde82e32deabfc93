"""A data set in memory: one tensor to train on, one to test on."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaedge_train.config import TrainConfig
from vaedge_train.errors import DataError
from vaedge_train.picture_folder import load_folder
from vaedge_train.torchvision_data import load_torchvision

SAMPLE_NAME = "mnist-sample"


@dataclass(frozen=True)
class Dataset:
    """Pictures that fit in memory, kept as 8-bit numbers; `scale` makes a batch of them floating.

    Attributes:
        train: (n, channels, height, width) uint8.
        test: the same, of other pictures.
    """

    train: Tensor
    test: Tensor

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one item."""
        return tuple(self.train.shape[1:])


def scale(pixels: Tensor) -> Tensor:
    """Turn uint8 of 0..255 into float32 of 0..1, the x that the networks take."""
    return pixels.float().div_(255)


def load_dataset(config: TrainConfig) -> Dataset:
    """Load the data set that a configuration names, wherever it comes from.

    Raises:
        DataError: it is unknown, missing, damaged, or has values that the likelihood cannot score.
    """
    if config.dataset == SAMPLE_NAME:
        train, test = _load_sample()
    elif Path(config.dataset).is_dir():
        train, test = load_folder(Path(config.dataset), config.image_size)
    else:
        train, test = load_torchvision(config.dataset, config.data_dir)
    return Dataset(train, test)


def _load_sample() -> tuple[Tensor, Tensor]:
    resource = files("vaedge_train") / "mnist_sample" / "digits.npz"
    try:
        with resource.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            train, test = (torch.from_numpy(archive[part][:, None]) for part in ("train_images", "test_images"))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{resource} is missing or damaged ({error}): install vaedge again") from error
    return train, test
