"""`VAE.detect` and `VAE.calibrate` with shipped bundles."""

import hashlib
import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

import vaedge
from vaedge.detection import Calibration, Detection


@pytest.fixture(scope="module")
def mnist(bundle):
    return bundle.parent / "mnist"


@pytest.fixture(scope="module")
def normal(mnist):
    """600 binary images that are drawn from models/mnist."""
    return vaedge.load(mnist).sample(600, seed=0, draw=True)


@pytest.fixture(scope="module")
def file(mnist, normal, tmp_path_factory):
    path = tmp_path_factory.mktemp("calibration") / "calibration.npz"
    vaedge.load(mnist).calibrate(normal[:500]).save(path)
    return path


@pytest.fixture(scope="module")
def calibrated(mnist, file):
    return vaedge.load(mnist, calibration=file)


@pytest.fixture
def with_calibration(mnist, tmp_path):
    """Return a function that copies models/mnist, and gives fp32 a calibration file with the given content."""

    def write(content):
        folder = shutil.copytree(mnist, tmp_path / "bundle")
        (folder / "calibration.npz").write_bytes(content)
        tree = json.loads((folder / "manifest.json").read_text())
        tree["variants"]["fp32"]["calibration"] = "calibration.npz"
        tree["files"]["calibration.npz"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        (folder / "manifest.json").write_text(json.dumps(tree))
        return folder

    return write


def test_detect_returns_scores_p_values_and_decisions(calibrated, normal):
    found = calibrated.detect(normal, false_alarm_rate=0.05)
    assert isinstance(found, Detection)
    assert found.score.dtype == np.float32
    assert found.p_value.dtype == np.float64
    assert found.is_anomaly.dtype == bool
    assert found.score.shape == found.p_value.shape == found.is_anomaly.shape == (600,)
    assert found.maps is None
    np.testing.assert_array_equal(found.is_anomaly, found.p_value <= 0.05)
    assert (np.diff(found.p_value[np.argsort(found.score)]) <= 0).all()


def test_images_that_are_not_digits_are_anomalies(calibrated, normal):
    rng = np.random.default_rng(0)
    noise = (rng.random((20, 1, 28, 28)) < 0.5).astype(np.float32)
    for anomalies in (noise, 1 - normal[:20], np.ones_like(noise)):
        assert calibrated.detect(anomalies, false_alarm_rate=0.01).is_anomaly.all()


def test_maps_sum_to_the_distortion(calibrated, normal):
    found = calibrated.detect(normal[:10], maps=True)
    logits = calibrated.parameters(calibrated.encode(normal[:10]).mean)["logits"].astype(np.float64)
    expected = np.logaddexp(0, logits) - normal[:10] * logits
    assert found.maps.shape == (10, 1, 28, 28)
    assert found.maps.dtype == np.float32
    np.testing.assert_allclose(found.maps, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 511, 513])
def test_fp32_results_have_the_same_bits_for_every_batch_size(calibrated, normal, size):
    x = np.concatenate([normal, normal])
    whole = calibrated.detect(x, maps=True)
    parts = [calibrated.detect(x[start : start + size], maps=True) for start in range(0, len(x), size)]
    for name in ("score", "p_value", "is_anomaly", "maps"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_fp32_results_have_the_same_bits_for_every_thread_count(mnist, file, calibrated, normal, threads):
    other = vaedge.load(mnist, calibration=file, threads=threads)
    np.testing.assert_array_equal(other.detect(normal).score, calibrated.detect(normal).score)


def test_calibration_is_deterministic_and_depends_on_the_seed(mnist, normal, file):
    vae = vaedge.load(mnist, threads=1)
    assert vae.calibrate(normal[:500]).to_npz() == file.read_bytes()
    assert vae.calibrate(normal[:500], seed=1).to_npz() != file.read_bytes()


def test_every_likelihood_detects(bundle, table_bundle, normal):
    """The likelihood of models/article is a surrogate, that is, not normalized.

    The other bundle has a Gaussian likelihood and a condition.
    """
    assert vaedge.load(bundle).calibrate(normal[:40]).scores.shape == (16,)
    x = np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32)
    calibration = vaedge.load(table_bundle).calibrate(x, y=np.zeros(40, np.int64))
    assert np.isfinite(calibration.scores).all()


def test_conditions_are_used(table_bundle, tmp_path):
    """The scores depend on the condition y, because the encoder and the decoder add 10 * y to their outputs."""
    x = np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32)
    y = np.arange(40) % 3
    vaedge.load(table_bundle).calibrate(x, y=y).save(tmp_path / "c.npz")
    vae = vaedge.load(table_bundle, calibration=tmp_path / "c.npz")
    found = vae.detect(x, false_alarm_rate=0.1, conditions={"y": y})
    np.testing.assert_array_equal(found.score, vae.detect(x, false_alarm_rate=0.1, y=y).score)
    assert (found.score != vae.detect(x, false_alarm_rate=0.1, y=0).score).any()
    with pytest.raises(vaedge.InputError, match="y"):
        vae.detect(x, false_alarm_rate=0.1)


