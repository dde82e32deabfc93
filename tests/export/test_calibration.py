"""The export of bundles with a calibration for anomaly detection."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch

import vaedge
from vaedge.cli.main import main
from vaedge.distributions.prior import Mixture
from vaedge_export import ExportError, export_run, export_vae, from_run, upgrade_bundle
from vaedge_export.upgrade import _export_command
from vaedge_train import DataError, TrainConfig, train
from vaedge_train.build import build_vae
from vaedge_train.data.examples import scale
from vaedge_train.dataset import load_dataset

SHAPE = (1, 4, 4)
RNG = np.random.default_rng(0)
NORMAL = (RNG.random((300, *SHAPE)) < RNG.random(SHAPE)).astype(np.float32)
SHAPES = {"input_shape": SHAPE, "latent_shape": (3,)}


def model(classes=0, input_shape=SHAPE, likelihood="bernoulli"):
    torch.manual_seed(0)
    condition = "label" if classes else "none"
    return build_vae(
        TrainConfig(hidden=(8,), latent=3, condition=condition, likelihood=likelihood), input_shape, classes
    ).eval()


def export(out, vae=None, calibration=NORMAL, **arguments):
    vae = model() if vae is None else vae
    return export_vae(vae.encoder, vae.decoder, out, **{**SHAPES, "calibration": calibration, **arguments})


INT8 = {"examples": NORMAL[:50], "variants": ["int8"], "allow_loss": 100}


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A bundle with an int8 variant and a calibration."""
    return export(tmp_path_factory.mktemp("calibrated") / "bundle", **INT8)


def test_each_variant_has_the_calibration_that_the_runtime_computes(calibrated):
    manifest = vaedge.load(calibrated).manifest
    for variant, name in (("fp32", "calibration.npz"), ("int8", "calibration.int8.npz")):
        assert manifest.variants[variant].calibration == name
        assert name in manifest.files
        vae = vaedge.load(calibrated, variant=variant)
        assert (calibrated / name).read_bytes() == vae.calibrate(NORMAL).to_npz()
        assert vae.detect(NORMAL, false_alarm_rate=0.1).is_anomaly.mean() < 0.3
    assert vaedge.check(calibrated).passed


def test_measured_false_alarms_are_those_of_the_evaluation_part(calibrated):
    measured = vaedge.load(calibrated).manifest.variants["fp32"].measured["detection"]
    assert [measured[part] for part in ("fit", "calibration", "evaluation", "seed")] == [60, 120, 120, 0]
    assert list(measured["false_alarms"]) == ["0.1", "0.01"]  # a rate of 0.001 needs more than 120 scores
    evaluation = NORMAL[np.random.default_rng(0).permutation(300)[-120:]]
    for rate, found in measured["false_alarms"].items():
        alarms = vaedge.load(calibrated).detect(evaluation, false_alarm_rate=float(rate)).is_anomaly
        assert found["rate"] == pytest.approx(alarms.mean())
        expected = np.sqrt(float(rate) * (1 - float(rate)) * (1 / 120 + 1 / 120))
        assert found["standard_error"] == pytest.approx(expected)


def test_decisions_of_a_variant_are_compared_with_fp32_at_batch_size_64(calibrated):
    evaluation = NORMAL[np.random.default_rng(0).permutation(300)[-120:]]
    fp32, int8 = (vaedge.load(calibrated, variant=name) for name in ("fp32", "int8"))
    # The examples in `evaluation` are the evaluation part of the calibration.
    np.testing.assert_array_equal(np.sort(fp32.detect(evaluation).score), fp32.calibration.evaluation)
    expected, found = (
        np.concatenate([vae.detect(part).is_anomaly for part in (evaluation[:64], evaluation[64:])])
        for vae in (fp32, int8)
    )
    measured = {name: entry.measured["detection"] for name, entry in fp32.manifest.variants.items()}
    assert "differs_from_fp32" not in measured["fp32"]
    assert measured["int8"]["differs_from_fp32"] == pytest.approx((found != expected).mean())
    assert measured["int8"]["differs_at"] == 0.01


