"""Where pictures come from, and what is said when they do not."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vaedge_train.data.torchvision_data
from vaedge_train import DataError, TrainConfig
from vaedge_train.data.examples import scale
from vaedge_train.dataset import load_dataset

SAMPLE = Path(vaedge_train.__file__).parent / "data" / "mnist_sample"


def test_mnist_sample_is_the_default_and_fits_in_two_megabytes():
    dataset = load_dataset(TrainConfig())
    assert dataset.train.x.shape == (8000, 1, 28, 28)
    assert dataset.test.x.shape == (2000, 1, 28, 28)
    assert dataset.train.x.dtype == dataset.test.x.dtype == torch.uint8
    assert (SAMPLE / "digits.npz").stat().st_size <= 2_000_000


def test_mnist_sample_holds_digits_of_every_kind_and_the_parts_are_disjoint():
    with np.load(SAMPLE / "digits.npz") as archive:
        for part in ("train", "test"):
            counts = np.bincount(archive[f"{part}_labels"], minlength=10)
            assert counts.min() > 0.07 * counts.sum()
        hashes = [{hashlib.sha256(image).digest() for image in archive[f"{part}_images"]} for part in ("train", "test")]
    assert not hashes[0] & hashes[1]


def test_scale():
    x = scale(torch.tensor([0, 51, 255], dtype=torch.uint8))
    assert x.dtype == torch.float32
    assert x.tolist() == pytest.approx([0, 0.2, 1])


def test_a_folder_of_pictures(pictures):
    (pictures / "notes.txt").write_text("not a picture")
    dataset = load_dataset(TrainConfig(dataset=str(pictures)))
    assert dataset.item_shape == (1, 5, 6)
    assert (len(dataset.train), len(dataset.test)) == (36, 4)
    given = {hashlib.sha256(np.asarray(Image.open(path)).tobytes()).digest() for path in pictures.glob("*.png")}
    read = {
        hashlib.sha256(image.numpy().tobytes()).digest() for part in (dataset.train, dataset.test) for image in part.x
    }
    assert read == given


def test_the_split_does_not_depend_on_the_run_s_seed(pictures):
    a, b = (load_dataset(TrainConfig(dataset=str(pictures), seed=seed)) for seed in (0, 1))
    assert torch.equal(a.test.x, b.test.x)


def test_one_colour_picture_makes_all_of_them_colour(pictures):
    Image.new("RGB", (6, 5), (250, 10, 10)).save(pictures / "red.png")
    dataset = load_dataset(TrainConfig(dataset=str(pictures)))
    assert dataset.item_shape == (3, 5, 6)
    everything = torch.cat([dataset.train.x, dataset.test.x])
    assert (everything == torch.tensor([250, 10, 10], dtype=torch.uint8)[:, None, None]).all((1, 2, 3)).sum() == 1


def test_sizes_that_differ(pictures):
    Image.new("L", (9, 9)).save(pictures / "large.png")
    with pytest.raises(DataError, match=r"large.png is 9 x 9 pixels.*--image-size"):
        load_dataset(TrainConfig(dataset=str(pictures)))
    dataset = load_dataset(TrainConfig(dataset=str(pictures), image_size=(8, 12)))
    assert dataset.item_shape == (1, 8, 12)


def test_a_picture_that_cannot_be_read_is_named(pictures):
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(DataError, match=r"broken.png cannot be read.*--skip-broken"):
        load_dataset(TrainConfig(dataset=str(pictures)))


def test_a_picture_that_cannot_be_read_is_left_out_when_asked(pictures, capsys):
    whole = load_dataset(TrainConfig(dataset=str(pictures)))
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n")
    (pictures / "cut.png").write_bytes((pictures / "00.png").read_bytes()[:60])
    dataset = load_dataset(TrainConfig(dataset=str(pictures), skip_broken=True))
    assert torch.equal(dataset.train.x, whole.train.x)
    said = capsys.readouterr().err
    assert f"skipped {pictures / 'broken.png'}" in said
    assert f"skipped {pictures / 'cut.png'}" in said


def test_a_folder_of_nothing_but_broken_pictures(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(DataError, match="of 3 pictures only 0 can be read"):
        load_dataset(TrainConfig(dataset=str(tmp_path), skip_broken=True))


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="holds 0 pictures"):
        load_dataset(TrainConfig(dataset=str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no-such-set", "unknown data set 'no-such-set'.*mnist, fashion-mnist"),
        ("fakedata", "has no train and test part"),
        ("ImageNet", "could not find 'ImageNet' in"),
    ],
)
def test_data_sets_that_cannot_be_had(tmp_path, name, says):
    with pytest.raises(DataError, match=says):
        load_dataset(TrainConfig(dataset=name, data_dir=str(tmp_path)))


class InMemory:
    """A data set as torchvision's classes look: `data` holds it all."""

    def __init__(self, root, train=True, download=False):
        assert download
        self.data = np.arange(2 * 5 * 4 * 3, dtype=np.uint8).reshape(2, 5, 4, 3)[: 2 if train else 1]

    def __len__(self):
        return len(self.data)


class OneByOne:
    """A data set whose pictures must be asked for, with `split` in place of `train`."""

    def __init__(self, root, split="train"):
        self.count = {"train": 3, "test": 2}[split]

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return Image.new("RGB", (4, 5), (index, 7, 9)), 0


def test_torchvision_s_two_ways_of_keeping_pictures(monkeypatch):
    vaedge_train.data.torchvision_data.import_torchvision()
    from torchvision import datasets

    monkeypatch.setattr(datasets, "MNIST", InMemory)
    monkeypatch.setattr(datasets, "SVHN", OneByOne)
    mnist = load_dataset(TrainConfig(dataset="mnist"))
    assert (mnist.train.x.shape, mnist.test.x.shape) == ((2, 3, 5, 4), (1, 3, 5, 4))
    assert mnist.train.x[0, :, 0, 1].tolist() == [3, 4, 5]
    svhn = load_dataset(TrainConfig(dataset="SVHN"))
    assert (svhn.train.x.shape, svhn.test.x.shape) == ((3, 3, 5, 4), (2, 3, 5, 4))
    assert svhn.train.x[2, :, 0, 0].tolist() == [2, 7, 9]


def test_no_item_is_in_two_parts_and_none_is_lost(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(200, dtype=np.uint8)[:, None])
    dataset = load_dataset(TrainConfig(dataset=tmp_path / "x.npy", validation=0.25))
    parts = [set(part.x.flatten().tolist()) for part in (dataset.train, dataset.validation, dataset.test)]
    assert [len(part) for part in parts] == [135, 45, 20]
    assert set.union(*parts) == set(range(200))