def test_bundle_without_calibration_says_how_to_get_one(mnist, normal):
    vae = vaedge.load(mnist)
    assert vae.calibration is None
    with pytest.raises(vaedge.InputError, match="has no calibration.*vaedge calibrate BUNDLE NORMAL_EXAMPLES"):
        vae.detect(normal)


@pytest.mark.parametrize("n", [1, 19])
def test_too_few_normal_examples_are_refused(mnist, normal, n):
    with pytest.raises(vaedge.InputError, match=f"at least 20 normal examples .*got {n};"):
        vaedge.load(mnist).calibrate(normal[:n])


@pytest.mark.parametrize("seed", [-1, 0.5, None, "0"])
def test_invalid_seed_is_refused(mnist, normal, seed):
    with pytest.raises(vaedge.InputError, match="seed"):
        vaedge.load(mnist).calibrate(normal[:20], seed=seed)


def test_gray_levels_are_refused_for_a_bernoulli(calibrated, normal):
    with pytest.raises(vaedge.InputError, match="binarize"):
        calibrated.detect(normal * 0.5)


def test_calibration_of_another_bundle_or_variant_is_refused(mnist, bundle, file):
    for arguments in ({"path": bundle}, {"path": mnist, "variant": "int8"}):
        with pytest.raises(vaedge.BundleError, match="another bundle or to another variant") as caught:
            vaedge.load(**arguments, calibration=file)
        assert str(file) in str(caught.value)


def test_missing_or_damaged_calibration_is_refused(mnist, tmp_path):
    with pytest.raises(vaedge.BundleNotFoundError, match=r"nothing.npz is missing.*vaedge calibrate"):
        vaedge.load(mnist, calibration=tmp_path / "nothing.npz")
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(vaedge.BundleError, match=r"bad.npz is refused as a calibration: the file is not an archive"):
        vaedge.load(mnist, calibration=tmp_path / "bad.npz")


def test_result_of_calibrate_can_be_used_without_a_file(mnist, normal, file, calibrated):
    vae = vaedge.load(mnist, calibration=vaedge.load(mnist).calibrate(normal[:500]))
    np.testing.assert_array_equal(vae.detect(normal).p_value, calibrated.detect(normal).p_value)
    with pytest.raises(vaedge.BundleError, match="^the calibration belongs to another bundle or to another variant"):
        vaedge.load(mnist, variant="int8", calibration=vae.calibration)


def test_fastest_variant_with_a_calibration_is_refused(mnist, file):
    with pytest.raises(vaedge.InputError, match="belongs to one variant"):
        vaedge.load(mnist, variant="fastest", calibration=file)


def test_pickled_vae_keeps_its_calibration(calibrated, normal):
    copy = pickle.loads(pickle.dumps(calibrated))
    np.testing.assert_array_equal(copy.detect(normal[:5]).p_value, calibrated.detect(normal[:5]).p_value)


def test_batch_adds_columns(mnist, file, calibrated, normal):
    batch = vaedge.Batch(mnist, "detect", calibration=file, false_alarm_rate=0.1)
    found = pickle.loads(pickle.dumps(batch))({"x": normal[:7], "id": np.arange(7)})
    expected = calibrated.detect(normal[:7], false_alarm_rate=0.1)
    assert set(found) == {"x", "id", "score", "p_value", "is_anomaly"}
    np.testing.assert_array_equal(found["score"], expected.score)
    np.testing.assert_array_equal(found["is_anomaly"], expected.is_anomaly)


def test_bundle_with_a_calibration_is_loaded_and_checked(mnist, normal, with_calibration):
    folder = with_calibration(vaedge.load(mnist).calibrate(normal[:50]).to_npz())
    vae = vaedge.load(folder)
    assert isinstance(vae.calibration, Calibration)
    assert vae.detect(normal[:5], false_alarm_rate=0.1).p_value.shape == (5,)
    assert vaedge.check(folder).passed
    assert vaedge.load(folder, variant="int8").calibration is None
    (folder / "calibration.npz").unlink()
    with pytest.raises(vaedge.BundleNotFoundError, match=r"calibration.npz"):
        vaedge.load(folder)


def test_calibration_in_a_bundle_must_belong_to_it(bundle, normal, with_calibration):
    folder = with_calibration(vaedge.load(bundle).calibrate(normal[:50]).to_npz())
    with pytest.raises(vaedge.BundleError, match=r"calibration.npz is refused as a calibration: .*another bundle"):
        vaedge.load(folder)


def test_import_of_vaedge_does_not_import_detection():
    code = "import sys, vaedge; print('vaedge.detection' in sys.modules, 'scipy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["False", "False"]
