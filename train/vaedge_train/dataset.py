"""Read the data set of a run, split it, and validate its values."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaedge.files.arrays import ARRAY_SUFFIXES, LABEL_NAMES, UNREADABLE, unreadable_reason
from vaedge.files.background import parse_background
from vaedge.files.tables import TABLE_SUFFIX
from vaedge_train.config import TrainConfig
from vaedge_train.data.array_files import load_arrays
from vaedge_train.data.examples import Examples, Source, scale
from vaedge_train.data.image_folder import load_folder
from vaedge_train.data.standardize import moments_of
from vaedge_train.data.tables import load_table
from vaedge_train.data.torchvision_data import is_torchvision, load_torchvision
from vaedge_train.errors import DataError
from vaedge_train.model.likelihoods import LIKELIHOODS
from vaedge_train.model.standardization import Moments
from vaedge_train.run_folder import Run

SAMPLE_NAME = "mnist-sample"
BINARIZE_SEED = 123  # a constant: all runs and evaluations use the same bits of the validation and test parts
_MAX_NAMED = 5  # maximum number of classes that one warning names
_CHUNK = 1000  # number of examples that are binarized at a time


@dataclass(frozen=True)
class Dataset:
    """The parts of a data set. No example is in two parts.

    Attributes:
        train: Examples for training.
        validation: Examples for choosing the best epoch; may be empty.
        test: Test examples, which are never used for training or model selection.
        classes: Names of the classes 0, 1, ...; empty if the model is not conditional.
        moments: Mean and standard deviation of the training part; None if the model does not standardize its data.
        features: Names of the columns of a table; empty if the columns have no names.
        test_labels: Name of the class of each test example, also if the model is not conditional; empty if the data
            set has no classes.
    """

    train: Examples
    validation: Examples
    test: Examples
    classes: tuple[str, ...]
    moments: Moments | None = None
    features: tuple[str, ...] = ()
    test_labels: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.train.shape

    @property
    def encoding(self) -> str | None:
        """The text "uint8" for 8-bit data, which `scale` divides by 255. None for floating-point data."""
        return "uint8" if self.train.is_8_bit else None

    @property
    def monitored(self) -> str:
        """Name of the part that is evaluated after each epoch: "validation" if this part exists, otherwise "test"."""
        return "validation" if len(self.validation) else "test"


def binarize(x: Tensor, uniform: Tensor) -> Tensor:
    """Replace each gray level by a random bit. The gray level is the probability of 1.

    Args:
        x: Gray levels in [0, 1], of any shape.
        uniform: Random numbers from the uniform distribution over [0, 1), of the same shape.

    Returns:
        float32 tensor with the shape of x.
    """
    return (uniform < x).float()


def load_dataset(config: TrainConfig, cache_dir: Path | None = None) -> Dataset:
    """Load the data set that a configuration names.

    If `config.binarize` is "dynamic", this function binarizes the validation and test parts. All runs and evaluations
    use the same bits of these parts. The training loop binarizes the training part again in each epoch.

    Args:
        config: The configuration.
        cache_dir: Folder for decoded images, if the data set is a folder of images. With None, the images are decoded
            into memory.

    Raises:
        DataError: The data set is unknown, missing, or damaged. Also raised if the likelihood cannot score a value of
            the data set, or if a conditional model needs classes that the data set does not have.
        ConfigError: `standardize` is "on", and the data is 8-bit.
    """
    source = _read(config, cache_dir)
    train, validation = source.train.hold_out(round(len(source.train) * config.validation))
    test, labels = source.test, _label_names(source.test, source.classes)
    if config.condition == "label":
        if not source.classes:
            raise DataError(
                f"{config.dataset} has no labels, and condition 'label' needs them. An image folder needs one "
                "subfolder for each class and no image outside the subfolders; a .npz file needs "
                f"{LABEL_NAMES}; a .csv file needs --label-column"
            )
    else:
        train, validation, test = (part.without_classes() for part in (train, validation, test))
    for part in filter(len, (train, validation, test)):
        _require_support(part, config)
    if config.binarize == "dynamic":
        generator = torch.Generator().manual_seed(BINARIZE_SEED)
        test, validation = (_binarized(part, generator) for part in (test, validation))
    classes = source.classes if config.condition == "label" else ()
    if train.y is not None:
        _warn_about_missing_classes(train.y, classes)
    moments = moments_of(train, config, source.features)
    return Dataset(train, validation, test, classes, moments, source.features, labels)


def load_test_part(run: Run, data_dir: str | None = None, cache_dir: Path | None = None) -> Examples:
    """Load the test part of the data set that a run was trained on.

    The run never used this part for training. If the run binarizes its data, the test part has the same bits as in the
    evaluations during the run.

    Args:
        run: The run.
        data_dir: Folder of the data set. With None, the `data_dir` of the run is used.
        cache_dir: Folder for decoded images, if the data set is a folder of images. With None, the folder "cache"
            beside the run is used.

    Raises:
        DataError: The data set is missing, or its test examples differ from those in the run folder. `load_dataset`
            documents further reasons.
    """
    config = replace(run.config, data_dir=data_dir or run.config.data_dir)
    test = load_dataset(config, cache_dir or run.path.parent / "cache").test
    if not np.array_equal(scale(test[: len(run.examples["x"])].x).numpy(), run.examples["x"]):
        raise DataError(
            f"the test examples of {config.dataset} differ from the test examples in {run.path}; restore the data set "
            "that the run was trained on"
        )
    return test


def _warn_about_missing_classes(y: Tensor, classes: tuple[str, ...]) -> None:
    """Issue one warning that names the classes without training examples."""
    missing = [
        name for name, count in zip(classes, torch.bincount(y, minlength=len(classes)), strict=True) if not count
    ]
    if missing:
        warnings.warn(
            f"{len(missing)} of {len(classes)} classes have no training examples: {', '.join(missing[:_MAX_NAMED])}"
            f"{', ...' if len(missing) > _MAX_NAMED else ''}; the model learns nothing about them",
            stacklevel=2,
        )


def _label_names(part: Examples, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the name of the class of each example, or () if the data set has no classes."""
    return () if part.y is None or not classes else tuple(classes[index] for index in part.y.tolist())


