"""A model that standardizes its data is exported as a bundle that takes and returns x in the original units."""

import hashlib
import json
import math
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import vaedge
from vaedge_export import ExportError, LossError, export_run, export_vae
from vaedge_export.variants.measure import Comparison
from vaedge_train import TrainConfig, train
from vaedge_train.build import build_vae

MEAN = np.float32([0.02, 1e4, 3.25, -5, 1, 40])
STD = np.float32([0.006, 12791, 1, 30, 2, 0.5])
SHAPES = {"input_shape": (6,), "latent_shape": (2,), "likelihood": "gaussian"}


@pytest.fixture(scope="module")
def modules():
    """An encoder and a decoder for standardized data."""
    return build_vae(TrainConfig(hidden=(16,), latent=2, likelihood="gaussian"), (6,)).eval()


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((400, 2)) @ rng.standard_normal((2, 6))
    return ((factors + 0.3 * rng.standard_normal((400, 6))) * STD + MEAN).astype(np.float32)


@pytest.fixture(scope="module")
def run(x, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    np.save(folder / "x.npy", x)
    fields = {"hidden": (32,), "latent": 2, "epochs": 30, "learning_rate": 3e-3, "batch_size": 32}
    return train(TrainConfig(dataset=folder / "x.npy", likelihood="gaussian", **fields), folder / "run", progress=False)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """The bundle of the fixture `run`, with an int8 variant."""
    return export_run(run.path, tmp_path_factory.mktemp("bundles") / "bundle", variants=["int8"])


def graph(folder, name):
    return onnx.load(folder / f"{name}.onnx").graph


def test_run_and_bundle_agree_in_the_units_of_the_data(run, exported, x):
    vae = vaedge.load(exported)
    z = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    loc, log_scale = (parameter.detach().numpy() for parameter in run.vae.generative(torch.from_numpy(z)))
    std = run.vae.standardization.std.numpy()
    found = vae.parameters(z)
    np.testing.assert_allclose((found["loc"] - loc) / std, 0, atol=1e-5)
    np.testing.assert_allclose(found["log_scale"], log_scale, atol=1e-5)
    np.testing.assert_array_equal(vae.decode(z), found["loc"])
    mean, log_var = run.vae.inference(torch.from_numpy(x))
    np.testing.assert_allclose(vae.encode(x).mean, mean.detach(), atol=1e-5)
    np.testing.assert_allclose(vae.encode(x).log_var, log_var.detach(), atol=1e-5)
    residual = (vae.reconstruct(x) - x) / std
    assert (residual.std(0) < 0.8).all()


def test_plain_onnxruntime_takes_and_returns_the_units_of_the_data(exported, x):
    sessions = [
        onnxruntime.InferenceSession(exported / f"{name}.onnx", providers=["CPUExecutionProvider"])
        for name in ("encoder", "decoder")
    ]
    (mean,) = sessions[0].run(["mean"], {"x": x})
    decoded, log_scale = sessions[1].run(["x", "log_scale"], {"z": mean})
    assert np.abs((decoded - x) / x.std(0)).mean() < 0.5
    assert (np.exp(log_scale).mean(0) < x.std(0)).all()


def test_log_prob_is_that_of_the_standardized_model_minus_the_log_standard_deviations(run, exported, x, tmp_path):
    inner = export_vae(run.vae.encoder, run.vae.decoder, tmp_path / "inner", **SHAPES)
    units = run.vae.standardization
    standardized = units(torch.from_numpy(x)).numpy()
    raw = vaedge.load(exported).log_prob(x, k=20, seed=0)
    expected = vaedge.load(inner).log_prob(standardized, k=20, seed=0) - units.std.double().log().sum().item()
    assert np.abs(raw - expected).max() < 6 * 1e-4


def test_metrics_of_the_run_compare_with_log_prob(run, exported):
    """The ELBO of the test examples in the runtime is about that in the metrics of the run."""
    scores = vaedge.load(exported).bounds(run.examples["x"], k=50, seed=0).elbo
    assert scores.mean() == pytest.approx(run.metrics["test_elbo"], abs=1.0)


@pytest.mark.parametrize("variant", ["", ".int8"])
def test_affine_maps_are_nodes_in_float32(run, exported, variant):
    """The graphs standardize x and map the outputs back with float32 operators, which int8 does not quantize."""
    encoder, decoder = graph(exported, f"encoder{variant}"), graph(exported, f"decoder{variant}")
    units = run.vae.standardization
    constants = [
        {tensor.name: numpy_helper.to_array(tensor) for tensor in part.initializer} for part in (encoder, decoder)
    ]

    def users(part, values, expected):
        names = [name for name, value in values.items() if np.array_equal(value, expected)]
        return {node.op_type for node in part.node if set(names) & set(node.input)}

    assert encoder.node[0].op_type == "Sub"
    assert encoder.node[0].input[0] == "x"
    assert users(encoder, constants[0], units.mean) == {"Sub"}
    assert users(encoder, constants[0], units.std) == {"Div"}
    assert users(decoder, constants[1], units.mean) == {"Add"}
    assert users(decoder, constants[1], units.std) == {"Mul"}
    assert "Clip" in {node.op_type for node in decoder.node}
    assert any(node.op_type == ("MatMulInteger" if variant else "Gemm") for node in encoder.node)


def test_int8_of_a_standardized_model_is_measured_and_limited(run, exported, tmp_path, monkeypatch):
    manifest = vaedge.load(exported).manifest
    measured = manifest.variants["int8"].measured
    assert -0.3 <= measured["elbo_change"] < 1
    assert measured["elbo_change"] != 0
    assert vaedge.check(exported).passed
    monkeypatch.setattr(Comparison, "loss", lambda *_: 0.31)
    with pytest.raises(LossError, match="variant int8 loses 0.310 nats per example, but the budget is 0.300"):
        export_run(run.path, tmp_path / "strict", variants=["int8"])


def rehash(folder, name):
    content = (folder / name).read_bytes()
    tree = json.loads((folder / "manifest.json").read_text())
    tree["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(tree))


@pytest.mark.parametrize("column", range(6))
def test_check_finds_a_column_that_is_off_by_a_hundredth_of_its_standard_deviation(run, exported, tmp_path, column):
    folder = shutil.copytree(exported, tmp_path / "bundle")
    model = onnx.load(folder / "decoder.onnx")
    mean = run.vae.standardization.mean.numpy()
    (tensor,) = [t for t in model.graph.initializer if np.array_equal(numpy_helper.to_array(t), mean)]
    wrong = mean.copy()
    wrong[column] += 0.01 * run.vae.standardization.std[column].item()
    tensor.CopyFrom(numpy_helper.from_array(wrong, tensor.name))
    onnx.save(model, folder / "decoder.onnx")
    rehash(folder, "decoder.onnx")
    assert not vaedge.check(folder).passed


def test_export_vae_standardizes_x_for_modules_of_any_origin(modules, x, tmp_path):
    bundle = export_vae(
        modules.encoder, modules.decoder, tmp_path / "b", **SHAPES, input_mean=MEAN, input_std=STD, examples=x
    )
    inner = export_vae(modules.encoder, modules.decoder, tmp_path / "inner", **SHAPES)
    vae, plain = vaedge.load(bundle), vaedge.load(inner)
    np.testing.assert_allclose(vae.encode(x).mean, plain.encode((x - MEAN) / STD).mean, atol=1e-6)
    z = np.random.default_rng(0).standard_normal((9, 2)).astype(np.float32)
    np.testing.assert_allclose((vae.decode(z) - MEAN) / STD, plain.decode(z), atol=1e-5)
    expected = plain.parameters(z)["log_scale"] + np.log(STD)
    np.testing.assert_allclose(vae.parameters(z)["log_scale"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "mean", "std"),
    [
        ({"input_mean": MEAN}, MEAN, 1),
        ({"input_std": STD}, 0, STD),
        ({"input_mean": 3, "input_std": 0.5}, 3, 0.5),
        ({"input_mean": MEAN.tolist(), "input_std": [2]}, MEAN, 2),
    ],
)
def test_mean_and_standard_deviation_broadcast_and_have_defaults(make_spec, modules, given, mean, std):
    spec = make_spec(modules.encoder, modules.decoder, **SHAPES, **given)
    np.testing.assert_array_equal(spec.standardization.mean.expand(6), np.broadcast_to(np.float32(mean), 6))
    np.testing.assert_array_equal(spec.standardization.std.expand(6), np.broadcast_to(np.float32(std), 6))


def test_models_without_mean_and_standard_deviation_keep_their_units(make_spec, modules):
    spec = make_spec(modules.encoder, modules.decoder, **SHAPES)
    assert spec.standardization is None
    assert spec.networks[0].module is modules.encoder


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input_std": [1, 1, 0, 1, 1, 1]}, "the minimum of input_std is 0; expected at least"),
        ({"input_std": -1}, "the minimum of input_std is -1; expected at least"),
        ({"input_std": 1e-40}, "the minimum of input_std is .*e-41; expected at least 1.2e-38"),
        ({"input_std": np.nan}, "input_std has NaN or infinity"),
        ({"input_std": np.inf}, "input_std has NaN or infinity"),
        ({"input_std": 1e39}, "input_std has NaN or infinity"),
        ({"input_mean": [0, 0, 0, np.nan, 0, 0]}, "input_mean has NaN or infinity"),
        ({"input_mean": np.inf}, "input_mean has NaN or infinity"),
        (
            {"input_mean": np.zeros(5)},
            r"input_mean has shape \(5,\); expected a shape that broadcasts to \(6,\)",
        ),
        ({"input_std": np.ones((6, 1))}, r"input_std has shape \(6, 1\); expected a shape that broadcasts"),
        ({"input_std": np.ones((2, 6))}, r"input_std has shape \(2, 6\); expected a shape that broadcasts"),
        ({"input_mean": "a"}, "input_mean is not an array of numbers"),
        ({"input_mean": [[0], [1, 2]]}, "input_mean is not an array of numbers"),
    ],
)
def test_wrong_mean_or_standard_deviation_is_refused(modules, tmp_path, given, message):
    with pytest.raises(ExportError, match=message):
        export_vae(modules.encoder, modules.decoder, tmp_path / "b", **SHAPES, **given)


