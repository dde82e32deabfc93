"""Arrays are read from .npy and .npz files, and are written atomically."""

import io

import numpy as np
import pytest

import vaedge
from vaedge.files.arrays import npy_parts, npz_content, read_array
from vaedge.files.atomic import atomic_file, write_atomically
from vaedge.files.examples import read_examples

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    "array", [X, X.T, X[:, ::2], np.float64(3), np.zeros((0, 2))], ids=lambda array: str(array.shape)
)
def test_npy_reads_back(tmp_path, array):
    write_atomically(tmp_path / "x.npy", *npy_parts(array))
    np.testing.assert_array_equal(read_array(tmp_path / "x.npy", "x"), array)
    expected = io.BytesIO()
    np.save(expected, np.ascontiguousarray(array))
    assert (tmp_path / "x.npy").read_bytes() == expected.getvalue()


def test_npy_is_mapped_into_memory(tmp_path):
    np.save(tmp_path / "x.NPY.npy", X)
    assert isinstance(read_array(tmp_path / "x.NPY.npy", "x"), np.memmap)


def test_archive_gives_the_named_array_or_its_only_one(tmp_path):
    write_atomically(tmp_path / "two.npz", npz_content(mean=X, log_var=X + 1))
    write_atomically(tmp_path / "one.npz", npz_content(other=X + 2))
    write_atomically(tmp_path / "none.npz", npz_content())
    np.testing.assert_array_equal(read_array(tmp_path / "two.npz", "log_var"), X + 1)
    np.testing.assert_array_equal(read_array(tmp_path / "one.npz", "mean"), X + 2)
    with pytest.raises(vaedge.InputError, match="has no array 'x'; it has mean, log_var"):
        read_array(tmp_path / "two.npz", "x")
    with pytest.raises(vaedge.InputError, match="has no array 'x'; it has no arrays"):
        read_array(tmp_path / "none.npz", "x")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("content", [b"", b"damaged", b"\x93NUMPY\x01\x00", b"PK\x03\x04damaged"])
def test_damaged_file_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(vaedge.InputError, match=f"x{suffix} cannot be read as an array"):
        read_array(path, "x")


def test_pickled_objects_are_refused_without_advice_to_allow_them(tmp_path):
    objects = np.array([{}])
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=objects)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(vaedge.InputError, match="Python objects") as caught:
            read_array(tmp_path / name, "x")
        assert "allow_pickle" not in str(caught.value)


def test_single_example_becomes_a_batch(tmp_path):
    np.save(tmp_path / "one.npy", X)
    np.save(tmp_path / "two.npy", np.stack([X, X]))
    assert read_examples(tmp_path / "one.npy", (2, 3)).x.shape == (1, 2, 3)
    assert read_examples(tmp_path / "two.npy", (2, 3)).x.shape == (2, 2, 3)
    with pytest.raises(vaedge.InputError, match=r"three.npy does not exist"):
        read_examples(tmp_path / "three.npy", (2, 3))


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    if failing != "write":
        target = "vaedge.files.atomic.os.fsync" if failing == "fsync" else "vaedge.files.atomic.Path.replace"
        monkeypatch.setattr(target, fail)

    def write():
        with atomic_file(path) as file:
            file.write(b"new")
            if failing == "write":
                fail()

    with pytest.raises(OSError, match="No space left") as caught:
        write()
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")

    def write():
        with atomic_file(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_the_file_has_its_name(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("vaedge.files.atomic.os.fsync", lambda _: calls.append((tmp_path / "x.bin").exists()))
    write_atomically(tmp_path / "x.bin", b"a", memoryview(b"b"))
    assert calls == [False]
    assert (tmp_path / "x.bin").read_bytes() == b"ab"