def test_same_inputs_give_the_same_bytes(calibrated, tmp_path):
    again = export(tmp_path / "bundle", **INT8)
    names = ("calibration.npz", "calibration.int8.npz", "detection.png")
    for name in names:
        assert (again / name).read_bytes() == (calibrated / name).read_bytes(), name
    one, other = export(tmp_path / "one" / "b"), export(tmp_path / "other" / "b")
    assert {path.name: path.read_bytes() for path in one.iterdir()} == {
        path.name: path.read_bytes() for path in other.iterdir()
    }


def test_card_has_a_section_beside_the_table_of_variants(calibrated, tmp_path):
    card = (calibrated / "README.md").read_text()
    assert "## Variants" in card
    assert "## Anomaly detection" in card
    assert "![scores of normal examples](detection.png)" in card
    card = (export(tmp_path / "bundle") / "README.md").read_text()
    assert "## Variants" not in card  # a bundle of fp32 alone has only measurements of detection
    assert "## Anomaly detection" in card


def test_conditional_model_is_calibrated_with_its_conditions(tmp_path):
    conditions = {"y": vaedge.Condition("int64", (), ("a", "b"))}
    y = np.arange(300) % 2
    bundle = export(tmp_path / "b", model(2), {"x": NORMAL, "y": y}, conditions=conditions)
    vae = vaedge.load(bundle)
    assert (bundle / "calibration.npz").read_bytes() == vae.calibrate(NORMAL, y=y).to_npz()
    assert (vae.detect(NORMAL, y=y).score != vae.detect(NORMAL, y=1 - y).score).any()
    assert 'vae.detect(x, false_alarm_rate=0.01, conditions={"y": 0})' in (bundle / "README.md").read_text()
    with pytest.raises(ExportError, match="calibration has the arrays x; expected x, y"):
        export(tmp_path / "c", model(2), NORMAL, conditions=conditions)
    with pytest.raises(vaedge.InputError, match="y of calibration is"):
        export(tmp_path / "c", model(2), {"x": NORMAL, "y": y + 1}, conditions=conditions)


def test_standardized_table_is_calibrated_in_the_units_of_the_data(tmp_path):
    mean, std = np.float32([100, -3, 0, 5e4]), np.float32([10, 0.1, 1, 1e3])
    x = (np.random.default_rng(1).standard_normal((300, 4)) * std + mean).astype(np.float32)
    bundle = export(
        tmp_path / "b",
        model(0, (4,), "gaussian"),
        x,
        input_shape=(4,),
        likelihood="gaussian",
        input_mean=mean,
        input_std=std,
    )
    vae = vaedge.load(bundle)
    assert (bundle / "calibration.npz").read_bytes() == vae.calibrate(x).to_npz()
    assert vae.detect(x[:1] + 20 * std).is_anomaly.all()
    assert (bundle / "detection.png").is_file()