def test_standard_deviations_need_a_likelihood_without_a_range(vae, shapes, tmp_path):
    with pytest.raises(ExportError, match="need likelihood 'gaussian'.*bernoulli takes values from 0 to 1"):
        export_vae(vae.encoder, vae.decoder, tmp_path / "b", **shapes, input_std=2)


@pytest.mark.parametrize(("likelihood", "limits"), [("gaussian", (-6, 10)), ("discretized_logistic", (-8, 0))])
def test_graph_limits_log_scale(tmp_path, likelihood, limits):
    class Decoder(nn.Module):
        def forward(self, z):
            return 0.1 * z, (50 * z).clamp(max=20 * limits[1])  # for a larger scale, the mean is inaccurate

    modules = build_vae(TrainConfig(hidden=(4,), latent=3, likelihood=likelihood), (3,)).eval()
    shapes = {"input_shape": (3,), "latent_shape": (3,), "likelihood": likelihood}
    vae = vaedge.load(export_vae(modules.encoder, Decoder().eval(), tmp_path / "b", **shapes))
    log_scale = vae.parameters(np.float32([[-3, 0, 3]]))["log_scale"]
    np.testing.assert_allclose(log_scale, [[limits[0], 0, limits[1]]])
    assert vae.manifest.log_scale_range is None


