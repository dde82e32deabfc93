"""Read the data set of a run, split it, and validate its values."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaedge.files.arrays import ARRAY_SUFFIXES, UNREADABLE, unreadable_reason
from vaedge_train.config import TrainConfig
from vaedge_train.data.array_files import load_arrays
from vaedge_train.data.examples import Examples, Source, scale
from vaedge_train.data.image_folder import load_folder
from vaedge_train.data.torchvision_data import is_torchvision, load_torchvision
from vaedge_train.errors import DataError
from vaedge_train.model.likelihoods import LIKELIHOODS

SAMPLE_NAME = "mnist-sample"
BINARIZE_SEED = 123


@dataclass(frozen=True)
class Dataset:
    """The parts of a data set. No example is in two parts.

    Attributes:
        train: Examples for training.
        validation: Examples for choosing the best epoch; may be empty.
        test: Test examples, which are never used for training or model selection.
        classes: Names of the classes 0, 1, ...; empty if the model is not conditional.
    """

    train: Examples
    validation: Examples
    test: Examples
    classes: tuple[str, ...]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.train.x.shape[1:])

    @property
    def monitored(self) -> str:
        """Name of the part that is evaluated after each epoch: "validation", or "test" if nothing is held out."""
        return "validation" if len(self.validation) else "test"


def binarize(x: Tensor, generator: torch.Generator) -> Tensor:
    """Replace each gray level by a random bit. The gray level is the probability of 1.

    Args:
        x: Gray levels in [0, 1], of any shape.
        generator: Source of the random numbers.

    Returns:
        float32 tensor with the shape of x.
    """
    return (torch.rand(x.shape, generator=generator) < x).float()


def load_dataset(config: TrainConfig) -> Dataset:
    """Load the data set that a configuration names.

    If `config.binarize` is "dynamic", this function binarizes the validation and test parts once, with a constant
    seed. Every run and every evaluation then uses the same bits.

    Raises:
        DataError: The data set is unknown, missing or damaged. Or the model is conditional, and the data set has no
            classes. Or the likelihood cannot score a value.
    """
    source = _read(config)
    train, validation = source.train.hold_out(round(len(source.train) * config.validation))
    test = source.test
    if config.condition == "label":
        if not source.classes:
            raise DataError(
                f"{config.dataset} has no labels, but condition 'label' needs labels. An image folder needs one "
                "subfolder for each class, and no image outside the subfolders. A .npz file needs the array y in "
                "addition to x, or the arrays train_labels and test_labels in addition to train and test"
            )
    else:
        train, validation, test = (Examples(part.x) for part in (train, validation, test))
    for part in filter(len, (train, validation, test)):
        _require_support(part, config)
    if config.binarize == "dynamic":
        generator = torch.Generator().manual_seed(BINARIZE_SEED)
        test, validation = (_binarized(part, generator) for part in (test, validation))
    return Dataset(train, validation, test, source.classes if config.condition == "label" else ())


def _read(config: TrainConfig) -> Source:
    path = Path(config.dataset)
    if config.image_size is not None and not path.is_dir():
        raise DataError(f"image_size applies only to folders of images, and {config.dataset!r} is not a folder")
    if config.dataset == SAMPLE_NAME:
        return _load_sample()
    if path.suffix in ARRAY_SUFFIXES:
        return load_arrays(path)
    if is_torchvision(config.dataset) or not path.is_dir():
        return load_torchvision(config.dataset, config.data_dir)
    return load_folder(path, config.image_size, skip_broken=config.skip_broken)


def _load_sample() -> Source:
    resource = files("vaedge_train") / "data" / "mnist_sample" / "digits.npz"
    try:
        with resource.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            train, test = (
                Examples(
                    torch.from_numpy(archive[f"{part}_images"][:, None]),
                    torch.from_numpy(archive[f"{part}_labels"].astype(np.int64)),
                )
                for part in ("train", "test")
            )
    except UNREADABLE as error:
        reason = unreadable_reason(error)
        raise DataError(f"{resource} is missing or damaged ({reason}); install vaedge again") from error
    return Source(train, test, tuple("0123456789"))


def _require_support(part: Examples, config: TrainConfig) -> None:
    """Raise DataError if the likelihood cannot score a value. Values to binarize must be gray levels."""
    dynamic = config.binarize == "dynamic"
    likelihood = LIKELIHOODS["bce_surrogate" if dynamic else config.likelihood]
    for values in _distinct(part.x):
        if reason := likelihood.refusal(scale(values)):
            expected = "binarize needs gray levels from 0 to 1, but " if dynamic else ""
            raise DataError(f"{config.dataset}: {expected}{reason}")


def _distinct(x: Tensor) -> Iterator[Tensor]:
    """Yield small tensors that together contain every value of x. For uint8, yield one tensor with each value once."""
    if x.dtype == torch.uint8:
        counts = torch.zeros(256, dtype=torch.int64)
        for chunk in x.split(1000):
            counts += torch.bincount(chunk.flatten(), minlength=256)
        yield torch.arange(256, dtype=torch.uint8)[counts > 0]
    else:
        yield from x.split(1000)


def _binarized(part: Examples, generator: torch.Generator) -> Examples:
    return Examples(binarize(scale(part.x), generator).mul_(255).byte(), part.y)
