"""`upgrade_bundle` rewrites an older bundle in the newest format, without changes to the graphs."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import vaedge
from vaedge.cli.main import main
from vaedge_export import ExportError, export_vae, upgrade, upgrade_bundle
from vaedge_export.bundle_files import fixed_batch_size
from vaedge_train.model.likelihoods import Gaussian

FORMAT_1 = Path(__file__).parents[1] / "data" / "format-1"


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copytree(FORMAT_1, tmp_path / "format-1"))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_upgraded_bundle_is_format_2_with_a_reference_for_each_variant(old):
    before = contents(old)
    assert upgrade_bundle(old) == old
    after = contents(old)
    assert {name: after[name] for name in before if name.endswith(".onnx")} == {
        name: content for name, content in before.items() if name.endswith(".onnx")
    }
    tree = json.loads(after["manifest.json"])
    assert tree["format_version"] == 2
    assert {name: variant["reference"] for name, variant in tree["variants"].items()} == {
        "fp32": "reference.npz",
        "int8": "reference.int8.npz",
    }
    old_tree = json.loads(before["manifest.json"])
    for key in ("metrics", "verification", "producers", "input", "latent"):
        assert tree[key] == old_tree[key]
    report = vaedge.check(old)
    assert report.passed
    assert report.differences.keys() == {"fp32", "int8"}


def test_old_and_upgraded_bundle_give_the_same_results(old):
    before = vaedge.load(FORMAT_1)
    upgrade_bundle(old)
    after = vaedge.load(old)
    np.testing.assert_array_equal(after.sample(500, seed=3), before.sample(500, seed=3))
    x = before.sample(20, seed=0).round()
    np.testing.assert_allclose(after.log_prob(x, k=5, seed=0), before.log_prob(x, k=5, seed=0), atol=1e-5)


@pytest.fixture
def gaussian(tmp_path):
    """A bundle of format 1 whose decoder does not limit log_scale. Earlier releases exported such decoders."""

    class Decoder(nn.Module):
        def forward(self, z):
            return 0.1 * z, 4 * z

    class Encoder(nn.Module):
        def forward(self, x):
            return 0.5 * x, -1 - 0.1 * x

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Gaussian, "bounded", lambda self, *parameters: parameters)
        folder = export_vae(
            Encoder().eval(),
            Decoder().eval(),
            tmp_path / "gaussian",
            input_shape=(4,),
            latent_shape=(4,),
            likelihood="gaussian",
        )
    tree = json.loads((folder / "manifest.json").read_text())
    tree |= {"format_version": 1, "reference": tree["variants"]["fp32"].pop("reference")}
    (folder / "manifest.json").write_text(json.dumps(tree))
    return folder


def test_upgraded_gaussian_bundle_is_clipped_by_the_runtime_as_before(gaussian):
    old = vaedge.load(gaussian)
    assert old.manifest.log_scale_range == (-6, 10)
    x = np.float32([[-10, 10, 0, 1]])  # the posterior's mean is x / 2, so log_scale is about -20 and 20
    before = old.log_prob(x, k=50, seed=0)
    z = old.encode(x).mean
    log_scale = old.parameters(z)["log_scale"]
    assert log_scale.min() < -15
    assert log_scale.max() > 15
    upgrade_bundle(gaussian)
    tree = json.loads((gaussian / "manifest.json").read_text())
    assert tree["format_version"] == 2
    assert tree["likelihood"] == {"name": "gaussian", "parameters": ["loc", "log_scale"], "log_scale_range": [-6, 10]}
    np.testing.assert_array_equal(vaedge.load(gaussian).log_prob(x, k=50, seed=0), before)
    assert vaedge.check(gaussian).passed
    del tree["likelihood"]["log_scale_range"]
    (gaussian / "manifest.json").write_text(json.dumps(tree))
    assert abs(vaedge.load(gaussian).log_prob(x, k=50, seed=0) - before)[0] > 1


def test_draws_of_an_old_gaussian_bundle_have_limited_scales(gaussian):
    vae = vaedge.load(gaussian)
    z = vae.prior.sample(1000, 0)
    parameters = vae.parameters(z)
    assert parameters["log_scale"].max() > 10
    noise = np.random.default_rng((0, 2)).standard_normal(parameters["loc"].shape)
    scale = np.exp(np.clip(parameters["log_scale"].astype(np.float64), -6, 10))
    expected = (parameters["loc"] + scale * noise).astype(np.float32)
    np.testing.assert_allclose(vae.sample(1000, seed=0, draw=True), expected, rtol=1e-5)


def test_upgraded_bundle_of_another_likelihood_has_no_limits(old):
    upgrade_bundle(old)
    assert "log_scale_range" not in json.loads((old / "manifest.json").read_text())["likelihood"]


def test_upgrading_again_changes_nothing(old):
    upgrade_bundle(old)
    once = contents(old)
    upgrade_bundle(old)
    assert contents(old) == once


def test_damaged_bundle_is_refused_and_left_as_it_was(old):
    (old / "decoder.int8.onnx").write_bytes(b"damaged")
    before = contents(old)
    with pytest.raises(vaedge.BundleError, match=r"decoder\.int8\.onnx"):
        upgrade_bundle(old)
    assert contents(old) == before


@pytest.mark.parametrize("step", ["copytree", "check"])
def test_failed_upgrade_leaves_the_bundle_and_nothing_else(old, monkeypatch, step):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    before = contents(old)
    monkeypatch.setattr(upgrade.shutil if step == "copytree" else upgrade.vaedge, step, fail)
    with pytest.raises(ExportError, match=r"No space left on device; the bundle is unchanged"):
        upgrade_bundle(old)
    assert contents(old) == before
    assert [path.name for path in old.parent.iterdir()] == ["format-1"]


def test_command_upgrades_in_place(old, capsys):
    assert main(["export", "--upgrade", str(old)]) == 0
    assert capsys.readouterr().out == f"{old}: upgraded to format 2 and checked\n"


def test_export_command_of_an_old_bundle_follows_from_its_manifest(old):
    manifest = vaedge.load(old).manifest
    assert upgrade._export_command(manifest) == {}
    trained = dataclasses.replace(manifest, name="a", training={"command": "vaedge train"}, metrics={"note": "N"})
    assert upgrade._export_command(trained) == {
        "export": "vaedge export runs/a --out models/a --variants int8 --note N"
    }
    known = dataclasses.replace(trained, training={"command": "vaedge train", "export": "vaedge export"})
    assert upgrade._export_command(known) == {}


def test_fixed_batch_size_is_read_from_the_names_of_the_files():
    assert fixed_batch_size(["encoder.onnx", "decoder.batch8.onnx", "encoder.batch64.onnx"]) == 64
    assert fixed_batch_size(["encoder.onnx", "encoder.int8.onnx"]) is None
