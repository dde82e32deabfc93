"""Data sets of torchvision. To avoid downloads, the tests replace the classes of torchvision by fake classes."""

import numpy as np
import pytest
from PIL import Image

from vaedge_train import DataError
from vaedge_train.data.torchvision_data import import_torchvision, is_torchvision, load_torchvision


class InMemory:
    """A data set like most data sets of torchvision: `data` holds all images, and `targets` holds their classes."""

    classes = ("zero", "one")

    def __init__(self, root, train=True, download=False):
        assert download
        self.data = np.arange(2 * 5 * 4 * 3, dtype=np.uint8).reshape(2, 5, 4, 3)[: 2 if train else 1]
        self.targets = [0, 1][: len(self.data)]

    def __len__(self):
        return len(self.data)


class OneByOne:
    """A data set that reads each image separately. It has the argument `split` instead of `train`, and no classes."""

    def __init__(self, root, split="train"):
        self.count = {"train": 3, "test": 2}[split]

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return Image.new("RGB", (4, 5), (index, 7, 9)), 0


@pytest.fixture
def datasets(monkeypatch):
    import_torchvision()
    from torchvision import datasets

    return lambda name, kind: monkeypatch.setattr(datasets, name, kind)


def test_images_in_memory_are_taken_as_one_array(datasets, tmp_path):
    datasets("MNIST", InMemory)
    source = load_torchvision("mnist", str(tmp_path))
    assert (source.train.x.shape, source.test.x.shape) == ((2, 3, 5, 4), (1, 3, 5, 4))
    assert source.train.x[0, :, 0, 1].tolist() == [3, 4, 5]
    assert source.train.y.tolist() == [0, 1]
    assert source.classes == ("zero", "one")


def test_images_are_read_one_by_one_where_there_is_no_array(datasets, tmp_path):
    datasets("SVHN", OneByOne)
    source = load_torchvision("SVHN", str(tmp_path))
    assert (source.train.x.shape, source.test.x.shape) == ((3, 3, 5, 4), (2, 3, 5, 4))
    assert source.train.x[2, :, 0, 0].tolist() == [2, 7, 9]
    assert source.train.y is None
    assert source.classes == ()


def test_classes_without_names_are_numbered(datasets, tmp_path):
    class Unnamed(InMemory):
        classes = ("only one name",)

    datasets("MNIST", Unnamed)
    assert load_torchvision("mnist", str(tmp_path)).classes == ("0", "1")


def test_images_of_different_sizes_are_an_error(datasets, tmp_path):
    class Different(OneByOne):
        def __getitem__(self, index):
            return Image.new("RGB", (4 + index, 5)), 0

    datasets("SVHN", Different)
    with pytest.raises(DataError, match="the images of 'svhn' differ in size"):
        load_torchvision("svhn", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-such-set", "unknown data set 'no-such-set'.*mnist, fashion-mnist"),
        ("fakedata", "has no train and test part"),
        ("ImageNet", "could not find 'ImageNet' in"),
    ],
)
def test_unavailable_data_set_is_an_error(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        load_torchvision(name, str(tmp_path))


@pytest.mark.parametrize(
    ("name", "expected"), [("Fashion-MNIST", True), ("mnist", True), ("./mnist", False), ("other", False)]
)
def test_names_of_torchvision_ignore_case_and_hyphens(name, expected):
    assert is_torchvision(name) is expected


def test_import_returns_the_module():
    assert import_torchvision().__name__ == "torchvision"
