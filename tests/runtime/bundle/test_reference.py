"""The stored tolerance of an output is refused if it does not broadcast to one example of the output."""

from types import SimpleNamespace

import numpy as np
import pytest

import vaedge
from vaedge.bundle import reference
from vaedge.bundle.reference import read_reference


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Return a function that takes the shape of a tolerance, stores such a tolerance of `decoded`, and reads it.

    The shape of `decoded` is (8, 2, 3, 4), and the first axis is the batch.
    """
    names = ("x", "z", "mean", "log_var", "decoded")
    arrays = {name: np.ones((8, 2, 3, 4), np.float32) for name in names}
    arrays |= {f"tolerance.{name}": np.ones(1, np.float32) for name in ("mean", "log_var")}
    variants = {"fp32": SimpleNamespace(reference="reference.npz")}
    manifest = SimpleNamespace(variants=variants, conditions={}, parameters=(), format_version=2)
    bundle = SimpleNamespace(manifest=manifest, variant="fp32", path=tmp_path, read=lambda _: b"")

    def read_with(shape):
        found = arrays | {"tolerance.decoded": np.ones(shape, np.float32)}
        monkeypatch.setattr(reference, "read_npz", lambda _: found)
        return read_reference(bundle)

    return read_with


@pytest.mark.parametrize("shape", [(), (1,), (4,), (3, 1), (2, 3, 4), (2, 1, 1), (1, 1, 4)])
def test_tolerance_that_broadcasts_is_accepted(read, shape):
    assert read(shape)["tolerance.decoded"].shape == shape


@pytest.mark.parametrize("shape", [(2,), (3,), (8,), (4, 3), (3, 3, 4), (2, 3, 8), (1, 2, 3, 4), (8, 2, 3, 4)])
def test_tolerance_that_does_not_broadcast_is_refused(read, shape):
    with pytest.raises(vaedge.BundleError, match="must hold positive float32 numbers that broadcast to 'decoded'"):
        read(shape)
