"""Modules that are no VAE by the contract, and disks that are full: the right error, and nothing written."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import vaedge_export
from vaedge_export import ExportError, export_vae
from vaedge_export.errors import AgreementError, FiniteError, PurityError, SignatureError


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
        ExportError, r"the decoder fails on a batch of shape \(2, 3\).*view|invalid", out, vae.encoder, frozen, **shapes
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
    honest = vaedge_export.export.trace

    def trace(module, *arguments):
        content = honest(module, *arguments)
        return (
            content
            if "decoder" in arguments
            else content.replace(
                module.output.bias.detach().numpy().tobytes(), (module.output.bias.detach() + 1e-3).numpy().tobytes()
            )
        )

    monkeypatch.setattr(vaedge_export.export, "trace", trace)
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
from vaedge.cli import main
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
