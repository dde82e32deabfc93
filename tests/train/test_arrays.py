"""Data sets from .npy and .npz: pictures, and tables."""

import numpy as np
import pytest
import torch

from vaedge_train import DataError, TrainConfig, train
from vaedge_train.dataset import load_dataset

PIXELS = np.arange(40 * 4 * 4, dtype=np.uint8).reshape(40, 4, 4)


def load(path, **fields):
    return load_dataset(TrainConfig(dataset=path, **fields))


def test_grey_pixels(tmp_path):
    np.save(tmp_path / "x.npy", PIXELS)
    dataset = load(tmp_path / "x.npy")
    assert dataset.item_shape == (1, 4, 4)
    assert (len(dataset.train), len(dataset.test)) == (36, 4)
    everything = torch.cat([dataset.train.x, dataset.test.x]).flatten(1)
    assert {tuple(item) for item in everything.tolist()} == {tuple(item.ravel().tolist()) for item in PIXELS}


def test_parts_that_are_given_are_kept(tmp_path):
    np.savez(tmp_path / "x.npz", train=PIXELS[:30], test=PIXELS[30:])
    dataset = load(tmp_path / "x.npz", validation=0.1)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (27, 3, 10)
    assert torch.equal(dataset.test.x[:, 0], torch.from_numpy(PIXELS[30:]))


def test_a_table_trains_under_a_gaussian(tmp_path):
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((400, 2))
    table = factors @ rng.standard_normal((2, 6)) + 0.1 * rng.standard_normal((400, 6))
    np.save(tmp_path / "table.npy", table)
    config = TrainConfig(dataset=tmp_path / "table.npy", likelihood="gaussian", hidden=(32,), latent=2, epochs=60)
    run = train(config, tmp_path / "run", progress=False)
    assert run.input_shape == (6,)
    assert not list((tmp_path / "run").glob("*.png"))
    independent = -0.5 * np.log(2 * np.pi * np.e * table.var(0)).sum()
    assert run.metrics["test_elbo"] > independent + 1


@pytest.mark.parametrize(
    ("array", "fields", "says"),
    [
        (np.full((20, 3), np.nan), {"likelihood": "gaussian"}, "NaN"),
        (np.zeros((20, 3)) + 7, {}, "from 0 to 1"),
        (np.zeros(20), {"likelihood": "gaussian"}, "expected"),
        (np.zeros((1, 3)), {"likelihood": "gaussian"}, "at least 2 items"),
        (np.zeros((20, 0)), {"likelihood": "gaussian"}, "has shape"),
        (np.zeros((20, 3), np.int64), {}, "array of int64"),
        (np.array([{}] * 9), {}, "cannot be read"),
    ],
    ids=["nan", "range", "rank", "single", "empty", "integers", "objects"],
)
def test_arrays_that_cannot_be_trained_on(tmp_path, array, fields, says):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match=says):
        load(tmp_path / "x.npy", **fields)


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_damaged_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name} cannot be read"):
        load(tmp_path / name)


def test_an_archive_of_other_arrays(tmp_path):
    np.savez(tmp_path / "x.npz", u=PIXELS, v=PIXELS)
    with pytest.raises(DataError, match="has the arrays u, v"):
        load(tmp_path / "x.npz")


def test_binarised_parts_are_the_same_bits_every_time_and_training_ones_are_not(tmp_path):
    np.save(tmp_path / "x.npy", PIXELS)
    a, b = (load(tmp_path / "x.npy", binarize="dynamic", likelihood="bernoulli", validation=0.1) for _ in range(2))
    for part in ("validation", "test"):
        assert torch.equal(getattr(a, part).x, getattr(b, part).x)
        assert set(getattr(a, part).x.unique().tolist()) == {0, 255}
    assert len(a.train.x.unique()) > 2
