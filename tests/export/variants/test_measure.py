"""Measurements of variants: loss, quality, size and time, in the manifest and on the card."""

import json

import numpy as np
import onnx
import pytest

import vaedge
import vaedge_export.variants.measure as measure
from vaedge_export.graphs import Graphs
from vaedge_export.variants.measure import Comparison, default_budget, psnr


@pytest.fixture(scope="module")
def manifest(small):
    return vaedge.load(small).manifest


def test_every_variant_loads_and_its_measurements_can_be_repeated(run, small, manifest):
    fp32 = vaedge.load(small)
    x = run.examples["x"]
    assert list(manifest.variants) == ["fp32", "int8", "fp16"]
    expected = fp32.bounds(x, k=16, seed=0)
    for name, variant in manifest.variants.items():
        vae = vaedge.load(small, variant=name)
        assert vae.variant == name
        found = vae.bounds(x, k=16, seed=0)
        change = found.elbo - expected.elbo
        # The scales of dynamic quantization depend on the batch, so the results differ a little.
        assert variant.measured["elbo_change"] == pytest.approx(change.mean(), abs=0.01)
        assert variant.measured["elbo_change_standard_error"] == pytest.approx(change.std() / np.sqrt(500), abs=0.01)
        bound_change = (found.importance_weighted - expected.importance_weighted).mean()
        assert variant.measured["bound_change"] == pytest.approx(bound_change, abs=0.01)
        assert (variant.measured["items"], variant.measured["k"]) == (len(x), 16) == (500, 16)
        files = (variant.encoder, variant.decoder)
        assert variant.measured["bytes"] == sum((small / file).stat().st_size for file in files)
        assert set(variant.measured["microseconds"]) == {"1", "64"}
        assert 0 < variant.measured["microseconds"]["1"] < variant.measured["microseconds"]["64"]
        assert variant.measured["threads"] == vae.threads
        np.testing.assert_allclose(vae.reconstruct(x), fp32.reconstruct(x), atol=0.25)
    assert vaedge.check(small).passed


def test_int8_is_a_quarter_of_the_size_and_within_the_budget(manifest):
    fp32, int8, fp16 = (manifest.variants[name].measured for name in ("fp32", "int8", "fp16"))
    assert fp32["bytes"] / int8["bytes"] > 3.4
    assert fp32["bytes"] / fp16["bytes"] > 1.9
    assert int8["elbo_change"] > -0.3
    assert abs(fp16["elbo_change"]) < 0.01
    assert fp32["psnr"] is None
    assert 20 < int8["psnr"] < fp16["psnr"]
    assert fp32["elbo_change"] == fp32["elbo_change_standard_error"] == fp32["bound_change"] == 0


def test_keys_of_the_manifest_are_these(manifest):
    keys = ["bytes", "elbo_change", "elbo_change_standard_error", "bound_change", "psnr", "microseconds", "kept"]
    keys += ["items", "k", "processor", "int8_kernels", "threads"]
    assert list(manifest.variants["int8"].measured) == keys


def test_stray_graph_can_be_identified_by_its_metadata(small, manifest):
    for variant in manifest.variants:
        infix = "" if variant == "fp32" else f".{variant}"
        metadata = {entry.key: entry.value for entry in onnx.load(small / f"decoder{infix}.onnx").metadata_props}
        assert metadata["graph"] == "decoder"
        assert json.loads(metadata["likelihood"]) == {"name": "bernoulli", "parameters": ["logits"]}
        assert json.loads(metadata["input"])["shape"] == [1, 28, 28]
        assert metadata.get("variant", "fp32") == variant


def test_card_has_a_row_for_each_variant(small):
    card = (small / "README.md").read_text()
    for name in ("fp32", "int8", "fp16"):
        assert f"| {name} | " in card
    assert "All variants are measured on the same 500 examples with the same noise and k = 16 draws" in card
    assert "![latent traverse](traverse.png)" in card


def test_at_most_a_thousand_examples_are_used(fp32, open_vae, hundred, monkeypatch):
    assert measure._MAX_EXAMPLES == 1000
    monkeypatch.setattr(measure, "_MAX_EXAMPLES", 99)
    assert len(Comparison(fp32, open_vae, hundred).examples.x) == 99
    monkeypatch.setattr(measure, "_MAX_EXAMPLES", 101)
    assert len(Comparison(fp32, open_vae, hundred).examples.x) == 100


def test_loss_of_the_same_graphs_is_0_and_of_nan_is_infinite(comparison, fp32):
    assert comparison.loss("int8", fp32) == 0
    model = onnx.load_model_from_string(fp32.encoder)
    for weights in model.graph.initializer:
        array = onnx.numpy_helper.to_array(weights)
        if array.dtype == np.float32:
            weights.CopyFrom(onnx.numpy_helper.from_array(array * np.float32(np.nan), weights.name))
    assert comparison.loss("int8", Graphs(model.SerializeToString(), fp32.decoder)) == float("inf")


def test_loss_is_positive_if_the_elbo_falls(comparison, fp32):
    model = onnx.load_model_from_string(fp32.decoder)
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.dims == [784])
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32(1), bias.name))
    assert comparison.loss("int8", Graphs(fp32.encoder, model.SerializeToString())) > 1


@pytest.mark.parametrize(("elbo", "budget"), [(-100, 0.3), (-300, 0.3), (-301, 0.301), (1000, 1), (-1000, 1)])
def test_default_budget_is_the_larger_of_a_constant_and_a_thousandth_of_the_elbo(elbo, budget):
    assert default_budget(elbo) == pytest.approx(budget, rel=1e-9)


def test_psnr_is_relative_to_the_range_of_the_data():
    assert psnr(0.01, 1) == pytest.approx(20)
    assert psnr(0.01, 2) == pytest.approx(26.0206, abs=1e-4)
    assert psnr(0, 1) is None
