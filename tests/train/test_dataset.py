"""The data set of a run: its source, its parts, and the validation of its values."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

import vaedge_train
from vaedge_train import DataError, TrainConfig
from vaedge_train.dataset import binarize, load_dataset

SAMPLE = Path(vaedge_train.__file__).parent / "data" / "mnist_sample"
PIXELS = np.arange(40 * 4 * 4, dtype=np.uint8).reshape(40, 4, 4)


def load(path, **fields):
    return load_dataset(TrainConfig(dataset=path, **fields))


def digests(part):
    return {hashlib.sha256(image.numpy().tobytes()).digest() for image in part.x}


def test_mnist_sample_is_the_default_and_has_at_most_two_megabytes():
    dataset = load_dataset(TrainConfig())
    assert dataset.train.x.shape == (8000, 1, 28, 28)
    assert dataset.test.x.shape == (2000, 1, 28, 28)
    assert dataset.train.x.dtype == dataset.test.x.dtype == torch.uint8
    assert dataset.input_shape == (1, 28, 28)
    assert (SAMPLE / "digits.npz").stat().st_size <= 2_000_000


def test_mnist_sample_has_digits_of_every_class_in_disjoint_parts():
    with np.load(SAMPLE / "digits.npz") as archive:
        for part in ("train", "test"):
            counts = np.bincount(archive[f"{part}_labels"], minlength=10)
            assert counts.min() > 0.07 * counts.sum()
    dataset = load_dataset(TrainConfig())
    assert not digests(dataset.train) & digests(dataset.test)


def test_sources_are_chosen_by_the_name(image_folder, tmp_path):
    np.save(tmp_path / "x.npy", PIXELS)
    assert load(tmp_path / "x.npy").input_shape == (1, 4, 4)
    assert load(image_folder).input_shape == (1, 5, 6)
    assert load(image_folder, image_size=(8, 12)).input_shape == (1, 8, 12)
    with pytest.raises(DataError, match="unknown data set 'no-such-set'"):
        load("no-such-set")


def test_image_size_without_an_image_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="image_size applies only to folders of images, and 'mnist' is not a folder"):
        load("mnist", image_size=(8, 8))


def test_split_does_not_depend_on_the_seed_of_the_run(image_folder):
    a, b = (load(image_folder, seed=seed) for seed in (0, 1))
    assert torch.equal(a.test.x, b.test.x)


def test_parts_are_disjoint_and_complete(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(200, dtype=np.uint8)[:, None])
    dataset = load(tmp_path / "x.npy", validation=0.25)
    parts = [set(part.x.flatten().tolist()) for part in (dataset.train, dataset.validation, dataset.test)]
    assert [len(part) for part in parts] == [135, 45, 20]
    assert set.union(*parts) == set(range(200))


def test_validation_part_is_monitored_if_there_is_one(tmp_path):
    np.save(tmp_path / "x.npy", PIXELS)
    assert load(tmp_path / "x.npy", validation=0.2).monitored == "validation"
    assert load(tmp_path / "x.npy").monitored == "test"


@pytest.mark.parametrize(
    ("array", "fields", "message"),
    [
        (np.full((20, 3), np.nan), {"likelihood": "gaussian"}, "the data contains NaN or infinity"),
        (np.zeros((20, 3)) + 7, {}, "values outside the range from 0 to 1 of bce_surrogate"),
        (
            np.full((20, 4), 99, np.uint8),
            {"likelihood": "bernoulli"},
            "a Bernoulli likelihood takes only the values 0 and 1",
        ),
        (np.full((20, 3), 0.5), {"likelihood": "discretized_logistic"}, "values between the 256 levels"),
        (np.zeros((20, 3)) - 1, {"binarize": "dynamic"}, "binarize needs gray levels from 0 to 1, but"),
    ],
)
def test_values_that_the_likelihood_cannot_score_are_an_error(tmp_path, array, fields, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "x.npy", **fields)


def test_every_part_and_every_row_is_checked(tmp_path):
    good = np.zeros((1500, 3))
    bad = np.copy(good)
    bad[-1, -1] = 2.0
    for train, test in ((good, bad), (bad, good)):
        np.savez(tmp_path / "x.npz", train=train, test=test)
        with pytest.raises(DataError, match="values outside the range from 0 to 1"):
            load(tmp_path / "x.npz")


def test_one_pixel_that_is_neither_black_nor_white_is_an_error(tmp_path):
    pixels = np.zeros((2500, 4), np.uint8)
    pixels[::2] = 255
    pixels[-1, -1] = 99
    np.save(tmp_path / "x.npy", pixels)
    with pytest.raises(DataError, match="a Bernoulli likelihood takes only the values 0 and 1"):
        load(tmp_path / "x.npy", likelihood="bernoulli")


def test_held_out_parts_are_binarized_once_and_training_examples_are_not(tmp_path):
    np.save(tmp_path / "x.npy", PIXELS)
    fields = {"binarize": "dynamic", "likelihood": "bernoulli", "validation": 0.1}
    a, b = (load(tmp_path / "x.npy", **fields, seed=seed) for seed in (0, 1))
    for part in ("validation", "test"):
        assert torch.equal(getattr(a, part).x, getattr(b, part).x)
        assert set(getattr(a, part).x.unique().tolist()) == {0, 255}
    assert len(a.train.x.unique()) > 200


def test_binarize_draws_one_with_the_probability_of_the_gray_level():
    x = torch.tensor([0.0, 0.2, 0.9, 1.0]).expand(50_000, 4)
    drawn = binarize(x, torch.rand(x.shape, generator=torch.Generator().manual_seed(0)))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(drawn.mean(0), x[0], atol=0.01, rtol=0)
    assert not drawn[:, 0].any()
    assert drawn[:, 3].all()


def test_labels_are_dropped_without_a_condition():
    dataset = load_dataset(TrainConfig())
    assert dataset.train.y is dataset.test.y is None
    assert dataset.classes == ()


def test_sample_has_ten_classes():
    dataset = load("mnist-sample", validation=0.1, condition="label")
    assert dataset.classes == tuple("0123456789")
    for part in (dataset.train, dataset.validation, dataset.test):
        assert part.y.shape == (len(part),)
        assert part.y.dtype == torch.int64
        assert set(part.y.tolist()) == set(range(10))


def test_labels_stay_with_their_examples_through_every_split(tmp_path):
    y = np.random.default_rng(0).integers(0, 3, 50)
    np.savez(tmp_path / "x.npz", x=np.stack([y * 10, np.arange(50)], 1).astype(np.uint8), y=y)
    dataset = load(tmp_path / "x.npz", validation=0.2, condition="label")
    for part in (dataset.train, dataset.validation, dataset.test):
        assert torch.equal(part.x[:, 0], (part.y * 10).byte())
    assert dataset.classes == ("0", "1", "2")


def test_condition_without_labels_is_an_error(image_folder):
    names = "the arrays train_labels and test_labels, or the array y beside x"
    with pytest.raises(DataError, match=f"has no labels.*one subfolder for each class.*{names}.*--label-column"):
        load(image_folder, condition="label")


def test_options_of_other_data_sets_are_an_error(tmp_path):
    np.save(tmp_path / "x.npy", PIXELS)
    with pytest.raises(DataError, match="label_column applies only to .csv files"):
        load(tmp_path / "x.npy", label_column="a")
    with pytest.raises(DataError, match="background applies only to folders of images"):
        load(tmp_path / "x.npy", background="white")
