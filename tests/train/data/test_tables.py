"""Data sets from .csv files."""

import numpy as np
import pytest
import torch

from vaedge_train import DataError, TrainConfig
from vaedge_train.data.tables import load_table
from vaedge_train.dataset import load_dataset


@pytest.fixture
def path(tmp_path):
    lines = ["a,kind,b", *(f"{index},{('10', '9', 'other')[index % 3]},{index / 4}" for index in range(30))]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    return tmp_path / "x.csv"


def test_classes_are_sorted_by_number_and_then_by_name(path):
    source = load_table(path, "kind")
    assert source.classes == ("9", "10", "other")
    assert source.features == ("a", "b")
    for part in (source.train, source.test):
        assert part.x.dtype == torch.float32
        assert torch.equal(part.y, torch.tensor([1, 0, 2])[part.x[:, 0].long() % 3])
    assert (len(source.train), len(source.test)) == (27, 3)


def test_labels_are_dropped_without_a_condition(path):
    config = TrainConfig(dataset=path, label_column="kind", likelihood="gaussian", standardize="off")
    dataset = load_dataset(config)
    assert (dataset.classes, dataset.features, dataset.input_shape) == ((), ("a", "b"), (2,))
    assert dataset.train.y is None


def test_text_without_a_label_column_is_an_error(path):
    with pytest.raises(DataError, match="x.csv, line 4, column 'kind': 'other' is not a number"):
        load_table(path, None)


def test_one_row_is_an_error(tmp_path):
    (tmp_path / "x.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match="x.csv has one row; expected at least 2"):
        load_table(tmp_path / "x.csv", None)


def test_values_are_those_of_the_file(tmp_path):
    values = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    (tmp_path / "x.csv").write_text("a,b\n" + "\n".join(f"{a},{b}" for a, b in values))
    source = load_table(tmp_path / "x.csv", None)
    assert {tuple(row) for row in torch.cat([source.train.x, source.test.x]).tolist()} == set(
        map(tuple, values.tolist())
    )
