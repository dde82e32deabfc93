"""The bundle that `export_vae` writes."""

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
import vaedge_export.export
from vaedge_export import AgreementError, ExportError, PurityError, SignatureError, VerificationError, export_vae


def test_bundle_contains_exactly_these_files_and_passes_the_check(bundle):
    assert {path.name for path in bundle.iterdir()} == {
        *("manifest.json", "encoder.onnx", "decoder.onnx", "reference.npz"),
        *("encoder.batch4.onnx", "decoder.batch4.onnx"),
        *("README.md", "samples.png", "reconstructions.png", "traverse.png"),
    }
    assert vaedge.check(bundle).passed


def test_graphs_compute_what_the_modules_compute(bundle, vae, examples):
    loaded = vaedge.load(bundle)
    with torch.no_grad():
        mean, log_var = vae.encoder(torch.from_numpy(examples))
        (logits,) = vae.decoder(mean)
    posterior = loaded.encode(examples)
    np.testing.assert_allclose(posterior.mean, mean, atol=1e-5)
    np.testing.assert_allclose(posterior.log_var, log_var, atol=1e-5)
    np.testing.assert_allclose(loaded.decode(mean.numpy()), torch.sigmoid(logits), atol=1e-5)
    np.testing.assert_allclose(loaded.parameters(mean.numpy())["logits"], logits, atol=1e-5)


def test_reference_evaluator_of_onnx_agrees(bundle, examples):
    loaded = vaedge.load(bundle)
    mean, log_var = ReferenceEvaluator(str(bundle / "encoder.onnx")).run(None, {"x": examples})
    np.testing.assert_allclose(loaded.encode(examples).mean, mean, atol=1e-5)
    np.testing.assert_allclose(loaded.encode(examples).log_var, log_var, atol=1e-5)
    decoded, logits = ReferenceEvaluator(str(bundle / "decoder.onnx")).run(None, {"z": mean})
    np.testing.assert_allclose(loaded.decode(mean), decoded, atol=1e-5)
    np.testing.assert_allclose(loaded.parameters(mean)["logits"], logits, atol=1e-5)


def test_exporting_twice_gives_the_same_bytes_and_reports_progress(bundle, vae, shapes, examples, tmp_path, capsys):
    again = tmp_path / "again" / "bundle"
    options = {"examples": examples, "fixed_batch": 4, "progress": True}
    assert export_vae(vae.encoder, vae.decoder, again, **shapes, **options) == again
    for path in bundle.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name
    assert capsys.readouterr().out.splitlines() == [
        "checking the modules",
        "tracing both modules twice",
        "comparing with torch at batch sizes 1, 2, 7, 64",
        f"writing {again}",
    ]


def test_weights_are_stored_under_the_names_of_the_module(bundle, vae):
    graph = onnx.load(bundle / "encoder.onnx").graph
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for name, weight in vae.encoder.named_parameters():
        np.testing.assert_array_equal(stored[name], weight.detach())


def test_no_file_names_the_machine_that_wrote_it(bundle):
    places = [str(Path.cwd()), str(Path.home()), str(bundle.parent), Path(__file__).parent.name + "/", ".py"]
    # Short names of users and hosts are not searched, because compressed bytes contain them by chance.
    secrets = places + [name for name in (platform.node(), getpass.getuser()) if len(name) > 5]
    for path in bundle.iterdir():
        content = path.read_bytes()
        for secret in secrets:
            assert secret.encode() not in content, f"{path.name} names {secret}"


def test_manifest_reports_the_comparison(bundle):
    manifest = json.loads((bundle / "manifest.json").read_text())
    report = manifest["verification"]
    assert report["batches"] == [1, 2, 7, 64]
    assert report["tolerance"] == 1e-5
    assert report["inputs"] == "examples"
    assert report["denormal_weights_set_to_zero"] == 0
    assert set(report["differences"]) == {"mean", "log_var", "x", "logits"}
    for row in report["differences"].values():
        assert 0 <= row["scaled"] <= 1e-5
        assert row["scaled"] <= row["absolute"] <= row["scaled"] * max(1, row["magnitude"])
    assert manifest["producers"]["torch"] == torch.__version__
    assert manifest["minimum_onnxruntime"] == "1.24"
    assert manifest["prior"] == {"name": "standard_normal"}


