"""The bundles in models/ pass `vaedge.check`, are documented, and agree with other inference engines."""

import getpass
import platform
from pathlib import Path

import numpy as np
import openvino
import pytest
from onnx.reference import ReferenceEvaluator

import vaedge

MODELS = sorted(path.parent for path in (Path(__file__).parents[2] / "models").glob("*/manifest.json"))


def test_all_models_are_shipped():
    assert {"article", "mnist", "mnist-conv"} <= {folder.name for folder in MODELS}


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
class TestEveryShippedModel:
    def test_check_passes(self, folder):
        assert vaedge.check(folder).passed

    def test_card_shows_the_training_command_and_images(self, folder):
        card = (folder / "README.md").read_text()
        assert vaedge.load(folder).manifest.training["command"] in card
        assert card.startswith(f"# {folder.name}\n")
        for image in ("samples.png", "reconstructions.png"):
            assert image in card
            assert (folder / image).read_bytes().startswith(b"\x89PNG")

    def test_reference_evaluator_of_onnx_agrees(self, folder):
        vae = vaedge.load(folder)
        with np.load(folder / "reference.npz") as archive:
            x = archive["x"]
        mean, log_var = ReferenceEvaluator(str(folder / "encoder.onnx")).run(None, {"x": x})
        decoded, logits = ReferenceEvaluator(str(folder / "decoder.onnx")).run(None, {"z": mean})
        np.testing.assert_allclose(vae.encode(x).mean, mean, atol=1e-5)
        np.testing.assert_allclose(vae.encode(x).log_var, log_var, atol=1e-5)
        np.testing.assert_allclose(vae.reconstruct(x), decoded, atol=1e-4)
        np.testing.assert_allclose(vae.parameters(mean)["logits"], logits, rtol=1e-5, atol=1e-4)

    def test_int8_does_not_saturate(self, folder):
        """The runtime computes exact integer products on every CPU, even if the default 8-bit kernels saturate."""
        vae = vaedge.load(folder, variant="int8")
        with np.load(folder / "reference.npz") as archive:
            x = archive["x"]
        mean, log_var = ReferenceEvaluator(str(folder / "encoder.int8.onnx")).run(None, {"x": x})
        np.testing.assert_allclose(vae.encode(x).mean, mean, atol=1e-2)
        np.testing.assert_allclose(vae.encode(x).log_var, log_var, atol=1e-2)

    def test_openvino_agrees_in_float32(self, folder):
        vae = vaedge.load(folder)
        with np.load(folder / "reference.npz") as archive:
            x, z = archive["x"], archive["z"]
        core = openvino.Core()
        exact = {"INFERENCE_PRECISION_HINT": "f32"}
        encoder = core.compile_model(str(folder / "encoder.onnx"), "CPU", exact)({"x": x})
        decoder = core.compile_model(str(folder / "decoder.onnx"), "CPU", exact)({"z": z})
        for found, expected in (
            (encoder["mean"], vae.encode(x).mean),
            (encoder["log_var"], vae.encode(x).log_var),
            (decoder["x"], vae.decode(z)),
            (decoder["logits"], vae.parameters(z)["logits"]),
        ):
            assert np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected))) <= 1e-4

    def test_int8_is_small_and_loses_little(self, folder):
        variants = vaedge.load(folder).manifest.variants
        fp32, int8 = variants["fp32"].measured, variants["int8"].measured
        assert fp32["bytes"] >= 3.4 * int8["bytes"]  # not 4, because some layers stay in float32
        assert int8["elbo_change"] >= -0.3
        x = vaedge.load(folder).sample(64, seed=0)
        assert np.abs(vaedge.load(folder, variant="int8").sample(64, seed=0) - x).mean() < 0.01

    def test_files_do_not_contain_names_or_paths_of_the_machine_that_wrote_them(self, folder):
        paths = [str(Path.home()), "/home/", "/tmp/", "../"]
        names = [name for name in (platform.node(), getpass.getuser()) if len(name) > 5]
        for path in folder.iterdir():
            content = path.read_bytes()
            assert not [secret for secret in paths + names if secret.encode() in content], path.name
