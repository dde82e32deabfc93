"""The warning about columns whose values lose significant digits in float32."""

import warnings

import numpy as np
import pytest

from vaedge_train import TrainConfig
from vaedge_train.data.array_files import load_arrays
from vaedge_train.data.column_warnings import warn_about_precision
from vaedge_train.data.tables import load_table
from vaedge_train.dataset import load_dataset

NOISE = np.random.default_rng(0).standard_normal((60, 4))
# The second column holds times in seconds. Neighboring float32 numbers are 128 seconds apart.
COLUMNS = NOISE * [1, 50, 0, 0.006] + [1, 1.7e9, 7, 0]


def save_csv(path, values, names="abcd"):
    np.savetxt(path, values, "%.17g", ",", header=",".join(names), comments="")
    return path


@pytest.fixture
def silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("dtype", [np.float64, np.float32, ">f8"])
def test_array_with_a_large_offset_gives_one_warning(tmp_path, dtype):
    np.save(tmp_path / "x.npy", COLUMNS.astype(dtype))
    with pytest.warns(UserWarning, match=r"these columns lose digits in float32.*: 1 \(.*subtract an offset") as caught:
        load_arrays(tmp_path / "x.npy")
    assert len(caught) == 1
    assert str(caught[0].message).count("(") == 1


def test_training_part_of_an_archive_is_examined(tmp_path):
    np.savez(tmp_path / "x.npz", train=COLUMNS, test=COLUMNS)
    with pytest.warns(UserWarning, match=r"lose digits in float32") as caught:
        load_arrays(tmp_path / "x.npz")
    assert len(caught) == 1


def test_run_gives_one_warning_with_the_standard_deviation_before_the_conversion(tmp_path):
    np.save(tmp_path / "x.npy", COLUMNS)
    with pytest.warns(UserWarning, match="lose digits") as caught:
        load_dataset(TrainConfig(dataset=tmp_path / "x.npy", likelihood="gaussian"))
    assert len(caught) == 1
    assert f"1 ({COLUMNS[:, 1].std():.3g});" in str(caught[0].message)


def test_table_with_a_large_offset_gives_a_warning_with_the_name_of_the_column(tmp_path):
    with pytest.warns(UserWarning, match=r"deviations: time \([0-9.]+\); subtract"):
        load_table(save_csv(tmp_path / "x.csv", COLUMNS, ["a", "time", "c", "d"]), None)


def test_column_that_is_constant_only_in_float32_gives_a_warning(tmp_path):
    values = COLUMNS.copy()
    values[:, 1] = 1.7e9 + NOISE[:, 1]
    assert len(np.unique(values[:, 1].astype(np.float32))) == 1
    np.save(tmp_path / "x.npy", values)
    std = f"{NOISE[:, 1].std():.3g}"
    with pytest.warns(UserWarning, match=rf": 1 \({std}\);"):
        load_arrays(tmp_path / "x.npy")
    path = save_csv(tmp_path / "x.csv", values, [" a", "time ", "c", "d"])
    path.write_text(path.read_text() + "\n")
    with pytest.warns(UserWarning, match=rf": time \({std}\);"):
        load_table(path, None)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("constant", [7.0, 0.1, 1.7e9, -3e38])
def test_constant_column_gives_no_warning(tmp_path, constant):
    values = COLUMNS.copy()
    values[:, 1] = constant
    np.save(tmp_path / "x.npy", values)
    load_arrays(tmp_path / "x.npy")
    load_table(save_csv(tmp_path / "x.csv", values), None)


@pytest.mark.usefixtures("silent")
def test_label_column_and_8_bit_data_give_no_warning(tmp_path):
    values = COLUMNS.copy()
    values[:, 1] = 1.7e9 + np.arange(60) % 3
    load_table(save_csv(tmp_path / "x.csv", values), "b")
    np.save(tmp_path / "x.npy", np.full((60, 3), 255, np.uint8))
    load_arrays(tmp_path / "x.npy")


@pytest.mark.parametrize(("offset", "warns"), [(2**16 - 9, False), (2**16 + 9, True), (-(2**16) - 9, True)])
def test_limit_is_one_percent_of_the_standard_deviation(offset, warns):
    # The standard deviation is 0.6. float32 numbers are 1/256 apart below 2^16, and 1/128 apart above it.
    x = offset + np.array([[-0.6], [0.6]] * 50)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_about_precision([x])
    assert bool(caught) is warns


def test_many_columns_are_counted():
    x = np.tile(COLUMNS[:, 1:2], 1205)
    with pytest.warns(
        UserWarning, match=r": 0 \(\S+\), 1 \(\S+\), 2 \(\S+\), 3 \(\S+\), 4 \(\S+\) and 1,200 more; sub"
    ):
        warn_about_precision([x])


def test_images_are_examined_per_channel():
    x = np.random.default_rng(0).standard_normal((20, 2, 3, 4)) + np.array([0, 1e7])[:, None, None]
    with pytest.warns(UserWarning, match=r"these channels lose digits in float32.*: 1 \("):
        warn_about_precision([x])


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_refused_later_give_no_warning(tmp_path, value):
    values = NOISE.copy()
    values[3, 2] = value
    np.save(tmp_path / "x.npy", values)
    load_arrays(tmp_path / "x.npy")
