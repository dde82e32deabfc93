"""Reference outputs in bundles, and the tolerances for their comparison."""

import io

import numpy as np
import pytest

import vaedge
from vaedge.bundle.reader import read_bundle
from vaedge.bundle.reference import read_reference
from vaedge_export import reference
from vaedge_export.reference import _reduce, _tolerance, fp32_reference


@pytest.fixture(scope="module")
def stored(bundle):
    return read_reference(read_bundle(bundle))


def test_reference_holds_eight_examples_in_a_fixed_order(stored):
    names = ["x", "mean", "log_var", "z", "decoded", "logits"]
    outputs = ["mean", "log_var", "decoded", "logits"]
    assert list(stored) == [*names, *(f"tolerance.{name}" for name in outputs)]
    assert all(len(stored[name]) == reference.REFERENCE_EXAMPLES == 8 for name in names)


def test_outputs_of_the_reference_are_those_of_torch(stored, vae, make_spec):
    encoder, decoder = make_spec(vae.encoder, vae.decoder).networks
    expected = {**encoder.compute({"x": stored["x"].copy()}), **decoder.compute({"z": stored["z"].copy()})}
    expected["decoded"] = expected.pop("x")
    for name, array in expected.items():
        np.testing.assert_array_equal(stored[name], array)


def test_tolerance_is_a_fraction_of_the_standard_deviation(stored):
    for name in ("mean", "decoded"):
        assert stored[f"tolerance.{name}"].ravel() == pytest.approx(1e-4 * stored[name].std(), rel=1e-4)


def test_tolerance_is_at_least_a_multiple_of_noise_and_rounding(bundle, stored):
    arrays = {name: array for name, array in stored.items() if not name.startswith("tolerance.")}
    arrays["mean"] = arrays["mean"] + np.float32(0.25)
    with np.load(io.BytesIO(fp32_reference(arrays, vaedge.load(bundle)))) as changed:
        assert float(changed["tolerance.mean"].max()) == pytest.approx(16 * 0.25, rel=1e-3)


def test_largest_of_the_four_limits_counts():
    expected, found = np.array([[1.0, -8.0]], np.float32), np.array([[1.5, -8.0]], np.float32)
    wanted = np.zeros(1, np.float32)
    assert _tolerance(expected, found, wanted) == 16 * 0.5
    eps = np.finfo(np.float32).eps
    assert _tolerance(expected, expected, wanted) == 8 * eps * 8
    assert _tolerance(expected, expected, np.float32([7])) == 7
    zero = np.zeros((1, 2), np.float32)
    assert _tolerance(zero, zero, wanted) == np.finfo(np.float32).tiny


def test_columns_have_their_own_unit_but_latents_and_pixels_of_a_channel_share_one():
    array = np.random.default_rng(0).random((5, 3, 2, 2), np.float32)
    np.testing.assert_allclose(_reduce(np.std, array, "mean"), np.full((1, 1, 1), array.std()), rtol=1e-6)
    by_channel = array.std((0, 2, 3)).reshape(3, 1, 1)
    np.testing.assert_allclose(_reduce(np.std, array, "decoded"), by_channel, rtol=1e-6)
    table = array[:, :, 0, 0]
    np.testing.assert_allclose(_reduce(np.ptp, table, "loc"), np.ptp(table, axis=0), rtol=1e-6)