def test_small_calibration_measures_the_smallest_rate_that_it_allows(tmp_path):
    bundle = export(tmp_path / "b", calibration=NORMAL[:20], **INT8)
    vae = vaedge.load(bundle)
    measured = vae.manifest.variants["int8"].measured["detection"]
    assert list(measured["false_alarms"]) == ["0.111"]
    assert (measured["fit"], measured["calibration"], measured["evaluation"]) == (4, 8, 8)
    card = (bundle / "README.md").read_text()
    assert "This calibration allows false-alarm rates of at least 1/9." in card
    assert "vae.detect(x, false_alarm_rate=0.2)" in card
    vae.detect(NORMAL, false_alarm_rate=0.2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (NORMAL[:19], "calibration has 19 normal examples; expected at least 20"),
        (NORMAL[:, 0], r"calibration has shape \(300, 4, 4\); expected \(n, 1, 4, 4\)"),
        (NORMAL / 2, "the argument calibration cannot be scored: a Bernoulli likelihood takes only the values 0 and 1"),
        (NORMAL * np.nan, "calibration holds NaN or infinity"),
        (NORMAL.astype(np.int64), "calibration is an array of int64; expected float32"),
        ({"x": NORMAL, "y": np.zeros(300)}, "calibration has the arrays x, y; expected x"),
    ],
)
def test_unsuitable_normal_examples_are_refused_before_any_work(tmp_path, capsys, given, message):
    with pytest.raises(ValueError, match=message):
        export(tmp_path / "b", calibration=given, progress=True)
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "b").exists()


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run of a conditional model on binarized gray levels, with a validation part."""
    folder = tmp_path_factory.mktemp("digits")
    rng = np.random.default_rng(0)
    np.savez(folder / "x.npz", x=rng.integers(0, 256, (400, 4, 4)).astype(np.uint8), y=np.arange(400) % 3)
    fields = {"hidden": (8,), "latent": 2, "epochs": 1, "condition": "label", "validation": 0.2}
    config = TrainConfig(dataset=folder / "x.npz", binarize="dynamic", likelihood="bernoulli", **fields)
    return train(config, folder / "run", progress=False)


def test_run_is_calibrated_on_its_test_part(digits, tmp_path):
    bundle = export_run(digits.path, tmp_path / "bundle", calibration=True)
    test = load_dataset(digits.config).test
    assert len(test) == 40
    vae = vaedge.load(bundle)
    expected = vae.calibrate(scale(test.x).numpy(), y=test.y.numpy())
    assert (bundle / "calibration.npz").read_bytes() == expected.to_npz()
    assert vae.manifest.training["export"] == "vaedge export runs/bundle --out models/bundle --calibration"
    assert not list(export_run(digits.path, tmp_path / "plain").glob("calibration*"))


@pytest.mark.parametrize("change", ["changed", "missing"])
def test_data_set_that_changed_is_refused(digits, tmp_path, monkeypatch, change):
    path = tmp_path / "other.npz"
    config = dataclasses.replace(digits.config, dataset=str(path))
    monkeypatch.setattr(from_run, "load_run", lambda folder: dataclasses.replace(digits, config=config))
    if change == "changed":
        np.savez(path, x=np.zeros((400, 4, 4), np.uint8), y=np.arange(400) % 3)
    message = "differ from the test examples in" if change == "changed" else r"other\.npz"
    with pytest.raises(DataError, match=message):
        export_run(digits.path, tmp_path / "b", calibration=True)
    assert not (tmp_path / "b").exists()


def test_command_passes_the_folders_of_the_data(digits, tmp_path, monkeypatch, capsys):
    given = []

    def load(run, *folders):
        given.append(folders)
        raise DataError("not here")

    monkeypatch.setattr(from_run, "load_test_part", load)
    words = ["export", str(digits.path), "--out", str(tmp_path / "b"), "--calibration"]
    assert main([*words, "--data-dir", "data", "--cache-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "vaedge: not here\n"
    assert given == [("data", tmp_path)]


def test_upgrade_keeps_the_calibration_and_the_prior_that_it_is_bound_to(tmp_path):
    mean = np.float32([[0, 0, 0], [1, 1, 1]])
    prior = Mixture.from_parameters(np.log(np.float32([0.5, 0.5])), mean, np.zeros_like(mean))
    folder = export(tmp_path / "bundle", prior=prior)
    # Rewrite the prior with other bytes: another release of zlib may compress the same arrays differently.
    np.savez(folder / "prior.npz", mean=prior.mean, std=prior.std, cumulative=prior.cumulative)
    complete = json.loads((folder / "manifest.json").read_text())
    update(folder, complete, "prior.npz")
    without = json.loads(json.dumps(complete))
    del without["variants"]["fp32"]["calibration"]
    (folder / "manifest.json").write_text(json.dumps(without))
    vaedge.load(folder).calibrate(NORMAL).save(folder / "calibration.npz")
    update(folder, complete, "calibration.npz")
    before = vaedge.load(folder)
    upgrade_bundle(folder)
    after = vaedge.load(folder)
    np.testing.assert_array_equal(after.detect(NORMAL).p_value, before.detect(NORMAL).p_value)
    assert after.manifest.variants == before.manifest.variants
    assert "![scores of normal examples](detection.png)" in (folder / "README.md").read_text()
    assert vaedge.check(folder).passed
    trained = dataclasses.replace(after.manifest, name="a", training={"command": "vaedge train"})
    assert _export_command(trained) == {"export": "vaedge export runs/a --out models/a --calibration"}


def update(folder, tree, name):
    """Update the entry of a changed file in the manifest, and write the manifest."""
    content = (folder / name).read_bytes()
    tree["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(tree))
