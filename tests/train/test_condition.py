"""Conditional models: labels from every kind of data set, and what the networks make of them."""

import numpy as np
import pytest
import torch
from PIL import Image

from vaedge_train import ConfigError, DataError, TrainConfig, train
from vaedge_train.build import build_vae
from vaedge_train.dataset import load_dataset

RNG = np.random.default_rng(0)


def conditional(path, **fields):
    return TrainConfig(dataset=path, condition="label", **fields)


def test_without_a_condition_there_are_no_labels():
    dataset = load_dataset(TrainConfig())
    assert dataset.train.y is dataset.test.y is None
    assert dataset.classes == ()


def test_the_sample_has_ten_classes():
    dataset = load_dataset(conditional("mnist-sample", validation=0.1))
    assert dataset.classes == tuple("0123456789")
    for part in (dataset.train, dataset.validation, dataset.test):
        assert part.y.shape == (len(part),)
        assert part.y.dtype == torch.int64
        assert set(part.y.tolist()) == set(range(10))


def test_labels_stay_with_their_items_through_every_split(tmp_path):
    y = RNG.integers(0, 3, 50)
    np.savez(tmp_path / "x.npz", x=np.stack([y * 10, np.arange(50)], 1).astype(np.uint8), y=y)
    dataset = load_dataset(conditional(tmp_path / "x.npz", validation=0.2))
    for part in (dataset.train, dataset.validation, dataset.test):
        assert torch.equal(part.x[:, 0], (part.y * 10).byte())
    assert dataset.classes == ("0", "1", "2")


def test_subfolders_are_classes(tmp_path):
    for name, level in (("dark", 10), ("bright", 240)):
        (tmp_path / name / "deeper").mkdir(parents=True)
        for index in range(10):
            Image.new("L", (4, 4), level).save(tmp_path / name / "deeper" / f"{index}.png")
    dataset = load_dataset(conditional(tmp_path))
    assert dataset.classes == ("bright", "dark")
    for part in (dataset.train, dataset.test):
        assert torch.equal(part.x[:, 0, 0, 0] > 100, part.y == 0)


def test_a_picture_outside_of_the_subfolders_has_no_label(pictures):
    with pytest.raises(DataError, match="has no labels.*subfolder for each class"):
        load_dataset(conditional(pictures))


@pytest.mark.parametrize("y", [np.arange(9), np.full(10, -1), np.full(10, 0.5)], ids=["count", "negative", "float"])
def test_labels_that_are_none(tmp_path, y):
    np.savez(tmp_path / "x.npz", x=np.zeros((10, 3), np.uint8), y=y)
    with pytest.raises(DataError, match=r"x.npz: y is an array of .* expected whole numbers"):
        load_dataset(conditional(tmp_path / "x.npz"))


def test_a_vamp_prior_knows_no_labels():
    with pytest.raises(ConfigError, match="knows no labels"):
        TrainConfig(condition="label", prior="vamp")


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_both_networks_are_told_the_label(network):
    config = TrainConfig(network=network, channels=4, latent=3, hidden=(8,), likelihood="bernoulli", condition="label")
    vae = build_vae(config, (1, 8, 8), classes=3).eval()
    x, z = torch.rand(2, 1, 8, 8), torch.randn(2, 3)
    for outputs in (lambda y: vae.inference(x, y)[0], lambda y: vae.generative(z, y)[0]):
        a, b = (outputs(torch.tensor(y)) for y in ([0, 1], [0, 2]))
        assert torch.equal(a[0], b[0])
        assert not torch.equal(a[1], b[1])


def test_the_label_follows_every_draw_of_z():
    vae = build_vae(TrainConfig(latent=3, hidden=(8,), condition="label"), (6,), classes=4).eval()
    z, y = torch.randn(5, 2, 3), torch.tensor([3, 1])
    (together,) = vae.generative(z, y)
    for draw in range(5):
        torch.testing.assert_close(together[draw], vae.generative(z[draw], y)[0])


def test_a_label_tells_what_z_then_need_not(tmp_path):
    """Items that are nothing but their label: a conditional model has nothing left to encode."""
    y = RNG.integers(0, 4, 400)
    x = np.zeros((400, 8), np.uint8)
    x[np.arange(400), 2 * y] = x[np.arange(400), 2 * y + 1] = 255
    np.savez(tmp_path / "x.npz", x=x, y=y)
    fields = {"likelihood": "bernoulli", "hidden": (16,), "latent": 2, "epochs": 40, "batch_size": 50}
    told = train(conditional(tmp_path / "x.npz", **fields, learning_rate=0.01), tmp_path / "told", progress=False)
    untold = train(
        TrainConfig(dataset=tmp_path / "x.npz", **fields, learning_rate=0.01), tmp_path / "untold", progress=False
    )
    assert told.metrics["test_elbo"] > -0.2
    assert untold.metrics["test_elbo"] < -1.0  # log 4 is 1.39
    assert told.classes == ("0", "1", "2", "3")
    assert told.examples["y"].shape == (40,)