def test_modules_of_plain_torch_layers_export_without_examples(tmp_path):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.SiLU(), nn.Flatten())
            self.mean, self.log_var = nn.Linear(64, 5), nn.Linear(64, 5)

        def forward(self, x):
            h = self.layers(x)
            return self.mean(h), self.log_var(h)

    decoder = nn.Sequential(nn.Linear(5, 64), nn.Unflatten(1, (4, 4, 4)), nn.ConvTranspose2d(4, 3, 4, 2, 1))
    encoder, decoder = Encoder().eval(), decoder.eval()
    bundle = export_vae(encoder, decoder, tmp_path / "theirs", input_shape=(3, 8, 8), latent_shape=(5,))
    assert vaedge.load(bundle).sample(3).shape == (3, 3, 8, 8)
    assert not (bundle / "reconstructions.png").exists()
    report = vaedge.load(bundle).manifest.verification
    assert (report["tolerance"], report["inputs"]) == (1e-4, "random examples")


def test_tables_export_without_images(tmp_path):
    class Halves(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.linear = nn.Linear(inputs, outputs)

        def forward(self, values):
            return self.linear(values).chunk(2, 1)

    bundle = export_vae(
        Halves(6, 4).eval(),
        Halves(2, 12).eval(),
        tmp_path / "t",
        input_shape=(6,),
        latent_shape=(2,),
        likelihood="gaussian",
    )
    assert not list(bundle.glob("*.png"))
    assert vaedge.load(bundle).reconstruct(np.full((2, 6), 100, np.float32)).shape == (2, 6)


def test_copies_with_a_fixed_batch_size_are_written_on_request(bundle):
    z = np.random.default_rng(0).standard_normal((4, 3), np.float32)
    model = onnx.load(bundle / "decoder.batch4.onnx")
    onnx.checker.check_model(model, full_check=True)
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_value == 4
    (found,) = ReferenceEvaluator(model).run(["x"], {"z": z})
    np.testing.assert_allclose(found, vaedge.load(bundle).decode(z), atol=1e-5)
    assert "| fp32, fixed batch | `decoder.batch4.onnx` |" in (bundle / "README.md").read_text()


def refuse(error, message, out, vae, shapes):
    with pytest.raises(error, match=message) as caught:
        export_vae(vae.encoder, vae.decoder, out, **shapes)
    assert not out.exists()
    return caught.value


def test_graph_with_other_weights_is_refused(vae, shapes, tmp_path, monkeypatch):
    original = vaedge_export.export.trace

    def trace(network, *arguments):
        content, flushed = original(network, *arguments)
        if network.name == "encoder":
            bias = network.module.output.bias.detach()
            content = content.replace(bias.numpy().tobytes(), (bias + 1e-3).numpy().tobytes())
        return content, flushed

    monkeypatch.setattr(vaedge_export.export, "trace", trace)
    message = r"the encoder at batch size 1: mean differs from torch by 1\.0e-03"
    refuse(AgreementError, message, tmp_path / "b", vae, shapes)


def test_encoder_that_samples_is_refused(vae, shapes, tmp_path, wrap):
    vae.encoder = wrap(vae.encoder, lambda q: (q[0] + torch.randn_like(q[0]), q[1]))
    refuse(PurityError, "encoder: the graph draws random numbers", tmp_path / "b", vae, shapes)


def test_encoder_in_double_precision_is_refused(vae, shapes, tmp_path, wrap):
    vae.encoder = wrap(vae.encoder, lambda q: (q[0].double(), q[1]))
    refuse(SignatureError, "encoder: mean is double; expected float32", tmp_path / "b", vae, shapes)


def test_module_with_two_behaviors_for_small_batches_is_refused(vae, shapes, tmp_path, wrap):
    vae.encoder = wrap(vae.encoder, lambda q: (q[0][:1].expand(len(q[0]), -1) if len(q[0]) < 3 else q[0], q[1]))
    refuse(VerificationError, None, tmp_path / "b", vae, shapes)


def test_module_that_changes_itself_is_refused(vae, shapes, tmp_path):
    class Counting(nn.Module):
        def __init__(self, encoder):
            super().__init__()
            self.encoder, self.calls = encoder, 0

        def forward(self, x):
            self.calls += 1
            mean, log_var = self.encoder(x)
            return mean + 1e-2 * self.calls, log_var

    vae.encoder = Counting(vae.encoder).eval()
    refuse(VerificationError, None, tmp_path / "b", vae, shapes)


def test_bundle_that_does_not_reproduce_its_reference_is_not_written(bundle, tmp_path, monkeypatch):
    report = vaedge.CheckReport("cpu", {"fp32": {"x": 1.01}})
    monkeypatch.setattr(vaedge_export.export.vaedge, "check", lambda folder: report)
    with pytest.raises(ExportError, match="does not reproduce its own reference"):
        vaedge_export.export._write(tmp_path / "b", vaedge.load(bundle).manifest, {}, {})
    assert not (tmp_path / "b").exists()