def _read(config: TrainConfig, cache_dir: Path | None) -> Source:
    """Choose a reader by the name of the data set, and read the data set."""
    path = Path(config.dataset)
    suffix = path.suffix.lower()
    for name, value in (("image_size", config.image_size), ("background", config.background)):
        if value is not None and not path.is_dir():
            raise DataError(f"{name} applies only to folders of images, and {config.dataset!r} is not a folder")
    if config.label_column is not None and suffix != TABLE_SUFFIX:
        raise DataError(f"label_column applies only to .csv files, and {config.dataset!r} is not a .csv file")
    if config.dataset == SAMPLE_NAME:
        return _load_sample()
    if suffix in ARRAY_SUFFIXES:
        return load_arrays(path)
    if suffix == TABLE_SUFFIX:
        return load_table(path, config.label_column)
    if is_torchvision(config.dataset) or not path.is_dir():
        return load_torchvision(config.dataset, config.data_dir)
    background = None if config.background is None else parse_background(config.background)
    return load_folder(
        path, config.image_size, skip_broken=config.skip_broken, background=background, cache_dir=cache_dir
    )


def _load_sample() -> Source:
    """Read the MNIST digits that ship with vaedge."""
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
    """Raise DataError if the likelihood cannot score a value of the examples.

    Examples that are binarized later must be gray levels from 0 to 1.
    """
    dynamic = config.binarize == "dynamic"
    likelihood = LIKELIHOODS["bce_surrogate" if dynamic else config.likelihood]
    for values in _distinct(part):
        if reason := likelihood.refusal(scale(values)):
            expected = "binarize needs gray levels from 0 to 1, but " if dynamic else ""
            raise DataError(f"{config.dataset}: {expected}{reason}")


def _distinct(part: Examples) -> Iterator[Tensor]:
    """Yield small tensors that together contain every value of the examples.

    For uint8 there is one tensor, which contains each value once.
    """
    chunks = part.chunks("checking values")
    if part.is_8_bit:
        counts = sum(torch.bincount(chunk.stored.flatten(), minlength=256) for chunk in chunks)
        yield torch.arange(256, dtype=torch.uint8)[counts > 0]
    else:
        yield from (chunk.stored for chunk in chunks)


def _binarized(part: Examples, generator: torch.Generator) -> Examples:
    """Binarize examples. The result is uint8: 0 where `binarize` draws the bit 0, and 255 where it draws 1."""
    x = torch.empty(len(part), *part.shape, dtype=torch.uint8)
    for start in range(0, len(part), _CHUNK):
        gray = scale(part[start : start + _CHUNK].x)
        x[start : start + _CHUNK] = binarize(gray, torch.rand(gray.shape, generator=generator)).mul_(255)
    return Examples(x, part.y)
