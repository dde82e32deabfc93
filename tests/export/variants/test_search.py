"""Variants: smaller, measured, and refused where they cost too much."""

import json

import numpy as np
import onnx
import pytest

import vaedge
import vaedge_export.variants.measure
from vaedge.cli.main import main
from vaedge_export import ExportError, LossError, export_run, export_vae
from vaedge_train import TrainConfig, train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    fields = {"hidden": (256,), "latent": 8, "epochs": 2, "binarize": "dynamic", "likelihood": "bernoulli"}
    return train(TrainConfig(**fields), tmp_path_factory.mktemp("runs") / "run", progress=False)


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    return export_run(run.path, tmp_path_factory.mktemp("models") / "small", variants=["fp32", "int8", "fp16"])


@pytest.fixture(scope="module")
def manifest(bundle):
    return vaedge.load(bundle).manifest


def test_every_variant_is_measured_and_loads(run, bundle, manifest):
    fp32 = vaedge.load(bundle)
    x = run.examples["x"]
    assert list(manifest.variants) == ["fp32", "int8", "fp16"]
    for name, variant in manifest.variants.items():
        vae = vaedge.load(bundle, variant=name)
        assert vae.variant == name
        change = vae.log_prob(x, k=16, seed=0) - fp32.log_prob(x, k=16, seed=0)
        # The bundle's own figure, up to the batches that dynamic scales are taken from.
        assert variant.measured["bound_change"] == pytest.approx(change.mean(), abs=0.01)
        assert variant.measured["items"] == len(x) == 500
        assert variant.measured["bytes"] == sum(
            (bundle / file).stat().st_size for file in (variant.encoder, variant.decoder)
        )
        assert set(variant.measured["microseconds"]) == {"1", "64"}
        np.testing.assert_allclose(vae.reconstruct(x), fp32.reconstruct(x), atol=0.25)


def test_int8_is_a_quarter_of_the_size_and_within_the_budget(manifest):
    fp32, int8, fp16 = (manifest.variants[name].measured for name in ("fp32", "int8", "fp16"))
    assert fp32["bytes"] / int8["bytes"] > 3.4
    assert fp32["bytes"] / fp16["bytes"] > 1.9
    assert int8["elbo_change"] > -0.3
    assert abs(fp16["elbo_change"]) < 0.01
    assert fp32["psnr"] is None
    assert 20 < int8["psnr"] < fp16["psnr"]
    assert fp32["elbo_change"] == 0


def test_int8_multiplies_in_int8(bundle):
    operators = {node.op_type for node in onnx.load(bundle / "decoder.int8.onnx").graph.node}
    assert "MatMulInteger" in operators
    assert operators.isdisjoint({"MatMul", "Gemm"})


def test_a_graph_found_alone_says_what_it_is(bundle, manifest):
    for variant in manifest.variants:
        infix = "" if variant == "fp32" else f".{variant}"
        said = {entry.key: entry.value for entry in onnx.load(bundle / f"decoder{infix}.onnx").metadata_props}
        assert said["graph"] == "decoder"
        assert json.loads(said["likelihood"]) == {"name": "bernoulli", "parameters": ["logits"]}
        assert json.loads(said["input"])["shape"] == [1, 28, 28]
        assert said.get("variant", "fp32") == variant


def test_the_card_has_a_row_for_each(bundle):
    card = (bundle / "README.md").read_text()
    for name in ("fp32", "int8", "fp16"):
        assert f"| {name} | " in card
    assert "Measured on 500 examples (of a run: its test items) with the same noise" in card
    assert "![latent traverse](traverse.png)" in card


def test_graphs_are_the_same_bytes_the_second_time(run, bundle, tmp_path):
    again = export_run(run.path, tmp_path / "small", variants=["int8", "fp16"])
    for path in bundle.glob("*.onnx"):
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_a_variant_over_its_budget_is_refused_with_its_figure(run, tmp_path, capsys):
    words = ["export", str(run.path), "--out", str(tmp_path / "b"), "--variants", "fp32,int4"]
    assert main([*words, "--allow-loss", "0.0001"]) == 1
    said = capsys.readouterr().err
    assert "variant int4 costs" in said
    assert "0.000 are allowed: leave it out, or raise the budget (allow_loss, --allow-loss) to" in said
    assert not (tmp_path / "b").exists()
    assert main([*words, "--allow-loss", "1000"]) == 0
    assert vaedge.load(tmp_path / "b", variant="int4").sample(2).shape == (2, 1, 28, 28)


