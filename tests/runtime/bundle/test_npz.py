"""Archives are read only if their size and their number of arrays are at most the limits."""

import io
import zipfile

import numpy as np
import pytest
from hostile.archives import ARCHIVES, archive, npy

import vaedge
from vaedge.bundle import npz
from vaedge.bundle.npz import read_npz

HEADER_BYTES = 128  # size of the header of an array that `npy` makes


def saved(**arrays):
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def test_arrays_read_back():
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.arange(3),
        "scalar": np.float32(2),
        "empty": np.zeros((0, 2), np.float32),
    }
    found = read_npz(saved(**arrays))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_limits_are_those_of_the_format():
    assert (npz.MAX_BYTES, npz.MAX_ARRAYS) == (67_108_864, 64)


@pytest.mark.parametrize(("arrays", "allowed"), [(64, True), (65, False)])
def test_number_of_arrays_is_limited(arrays, allowed):
    content = archive(**{f"a{index}": npy() for index in range(arrays)})
    if allowed:
        assert len(read_npz(content)) == arrays
    else:
        with pytest.raises(vaedge.BundleError, match="holds 65 arrays; at most 64 are allowed"):
            read_npz(content)


@pytest.mark.parametrize("excess", [0, 4])
def test_bytes_of_all_arrays_are_limited(monkeypatch, excess):
    """The limit for the archive is MAX_BYTES of data, plus 4096 bytes for each of 64 headers."""
    monkeypatch.setattr(npz, "MAX_BYTES", 400)
    data = bytes(400 + 64 * 4096 - HEADER_BYTES + excess)
    content = archive(a=npy(shape=f"({len(data) // 4},)", data=data))
    if excess:
        with pytest.raises(vaedge.BundleError, match="more than 400 bytes together"):
            read_npz(content)
    else:
        assert read_npz(content)["a"].nbytes == len(data)


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i4", "|u1", "|b1", "<U1"])
def test_other_types_are_refused(dtype):
    size = np.dtype(dtype).itemsize
    with pytest.raises(vaedge.BundleError, match="expected float32 or int64 in C order"):
        read_npz(archive(a=npy(repr(dtype), "(1,)", bytes(size))))


@pytest.mark.parametrize("size", [7, 9])
def test_data_must_match_the_shape(size):
    with pytest.raises(vaedge.BundleError, match=rf"has {size} bytes, which do not match its shape \(2,\)"):
        read_npz(archive(a=npy(data=bytes(size))))


@pytest.mark.parametrize("size", [4096, 4097])
def test_header_is_limited_to_4096_bytes(size):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }".ljust(size - 1) + b"\n"
    content = archive(a=b"\x93NUMPY\x01\x00" + size.to_bytes(2, "little") + header + bytes(8))
    if size > 4096:
        with pytest.raises(vaedge.BundleError, match="not an archive of arrays"):
            read_npz(content)
    else:
        assert read_npz(content)["a"].shape == (2,)


def test_names_end_without_npy():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("tolerance.mean.npy", npy())
        file.writestr("other", npy())
    assert read_npz(content.getvalue()).keys() == {"tolerance.mean", "other"}


@pytest.mark.parametrize(
    "name",
    [
        "array of objects",
        "header with code",
        "negative size",
        "Fortran order",
        "encrypted archive",
        "truncated archive",
    ],
)
def test_hostile_archive_is_refused(name):
    with pytest.raises(vaedge.BundleError):
        read_npz(ARCHIVES[name])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_arrays_with_the_same_name_are_refused():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("mean.npy", npy())
        file.writestr("mean.npy", npy())
    with pytest.raises(vaedge.BundleError, match="two arrays of the archive have the same name"):
        read_npz(content.getvalue())
