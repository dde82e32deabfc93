"""What an export writes."""

import getpass
import json
import platform
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

import vaedge
from vaedge_export import export_run, export_vae
from vaedge_train import TrainConfig, train


@pytest.fixture(scope="module")
def bundle(make_vae, shapes, examples, tmp_path_factory):
    """The bundle of the modules that the fixture `vae` gives: they are made of the same seed."""
    torch.manual_seed(0)
    vae = make_vae()
    out = tmp_path_factory.mktemp("export") / "bundle"
    return export_vae(vae.encoder, vae.decoder, out, **shapes, examples=examples)


def test_the_bundle_s_files(bundle):
    assert {path.name for path in bundle.iterdir()} == {
        *("manifest.json", "encoder.onnx", "decoder.onnx", "reference.npz"),
        *("README.md", "samples.png", "reconstructions.png", "traverse.png"),
    }
    assert vaedge.check(bundle).passed


def test_it_is_the_same_model(bundle, vae, examples):
    loaded = vaedge.load(bundle)
    with torch.no_grad():
        mean, log_var = vae.encoder(torch.from_numpy(examples))
        (logits,) = vae.decoder(mean)
    posterior = loaded.encode(examples)
    np.testing.assert_allclose(posterior.mean, mean, atol=1e-5)
    np.testing.assert_allclose(posterior.log_var, log_var, atol=1e-5)
    np.testing.assert_allclose(loaded.decode(mean.numpy()), torch.sigmoid(logits), atol=1e-5)
    np.testing.assert_allclose(loaded.parameters(mean.numpy())["logits"], logits, atol=1e-5)


def test_onnx_s_own_evaluator_agrees(bundle, examples):
    loaded = vaedge.load(bundle)
    mean, log_var = ReferenceEvaluator(str(bundle / "encoder.onnx")).run(None, {"x": examples})
    np.testing.assert_allclose(loaded.encode(examples).mean, mean, atol=1e-5)
    np.testing.assert_allclose(loaded.encode(examples).log_var, log_var, atol=1e-5)
    decoded, logits = ReferenceEvaluator(str(bundle / "decoder.onnx")).run(None, {"z": mean})
    np.testing.assert_allclose(loaded.decode(mean), decoded, atol=1e-5)
    np.testing.assert_allclose(loaded.parameters(mean)["logits"], logits, atol=1e-5)


def test_the_clamp_of_log_var_is_in_the_graph(vae, shapes, tmp_path):
    with torch.no_grad():
        vae.encoder.output.bias[3:] = torch.tensor([-1e6, 0.0, 1e6])
    bundle = export_vae(vae.encoder, vae.decoder, tmp_path / "bundle", **shapes)
    assert vaedge.load(bundle).encode(np.zeros((1, 1, 4, 4), np.float32)).log_var[0, [0, 2]].tolist() == [-30, 20]


def test_exported_twice_gives_the_same_bytes(bundle, vae, shapes, examples, tmp_path):
    again = export_vae(vae.encoder, vae.decoder, tmp_path / "again" / "bundle", **shapes, examples=examples)
    for path in bundle.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_the_weights_are_the_module_s(bundle, vae):
    graph = onnx.load(bundle / "encoder.onnx").graph
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for name, weight in vae.encoder.named_parameters():
        np.testing.assert_array_equal(stored[name], weight.detach())


def test_nothing_names_the_machine_that_wrote_it(bundle):
    places = [str(Path.cwd()), str(Path.home()), str(bundle.parent), Path(__file__).parent.name + "/", ".py"]
    # Short names of users and hosts occur in compressed bytes by chance.
    secrets = places + [name for name in (platform.node(), getpass.getuser()) if len(name) > 5]
    for path in bundle.iterdir():
        content = path.read_bytes()
        for secret in secrets:
            assert secret.encode() not in content, f"{path.name} names {secret}"


def test_the_manifest_reports_the_comparison(bundle):
    manifest = json.loads((bundle / "manifest.json").read_text())
    report = manifest["verification"]
    assert report["batches"] == [1, 2, 7, 64]
    assert report["tolerance"] == 1e-5
    assert set(report["differences"]) == {"mean", "log_var", "x", "logits"}
    for row in report["differences"].values():
        assert 0 <= row["scaled"] <= 1e-5
        assert row["scaled"] <= row["absolute"] <= row["scaled"] * max(1, row["magnitude"])
    assert manifest["producers"]["torch"] == torch.__version__


def test_other_people_s_modules(tmp_path):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.mean, self.log_var = nn.Conv2d(3, 4, 3, 2, 1), nn.Linear(64, 5), nn.Linear(64, 5)

        def forward(self, pictures):
            hidden = torch.relu(self.convolution(pictures)).flatten(1)
            return self.mean(hidden), self.log_var(hidden)

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.convolution = nn.Linear(5, 64), nn.ConvTranspose2d(4, 3, 4, 2, 1)

        def forward(self, code):
            return self.convolution(self.linear(code).view(-1, 4, 4, 4))

    encoder, decoder = Encoder().eval(), Decoder().eval()
    bundle = export_vae(encoder, decoder, tmp_path / "theirs", input_shape=(3, 8, 8), latent_shape=(5,))
    assert vaedge.load(bundle).sample(3).shape == (3, 3, 8, 8)
    assert not (bundle / "reconstructions.png").exists()  # no real item was given


def test_tables_have_no_pictures(tmp_path):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 4)

        def forward(self, x):
            return self.linear(x).chunk(2, 1)

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 12)

        def forward(self, z):
            return self.linear(z).chunk(2, 1)

    bundle = export_vae(
        Encoder().eval(), Decoder().eval(), tmp_path / "t", input_shape=(6,), latent_shape=(2,), likelihood="gaussian"
    )
    assert not list(bundle.glob("*.png"))
    assert vaedge.load(bundle).reconstruct(np.full((2, 6), 100, np.float32)).shape == (2, 6)


def test_a_run_becomes_a_bundle_with_its_command_and_figures(tmp_path):
    from PIL import Image

    (tmp_path / "secret").mkdir()
    for index in range(12):
        Image.new("L", (4, 4), index * 20).save(tmp_path / "secret" / f"{index}.png")
    config = TrainConfig(dataset=str(tmp_path / "secret"), hidden=(8,), latent=2, epochs=2)
    run = train(config, tmp_path / "run", progress=False)
    bundle = export_run(tmp_path / "run", tmp_path / "bundle")
    manifest = vaedge.load(bundle).manifest
    assert (
        manifest.training["command"]
        == "vaedge train --dataset secret --hidden 8 --latent 2 --epochs 2 --out runs/bundle"
    )
    assert manifest.metrics["test_elbo"] == run.metrics["test_elbo"]
    assert manifest.likelihood == "bce_surrogate"
    card = (bundle / "README.md").read_text()
    assert manifest.training["command"] in card
    assert "not a normalised likelihood" in card
    for path in bundle.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()
    x = run.examples["x"]
    expected = run.vae.reconstruct(torch.from_numpy(x))
    np.testing.assert_allclose(vaedge.load(bundle).reconstruct(x), expected, atol=1e-5)