def test_layers_stay_in_float32_when_the_budget_asks_for_it(run, tmp_path):
    """4 bits cost this small model enough that no noise hides it."""

    def exported(name, allow_loss):
        path = export_run(run.path, tmp_path / name, variants=["int4"], allow_loss=allow_loss)
        return vaedge.load(path).manifest.variants["int4"].measured

    whole = exported("a", 1000)
    figures = exported("b", -0.7 * whole["elbo_change"])
    assert 0 < len(figures["kept"]) < 4
    assert whole["kept"] == []
    assert -figures["elbo_change"] <= -0.7 * whole["elbo_change"]
    assert figures["bytes"] > whole["bytes"]
    assert (
        f"int4 keeps these layers in float32, by measurement: {figures['kept'][0]}"
        in (tmp_path / "b" / "README.md").read_text()
    )


def test_convolutions_are_quantised_with_calibration(tmp_path):
    config = TrainConfig(network="conv", channels=8, latent=8, epochs=1, batch_size=256)
    run = train(config, tmp_path / "run", progress=False)
    bundle = export_run(run.path, tmp_path / "bundle", variants=["int8"], allow_loss=50.0)
    operators = {node.op_type for node in onnx.load(bundle / "encoder.int8.onnx").graph.node}
    assert "QuantizeLinear" in operators
    assert "ConvInteger" not in operators
    vae = vaedge.load(bundle, variant="int8")
    x = run.examples["x"][:20]
    assert np.abs(vae.reconstruct(x) - vaedge.load(bundle).reconstruct(x)).mean() < 0.05
    assert vae.manifest.variants["fp32"].measured["bytes"] > 2 * vae.manifest.variants["int8"].measured["bytes"]


def test_without_examples_nothing_can_be_measured(run, tmp_path):
    shapes = {"input_shape": (1, 28, 28), "latent_shape": (8,)}
    with pytest.raises(ExportError, match="variants int8 are measured before they are written: give examples"):
        export_vae(run.vae.encoder, run.vae.decoder, tmp_path / "b", **shapes, variants=["int8"])
    with pytest.raises(ExportError, match="variant is 'int2'; known are fp32, fp16, int8, int4"):
        export_vae(run.vae.encoder, run.vae.decoder, tmp_path / "b", **shapes, variants=["int2"])


def test_a_variant_that_yields_nan_costs_infinitely_much(run, tmp_path, monkeypatch):
    def broken(content, inputs, keep):
        model = onnx.load_model_from_string(content)
        for tensor in model.graph.initializer:
            weights = onnx.numpy_helper.to_array(tensor)
            if weights.dtype == np.float32:
                tensor.CopyFrom(onnx.numpy_helper.from_array(weights * np.float32(np.nan), tensor.name))
        return model

    monkeypatch.setitem(vaedge_export.variants.measure.QUANTIZERS, "fp16", broken)
    with pytest.raises(LossError, match="variant fp16 costs inf nats"):
        export_run(run.path, tmp_path / "b", variants=["fp16"])


def test_budgets_and_lists_that_are_none(run, tmp_path):
    with pytest.raises(ExportError, match="allow_loss is -1"):
        export_run(run.path, tmp_path / "b", variants=["int8"], allow_loss=-1)
    with pytest.raises(ExportError, match="variants is 'int8'; expected a list"):
        export_run(run.path, tmp_path / "b", variants="int8")
    shapes = {"input_shape": (1, 28, 28), "latent_shape": (8,), "examples": run.examples["x"] * 0.5}
    with pytest.raises(ExportError, match="variants cannot be measured on these examples: a Bernoulli"):
        export_vae(run.vae.encoder, run.vae.decoder, tmp_path / "b", **shapes, variants=["int8"])
