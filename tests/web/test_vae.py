"""The JavaScript VAE gives the results of the Python VAE for images, tables, conditions and convolutional models."""

import json
from pathlib import Path

import numpy as np
import pytest

import vaedge
from vaedge.bundle.reader import read_bundle
from vaedge.bundle.reference import Inputs
from vaedge_export import export_run
from vaedge_train import TrainConfig, train

MODELS = Path(__file__).parents[2] / "models"
SEEDS = (0, 2**32, 123456789012345678901234567890)


def array(values):
    """Convert an array to the JSON that the script calls.mjs reads."""
    return {"array": values.ravel().tolist(), "dtype": str(values.dtype), "shape": list(values.shape)}


def batch(found):
    """Return a float64 array. `found` is the JSON of a batch, which the script `calls.mjs` printed."""
    return np.array(found["data"], np.float64).reshape(found["shape"])


@pytest.fixture
def call(node, tmp_path):
    """Return a function that calls methods of one JavaScript VAE in Node, and returns their results."""

    def run(bundle, calls, variant="fp32"):
        (tmp_path / "calls.json").write_text(json.dumps([{"bundle": str(bundle), "variant": variant, "calls": calls}]))
        return json.loads(node("calls.mjs", tmp_path / "calls.json"))[0]

    return run


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """Return (folder, examples): a bundle for gray images, which has a calibration, and eight images."""
    folder = tmp_path_factory.mktemp("calibrated")
    images = np.random.default_rng(0).normal(0.5, 0.1, (400, 6, 6)).clip(0, 1).astype(np.float32)
    np.savez(folder / "x.npz", train=images[:200], test=images[200:])
    options = {"likelihood": "gaussian", "hidden": (16,), "latent": 3, "epochs": 2}
    run = train(TrainConfig(dataset=str(folder / "x.npz"), **options), folder / "run", progress=False)
    bundle = export_run(run.path, folder / "plain")
    calibration = vaedge.load(bundle).calibrate(images[200:])
    calibration.save(folder / "calibration.npz")
    return export_run(run.path, folder / "bundle", calibration=folder / "calibration.npz"), images[:8]


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conditional")
    config = TrainConfig(condition="label", hidden=(32,), latent=4, epochs=1)
    return export_run(train(config, folder / "run", progress=False).path, folder / "bundle")


@pytest.mark.parametrize(
    ("name", "variant"), [("mnist", "fp32"), ("mnist", "int8"), ("mnist-conv", "fp32"), ("article", "fp32")]
)
def test_shipped_models_give_the_results_of_python(call, name, variant):
    vae = vaedge.load(MODELS / name, variant=variant)
    inputs = Inputs.of(read_bundle(MODELS / name, variant)).repeated(4)
    x, z = array(inputs.x), array(inputs.z)
    found = call(
        MODELS / name,
        [
            ["check"],
            ["encode", x],
            ["decode", z],
            ["reconstruct", x],
            ["reconstruct", x, {"sample": True, "seed": 3}],
            ["interpolate", array(inputs.x[0]), array(inputs.x[1]), {"steps": 5}],
            *(["sample", 3, {"seed": str(seed)}] for seed in SEEDS),
            ["bounds", x, {"k": 5, "seed": 1}],
        ],
        variant,
    )
    assert found[0]["passed"]
    assert set(found[0]["differences"]) == {"mean", "log_var", "decoded", *vae.manifest.parameters}
    posterior = vae.encode(inputs.x)
    # int8 results depend on rounding errors before the quantization, which differ between the kernels.
    tolerance = 1e-5 if variant == "fp32" else 0.05
    np.testing.assert_allclose(batch(found[1]["mean"]), posterior.mean, atol=2 * tolerance)
    np.testing.assert_allclose(batch(found[1]["logVar"]), posterior.log_var, atol=2 * tolerance)
    expected = [vae.decode(inputs.z), vae.reconstruct(inputs.x), vae.reconstruct(inputs.x, sample=True, seed=3)]
    expected += [vae.interpolate(inputs.x[0], inputs.x[1], 5), *(vae.sample(3, seed=seed) for seed in SEEDS)]
    for result, values in zip(found[2:9], expected, strict=True):
        np.testing.assert_allclose(batch(result), values, atol=tolerance)
    bounds = vae.bounds(inputs.x, k=5, seed=1)
    np.testing.assert_allclose(found[9]["elbo"], bounds.elbo, rtol=1e-5 if variant == "fp32" else 0.05)
    np.testing.assert_allclose(found[9]["bound"], bounds.importance_weighted, rtol=1e-5 if variant == "fp32" else 0.05)


def test_conditions_may_be_numbers_names_or_one_value(call, conditional):
    vae = vaedge.load(conditional)
    x = Inputs.of(read_bundle(conditional)).x[:3]
    values = [7, "7", [1, 2, 3], ["1", "2", "3"]]
    found = call(
        conditional,
        [
            *(["sample", 3, {"seed": 5, "conditions": {"y": value}}] for value in values),
            ["bounds", array(x), {"k": 3, "seed": 0, "conditions": {"y": [1, 2, 3]}}],
            ["sample", 3, {"seed": 5}],
            ["sample", 3, {"seed": 5, "conditions": {"y": 10}}],
        ],
    )
    for result, value in zip(found, values, strict=False):
        np.testing.assert_allclose(batch(result), vae.sample(3, seed=5, conditions={"y": value}), atol=1e-5)
    np.testing.assert_allclose(
        found[4]["elbo"], vae.bounds(x, k=3, seed=0, conditions={"y": [1, 2, 3]}).elbo, rtol=1e-5
    )
    for result, value in zip(found[5:], (None, {"y": 10}), strict=True):
        with pytest.raises(vaedge.InputError) as error:
            vae.sample(3, seed=5, conditions=value)
        assert result == {"error": f"InputError: {error.value}"}


def test_detect_gives_the_decisions_of_python(call, calibrated):
    bundle, x = calibrated
    x = np.concatenate([x, np.zeros_like(x[:1])])
    vae = vaedge.load(bundle)
    (found, without) = call(
        bundle,
        [["detect", array(x), {"falseAlarmRate": 0.05, "maps": True}], ["detect", array(x), {"falseAlarmRate": 0}]],
    )
    expected = vae.detect(x, false_alarm_rate=0.05, maps=True)
    np.testing.assert_allclose(found["score"], expected.score, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["pValue"], expected.p_value, atol=0.02)
    assert found["isAnomaly"] == expected.is_anomaly.tolist()
    assert found["isAnomaly"][-1]
    np.testing.assert_allclose(batch(found["maps"]), expected.maps, atol=1e-4)
    assert without["error"].startswith("InputError: ")


def test_draws_of_x_follow_the_seed(call, calibrated):
    bundle, x = calibrated
    vae = vaedge.load(bundle)
    found = call(
        bundle, [["sample", 4, {"seed": 2, "draw": True}], ["reconstruct", array(x), {"seed": 2, "draw": True}]]
    )
    np.testing.assert_allclose(batch(found[0]), vae.sample(4, seed=2, draw=True), atol=1e-5)
    np.testing.assert_allclose(batch(found[1]), vae.reconstruct(x, seed=2, draw=True), atol=1e-5)


def test_calls_after_close_and_unknown_variants_are_errors(call):
    assert "ClosedError: this VAE was closed" in str(call(MODELS / "mnist", [["close"], ["sample", 1, {}]])[1])
    assert "has no variant 'int4'; it has fp32, int8" in call(MODELS / "mnist", [], "int4")["error"]