def test_runtime_does_not_clip_the_log_scale_of_a_new_bundle(modules, tmp_path):
    """If the data has small values, the scale of p(x|z) is small, too, and log_scale may be below -6."""
    std = np.full(6, 1e-6, np.float32)
    decoder = type(
        "Decoder",
        (nn.Module,),
        {"forward": lambda self, z: (torch.cat([z, z, z], 1) / 1000, 0 * torch.cat([z, z, z], 1) - 5)},
    )()
    vae = vaedge.load(export_vae(modules.encoder, decoder.eval(), tmp_path / "b", **SHAPES, input_std=std))
    log_scale = vae.parameters(np.zeros((1, 2), np.float32))["log_scale"]
    np.testing.assert_allclose(log_scale, -5 + math.log(1e-6), rtol=1e-6)
    assert vae.log_prob(np.zeros((1, 6), np.float32), k=500, seed=0)[0] > 6 * 6


def test_images_are_standardized_per_channel(tmp_path):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((60, 2, 8, 8)) * np.array([50, 0.1])[:, None, None] + 7).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    fields = {"network": "conv", "channels": 4, "latent": 2, "epochs": 1, "likelihood": "gaussian"}
    run = train(TrainConfig(dataset=tmp_path / "x.npy", **fields), tmp_path / "run", progress=False)
    assert run.vae.standardization.std.shape == (2, 1, 1)
    vae = vaedge.load(export_run(run.path, tmp_path / "bundle", variants=["int8"], allow_loss=50))
    expected = run.vae.reconstruct(torch.from_numpy(x[:5])).numpy()
    np.testing.assert_allclose((vae.reconstruct(x[:5]) - expected) / np.float32([50, 0.1])[:, None, None], 0, atol=1e-4)
    for name in ("encoder.int8", "decoder.int8"):
        quantized = {
            node.input[0] for node in graph(tmp_path / "bundle", name).node if node.op_type == "QuantizeLinear"
        }
        assert "x" not in quantized
    assert vaedge.check(tmp_path / "bundle").passed


def test_conditional_standardized_model(tmp_path, x):
    np.savez(tmp_path / "x.npz", x=x, y=(x[:, 3] > 0).astype(np.int64))
    fields = {"hidden": (8,), "latent": 2, "epochs": 1, "likelihood": "gaussian", "condition": "label"}
    run = train(TrainConfig(dataset=tmp_path / "x.npz", **fields), tmp_path / "run", progress=False)
    vae = vaedge.load(export_run(run.path, tmp_path / "bundle"))
    y = np.arange(5) % 2
    expected = run.vae.reconstruct(torch.from_numpy(x[:5]), torch.from_numpy(y)).numpy()
    np.testing.assert_allclose((vae.reconstruct(x[:5], y=y) - expected) / STD, 0, atol=1e-5)
