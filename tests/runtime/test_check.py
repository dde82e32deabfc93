"""`vaedge.check` passes if and only if the device reproduces the reference outputs."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import vaedge
from vaedge.cli.main import main

FORMAT_1 = Path(__file__).parents[1] / "data" / "format-1"
OUTPUTS = {"mean", "log_var", "decoded", "logits"}


@pytest.fixture
def edit_reference(copied, edit_manifest):
    """Return a function that changes arrays of a bundle's reference file, and updates the manifest.

    An array that is given as None is removed. The function returns the folder of the bundle.
    """

    def edit(name="reference.npz", **changes):
        path = copied / name
        with np.load(path) as archive:
            arrays = {**archive, **changes}
        np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
        content = path.read_bytes()
        entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        return edit_manifest(lambda tree: tree["files"].update({name: entry}))

    return edit


def stored(bundle, array, name="reference.npz"):
    with np.load(bundle / name) as archive:
        return archive[array]


def test_shipped_bundle_passes_in_every_variant(bundle):
    report = vaedge.check(bundle)
    assert report
    assert report.passed
    assert report.device == "cpu"
    assert report.differences.keys() == {"fp32", "int8"}
    assert all(row.keys() == OUTPUTS for row in report.differences.values())
    assert report.unchecked == ()


def test_variant_runs_only_that_variant(bundle):
    assert vaedge.check(bundle, variant="int8").differences.keys() == {"int8"}
    with pytest.raises(vaedge.InputError, match="no variant 'int3'"):
        vaedge.check(bundle, variant="int3")


@pytest.mark.parametrize(("name", "variant"), [("reference.npz", "fp32"), ("reference.int8.npz", "int8")])
def test_difference_is_reported_as_a_multiple_of_the_tolerance(edit_reference, bundle, name, variant):
    tolerance = stored(bundle, "tolerance.mean", name)
    mean = stored(bundle, "mean", name) + 3 * tolerance
    report = vaedge.check(edit_reference(name, mean=mean))
    assert not report.passed
    assert report.differences[variant]["mean"] == pytest.approx(3, rel=0.05)
    assert report.differences[variant]["logits"] < 1


def test_difference_in_one_small_feature_fails(edit_reference, bundle):
    """Each element of an output has its own tolerance. A larger tolerance of another element does not matter."""
    mean = stored(bundle, "mean").copy()
    tolerance = np.full(20, 1e-3, np.float32)
    tolerance[7] = 1e-6
    mean[:, 7] += 1e-4
    assert not vaedge.check(edit_reference(mean=mean, **{"tolerance.mean": tolerance})).passed


def test_nan_fails(edit_reference, bundle):
    assert not vaedge.check(edit_reference(mean=np.full_like(stored(bundle, "mean"), np.nan))).passed


def test_other_shape_fails(edit_reference):
    arrays = {"mean": np.zeros((1, 20), np.float32), "tolerance.mean": np.ones(1, np.float32)}
    assert not vaedge.check(edit_reference(**arrays)).passed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"log_var": None}, "no array 'log_var'"),
        ({"tolerance.log_var": None}, r"no array 'tolerance\.log_var'"),
        ({"tolerance.mean": np.zeros(20, np.float32)}, "must hold positive float32"),
        ({"tolerance.mean": np.full(20, np.nan, np.float32)}, "must hold positive float32"),
        ({"tolerance.mean": np.full(20, np.inf, np.float32)}, "must hold positive float32"),
        ({"tolerance.mean": np.ones(3, np.float32)}, "broadcast to 'mean' of one example"),
        ({"tolerance.mean": np.ones((8, 20), np.float32)}, "broadcast to 'mean' of one example"),
        ({"tolerance.mean": np.ones(20, np.int64)}, "must hold positive float32"),
    ],
)
def test_invalid_reference_is_refused(edit_reference, changes, message):
    with pytest.raises(vaedge.BundleError, match=message):
        vaedge.check(edit_reference(**changes))


def test_reference_that_is_not_an_archive_is_refused(copied, edit_manifest):
    (copied / "reference.npz").write_bytes(b"nothing")
    entry = {"sha256": hashlib.sha256(b"nothing").hexdigest(), "bytes": 7}
    with pytest.raises(vaedge.BundleError, match=r"reference.npz is refused: the file is not an archive"):
        vaedge.check(edit_manifest(lambda tree: tree["files"].update({"reference.npz": entry})))


def test_format_1_checks_fp32_and_names_unchecked_variants(capsys):
    report = vaedge.check(FORMAT_1)
    assert report.passed
    assert report.differences.keys() == {"fp32"}
    assert report.unchecked == ("int8",)
    with pytest.raises(vaedge.BundleError, match="format 1 and has no reference for the variant 'int8'.*--upgrade"):
        vaedge.check(FORMAT_1, variant="int8")
    assert main(["check", str(FORMAT_1)]) == 0
    assert "int8  not compared" in capsys.readouterr().out


def test_command_ends_with_status_3_when_the_device_differs(edit_reference, bundle, capsys):
    changed = edit_reference(mean=stored(bundle, "mean") + np.float32(1))
    assert main(["check", str(changed)]) == 3
    assert "DOES NOT reproduce" in capsys.readouterr().out
    assert main(["check", str(changed), "--variant", "int8"]) == 0
