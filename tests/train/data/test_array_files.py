"""Data sets of images and of tables from .npy and .npz files."""

import numpy as np
import pytest
import torch

from vaedge_train import DataError, TrainConfig, train
from vaedge_train.data.array_files import load_arrays
from vaedge_train.data.examples import Examples, scale

PIXELS = np.arange(40 * 4 * 4, dtype=np.uint8).reshape(40, 4, 4)


def test_three_dimensional_bytes_are_gray_images(tmp_path):
    np.save(tmp_path / "x.npy", PIXELS)
    source = load_arrays(tmp_path / "x.npy")
    assert source.train.x.shape == (36, 1, 4, 4)
    assert source.test.x.shape == (4, 1, 4, 4)
    assert source.classes == ()
    everything = torch.cat([source.train.x, source.test.x]).flatten(1)
    assert {tuple(row) for row in everything.tolist()} == {tuple(row.ravel().tolist()) for row in PIXELS}


def test_given_parts_are_kept(tmp_path):
    np.savez(tmp_path / "x.npz", train=PIXELS[:30], test=PIXELS[30:])
    source = load_arrays(tmp_path / "x.npz")
    assert torch.equal(source.train.x[:, 0], torch.from_numpy(PIXELS[:30]))
    assert torch.equal(source.test.x[:, 0], torch.from_numpy(PIXELS[30:]))


@pytest.mark.parametrize("arrays", [{"x": PIXELS, "other": PIXELS[:3]}, {"anything": PIXELS}])
def test_archive_with_x_or_one_array_is_read(tmp_path, arrays):
    np.savez(tmp_path / "x.npz", **arrays)
    assert len(load_arrays(tmp_path / "x.npz").train) == 36


def test_batches_of_floating_point_tables_become_float32(tmp_path):
    np.save(tmp_path / "x.npy", np.linspace(-5, 5, 60).reshape(20, 3))
    source = load_arrays(tmp_path / "x.npy")
    assert scale(source.train.x).dtype == torch.float32
    assert source.train.x.shape == (18, 3)


VALUES = np.random.default_rng(0).integers(0, 256, (40, 2, 3))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "<f2", "<f4", "<f8", ">f4", ">f8"])
def test_file_keeps_its_type_and_stays_memory_mapped(tmp_path, dtype, order):
    """Big-endian numbers do not keep their type: torch has no such types, so they become float64 in memory."""
    np.save(tmp_path / "x.npy", np.asarray(VALUES, dtype, order=order))
    source = load_arrays(tmp_path / "x.npy")
    stored = source.train.stored
    expected = VALUES[:, None] if dtype == "u1" else VALUES
    assert np.array_equal(stored.numpy(), expected)
    assert stored.numpy().dtype == (np.float64 if dtype.startswith(">") else np.dtype(dtype))
    assert stored.data_ptr() == source.test.stored.data_ptr()
    chosen = torch.tensor([5, 0, 31])
    assert np.array_equal(source.train[chosen].x.numpy(), expected[source.train.rows[chosen].numpy()])
    copy = Examples(torch.from_numpy(np.ascontiguousarray(stored.numpy())), None, source.train.rows)
    assert source.train.sha256() == copy.sha256()
    if not dtype.startswith(">"):
        with (tmp_path / "x.npy").open("r+b") as file:  # the data is not a copy: it shows a change of the file
            file.seek(-np.dtype(dtype).itemsize, 2)
            file.write(bytes(np.dtype(dtype).itemsize))
        assert stored.flatten()[-1] == 0 if order == "C" else stored[-1].flatten()[-1] == 0


def test_training_reads_the_types_alike(tmp_path):
    metrics = []
    for index, (dtype, order) in enumerate([("<f4", "C"), ("<f8", "F"), (">f4", "C")]):
        np.save(tmp_path / "x.npy", np.asarray(VALUES, dtype, order=order))
        config = TrainConfig(dataset=tmp_path / "x.npy", likelihood="gaussian", hidden=(4,), latent=2, epochs=1)
        metrics.append(train(config, tmp_path / str(index), progress=False).metrics["test_elbo"])
    assert metrics[0] == pytest.approx(metrics[1], rel=1e-6) == pytest.approx(metrics[2], rel=1e-6)


@pytest.mark.parametrize("shape", ["(400, 4, 4)", "(40, 4, 400000000000)", "(40, 4, -4)", "(40, 4, 4"])
def test_header_that_does_not_fit_the_file_is_an_error(tmp_path, shape):
    np.save(tmp_path / "x.npy", PIXELS)
    content = (tmp_path / "x.npy").read_bytes()
    header = content[10:128].replace(b"(40, 4, 4)", shape.encode())
    (tmp_path / "x.npy").write_bytes(content[:10] + header.replace(b" " * (len(shape) - 10), b"", 1) + content[128:])
    with pytest.raises(DataError, match=r"x.npy cannot be read as an array"):
        load_arrays(tmp_path / "x.npy")


@pytest.mark.parametrize("names", [("x", "y"), ("train", "train_labels")])
def test_labels_stay_with_their_examples(tmp_path, names):
    y = np.arange(40) % 3
    arrays = {names[0]: np.stack([y * 10, np.arange(40)], 1).astype(np.uint8), names[1]: y}
    if names[0] == "train":
        arrays |= {"test": arrays["train"][:5], "test_labels": y[:5]}
    np.savez(tmp_path / "x.npz", **arrays)
    source = load_arrays(tmp_path / "x.npz")
    assert source.classes == ("0", "1", "2")
    for part in (source.train, source.test):
        assert torch.equal(part.x[:, 0], (part.y * 10).byte())


def test_labels_of_one_part_only_are_no_classes(tmp_path):
    np.savez(tmp_path / "x.npz", train=PIXELS, test=PIXELS, train_labels=np.zeros(40, int))
    assert load_arrays(tmp_path / "x.npz").classes == ()


@pytest.mark.parametrize("y", [np.arange(9), np.full(10, -1), np.full(10, 0.5)], ids=["count", "negative", "float"])
def test_invalid_labels_are_an_error(tmp_path, y):
    np.savez(tmp_path / "x.npz", x=np.zeros((10, 3), np.uint8), y=y)
    with pytest.raises(DataError, match=r"x.npz: y is an array of .* expected integers from 0, one for each of the 10"):
        load_arrays(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(20), r"has shape \(20,\); expected"),
        (np.zeros((1, 3)), "at least 2 examples"),
        (np.zeros((20, 0)), "has shape"),
        (np.zeros((20, 3), np.int64), "array of int64; expected uint8 pixels, or floating-point numbers"),
        (np.array([{}] * 9), "cannot be read as an array: it is not an array, or it holds Python objects"),
    ],
    ids=["rank", "single", "empty", "integers", "objects"],
)
def test_unusable_array_is_an_error(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match=message):
        load_arrays(tmp_path / "x.npy")


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_damaged_file_is_an_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name} cannot be read"):
        load_arrays(tmp_path / name)


def test_archive_of_other_arrays_is_an_error(tmp_path):
    np.savez(tmp_path / "x.npz", u=PIXELS, v=PIXELS)
    with pytest.raises(DataError, match="has the arrays u, v; expected train and test, or x"):
        load_arrays(tmp_path / "x.npz")
