"""Modules that are no VAE by the contract, and disks that are full: the right error, and nothing written."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import vaedge
import vaedge_export.checks.verifier
from vaedge_export import ExportError, export_vae
from vaedge_export.errors import (
    AgreementError,
    DependenceError,
    FiniteError,
    MeaningError,
    PurityError,
    SignatureError,
    SizeError,
    TrainingModeError,
    VerificationError,
)
from vaedge_train import TrainConfig, train


@pytest.fixture
def out(tmp_path):
    return tmp_path / "bundle"


class Wrapped(nn.Module):
    """A module whose outputs go through a function on their way out."""

    def __init__(self, module, change):
        super().__init__()
        self.module, self.change = module, change

    def forward(self, value):
        return self.change(self.module(value))


def refused(error, says, out, encoder, decoder, **options):
    with pytest.raises(error, match=says) as caught:
        export_vae(encoder.eval(), decoder.eval(), out, **options)
    assert not out.exists()
    return caught.value


ENCODERS = {
    "it samples": (lambda q: (q[0] + torch.randn_like(q[0]), q[1]), PurityError, "draws random numbers"),
    "it returns a draw alone": (lambda q: q[0], SignatureError, "returns 1 tensors.*chunk"),
    "it returns three tensors": (lambda q: (*q, q[0]), SignatureError, "returns 3 tensors"),
    "a latent too many": (
        lambda q: (q[0].repeat(1, 2), q[1]),
        SignatureError,
        r"mean has shape \(2, 6\).*expected \(2, 3\)",
    ),
    "double precision": (lambda q: (q[0].double(), q[1]), SignatureError, "mean is double"),
    "NaN": (lambda q: (q[0] / 0 * 0, q[1]), FiniteError, "NaN or infinity in mean"),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders(vae, shapes, out, name):
    change, error, says = ENCODERS[name]
    refused(error, says, out, Wrapped(vae.encoder, change), vae.decoder, **shapes)


def test_a_frozen_batch(vae, shapes, out):
    frozen = Wrapped(vae.decoder, lambda parameters: parameters[0].view(3, 1, 4, 4))
    refused(
        ExportError,
        r"the decoder fails on a batch of shape z \(2, 3\).*view|invalid",
        out,
        vae.encoder,
        frozen,
        **shapes,
    )


def test_nan_weights(vae, shapes, out):
    with torch.no_grad():
        vae.decoder.output.bias[0] = float("nan")
    refused(FiniteError, "decoder: the torch module yields NaN", out, vae.encoder, vae.decoder, **shapes)


def test_training_mode(vae, shapes, out):
    for part in (vae.encoder, vae.decoder):
        part.train()
        with pytest.raises(ExportError, match=r"in training mode: call \.eval\(\)"):
            export_vae(vae.encoder, vae.decoder, out, **shapes)
        part.eval()


def test_a_module_that_torch_cannot_trace(vae, shapes, out):
    stubborn = Wrapped(vae.encoder, lambda q: q if float(q[0].sum()) > 0 else q[::-1])
    error = refused(ExportError, "torch cannot export the encoder", out, stubborn, vae.decoder, **shapes)
    assert error.__cause__ is not None


def test_a_graph_that_differs(vae, shapes, out, monkeypatch):
    """The comparison is with the graph that users run, so a graph of other weights cannot pass."""
    honest = vaedge_export.checks.verifier.trace

    def trace(module, name, *arguments):
        content, flushed = honest(module, name, *arguments)
        if name == "encoder":
            bias = module.output.bias.detach()
            content = content.replace(bias.numpy().tobytes(), (bias + 1e-3).numpy().tobytes())
        return content, flushed

    monkeypatch.setattr(vaedge_export.checks.verifier, "trace", trace)
    refused(
        AgreementError,
        "encoder: mean differs from torch by 1.0",
        out,
        vae.encoder,
        vae.decoder,
        **shapes,
    )


def test_an_unknown_likelihood(vae, shapes, tmp_path):
    refused(
        ExportError, "known are bernoulli", tmp_path / "b", vae.encoder, vae.decoder, **shapes, likelihood="poisson"
    )


def test_examples_of_another_shape(vae, shapes, out):
    wrong = {"examples": np.zeros((3, 16), np.float32)}
    refused(ValueError, "examples has shape", out, vae.encoder, vae.decoder, **shapes, **wrong)


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_a_destination_that_exists(vae, shapes, out, tmp_path, kind):
    if kind == "folder":
        out.mkdir()
    elif kind == "file":
        out.write_text("precious")
    else:
        out.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ExportError, match="exists already"):
        export_vae(vae.encoder, vae.decoder, out, **shapes)
    assert kind != "file" or out.read_text() == "precious"


def test_a_destination_that_appears_meanwhile(vae, shapes, out, tmp_path, monkeypatch):
    honest = vaedge_export.export.card.render

    def render(*arguments):
        out.mkdir()
        (out / "theirs").write_text("precious")
        return honest(*arguments)

    monkeypatch.setattr(vaedge_export.export.card, "render", render)
    with pytest.raises(ExportError, match="exists already"):
        export_vae(vae.encoder, vae.decoder, out, **shapes)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert [path.name for path in out.iterdir()] == ["theirs"]


def test_a_folder_that_cannot_be_written(vae, shapes, tmp_path):
    (tmp_path / "file").write_text("")
    refused(ExportError, "cannot write", tmp_path / "file" / "bundle", vae.encoder, vae.decoder, **shapes)


FULL_DISK = """
import resource, signal, sys
from vaedge.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
sys.exit(main(["export", {run!r}, "--out", {out!r}]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file-size limits are POSIX")
def test_a_disk_that_is_full(tmp_path):
    """The system refuses to write past a limit, in the middle of the larger graph, as a full disk does."""
    from vaedge_train import TrainConfig, train

    run, out = tmp_path / "run", tmp_path / "out" / "bundle"
    train(TrainConfig(hidden=(64,), epochs=1, batch_size=1000), run, progress=False)
    code = FULL_DISK.format(limit=150_000, run=str(run), out=str(out))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    assert result.stderr.startswith("vaedge: cannot write")
    assert result.stderr.count("\n") == 1
    assert list(out.parent.iterdir()) == []


def test_no_space_left_on_device(vae, shapes, out, monkeypatch):
    def write_text(path, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write_text)
    refused(
        ExportError,
        "No space left on device; nothing was left",
        out,
        vae.encoder,
        vae.decoder,
        **shapes,
    )


class Constant(nn.Module):
    def __init__(self, *shapes):
        super().__init__()
        self.shapes = shapes

    def forward(self, value):
        outputs = tuple(torch.full((len(value), *shape), 0.5) + 0 * value.flatten(1).sum() for shape in self.shapes)
        return outputs if len(outputs) > 1 else outputs[0]


def test_an_output_that_ignores_its_input(vae, shapes, out):
    refused(DependenceError, "the encoder returns the same", out, Constant((3,), (3,)), vae.decoder, **shapes)
    refused(DependenceError, "the decoder returns the same", out, vae.encoder, Constant((1, 4, 4)), **shapes)


def test_a_part_left_in_training_mode(vae, shapes, out):
    """`model.eval()` on a wrapper that hides a submodule from it, or `.train()` on one part afterwards."""
    vae.encoder.hidden.append(nn.Dropout(0.5))
    vae.encoder.hidden[-1].train()
    with pytest.raises(TrainingModeError, match=r"encoder is in training mode \(its part 'hidden.3', a Dropout\)"):
        export_vae(vae.encoder, vae.decoder, out, **shapes)
    assert not out.exists()


def test_a_batch_that_the_graph_freezes_at_one(vae, shapes, out):
    first = Wrapped(vae.encoder, lambda q: (q[0][:1].expand(len(q[0]), -1) if len(q[0]) < 3 else q[0], q[1]))
    with pytest.raises(VerificationError):
        export_vae(first.eval(), vae.decoder, out, **shapes)
    assert not out.exists()


def test_mean_and_log_var_swapped(out, tmp_path):
    """Of a trained model, on real items: the ELBO is far better the other way round."""
    config = TrainConfig(hidden=(64,), latent=8, epochs=2)
    run = train(config, tmp_path / "run", progress=False)
    swapped = Wrapped(run.vae.encoder, lambda q: (q[1], q[0]))
    options = {"input_shape": (1, 28, 28), "latent_shape": (8,), "likelihood": "bce_surrogate"}
    refused(
        MeaningError,
        r"outputs look swapped: as \(mean, log_var\) the examples cost",
        out,
        swapped,
        run.vae.decoder,
        **options,
        examples=run.examples["x"],
    )
    export_vae(run.vae.encoder, run.vae.decoder, out, **options, examples=run.examples["x"])


def test_a_model_that_fits_in_no_file(vae, shapes, out):
    vae.encoder.huge = nn.Parameter(torch.zeros(1).expand(800_000_000), requires_grad=False)
    refused(SizeError, "the encoder's weights take 3,200,", out, vae.encoder, vae.decoder, **shapes)


def test_denormal_weights_are_flushed_and_counted(vae, shapes, tmp_path):
    with torch.no_grad():
        vae.encoder.output.weight[0, :3] = 1e-40
    bundle = export_vae(vae.encoder, vae.decoder, tmp_path / "b", **shapes)
    graph = onnx.load(bundle / "encoder.onnx").graph
    (weight,) = (onnx.numpy_helper.to_array(t) for t in graph.initializer if t.name == "output.weight")
    assert (weight[0, :3] == 0).all()
    assert vaedge.load(bundle).manifest.verification["denormal_weights_set_to_zero"] == 3


def test_a_module_that_changes_itself(vae, shapes, out):
    class Restless(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.calls = vae.encoder, 0

        def forward(self, x):
            self.calls += 1
            mean, log_var = self.encoder(x)
            return mean + 1e-2 * self.calls, log_var

    with pytest.raises(VerificationError):
        export_vae(Restless().eval(), vae.decoder, out, **shapes)
    assert not out.exists()
