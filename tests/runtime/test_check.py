"""`vaedge.check` tells a device that reproduces the reference from one that does not."""

import hashlib

import numpy as np
import pytest

import vaedge


@pytest.fixture
def edit_reference(copied, edit_manifest):
    """Change the copy's reference arrays, and the manifest with them."""

    def edit(**changes):
        path = copied / "reference.npz"
        with np.load(path) as archive:
            arrays = {**archive, **changes}
        np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
        content = path.read_bytes()
        entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        return edit_manifest(lambda tree: tree["files"].update({"reference.npz": entry}))

    return edit


def test_the_shipped_bundle_passes(bundle):
    report = vaedge.check(bundle)
    assert report.passed
    assert report.device == "cpu"
    assert set(report.differences) == {"mean", "log_var", "decoded", "logits"}


def test_another_mean_fails(edit_reference, bundle):
    with np.load(bundle / "reference.npz") as archive:
        mean = archive["mean"] + np.float32(1e-3)
    report = vaedge.check(edit_reference(mean=mean))
    assert not report.passed
    assert report.differences["mean"] == pytest.approx(1e-3, rel=0.01)
    assert report.differences["logits"] < 1e-4


def test_nan_fails(edit_reference, bundle):
    with np.load(bundle / "reference.npz") as archive:
        mean = np.full_like(archive["mean"], np.nan)
    assert not vaedge.check(edit_reference(mean=mean)).passed


def test_a_shape_that_differs_fails(edit_reference):
    assert not vaedge.check(edit_reference(mean=np.zeros((1, 20), np.float32))).passed


def test_a_reference_without_an_array(edit_reference):
    with pytest.raises(vaedge.BundleError, match="no array 'log_var'"):
        vaedge.check(edit_reference(log_var=None))


def test_a_reference_that_is_no_archive(copied, edit_manifest):
    (copied / "reference.npz").write_bytes(b"nothing")
    entry = {"sha256": hashlib.sha256(b"nothing").hexdigest(), "bytes": 7}
    with pytest.raises(vaedge.BundleError, match=r"reference.npz is refused: it is not an archive"):
        vaedge.check(edit_manifest(lambda tree: tree["files"].update({"reference.npz": entry})))
