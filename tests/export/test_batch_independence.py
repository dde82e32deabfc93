"""In fp32, the other examples of a batch change the result of an example only by rounding errors.

With several threads, ONNX Runtime splits the convolutions of small and of large batches differently. Graphs without
convolutions give the same bits for every batch size, as tests of the runtime verify.
"""

import numpy as np
import pytest
import torch

import vaedge
import vaedge.engine.chunks
from vaedge_export import export_vae
from vaedge_train import TrainConfig
from vaedge_train.build import build_vae


@pytest.fixture(scope="module", params=[(1, 28, 28), (3, 32, 32)], ids=["gray", "color"])
def convolutional(request, tmp_path_factory):
    """A convolutional model, the bundle of the model, and examples."""
    torch.manual_seed(0)
    config = TrainConfig(network="conv", channels=16, latent=8, likelihood="discretized_logistic")
    module = build_vae(config, request.param).eval()
    x = np.random.default_rng(0).random((130, *request.param), np.float32)
    options = {"latent_shape": (8,), "likelihood": "discretized_logistic", "examples": x}
    out = tmp_path_factory.mktemp("models") / "conv"
    export_vae(module.encoder, module.decoder, out, input_shape=request.param, **options)
    return module, out, x


@pytest.mark.parametrize("threads", [1, 2])
def test_convolutions_depend_on_the_batch_only_by_rounding(convolutional, monkeypatch, threads):
    _, bundle, x = convolutional
    vae = vaedge.load(bundle, threads=threads)
    expected = vae.reconstruct(x)
    z = vae.encode(x).mean
    for size in (1, 2, 7, 8, 33, 64, 130):
        starts = range(0, len(x), size)
        found = np.concatenate([vae.reconstruct(x[i : i + size]) for i in starts])
        np.testing.assert_allclose(found, expected, atol=1e-6)
        np.testing.assert_allclose(np.concatenate([vae.encode(x[i : i + size]).mean for i in starts]), z, atol=1e-5)
    monkeypatch.setattr(vaedge.engine.chunks, "CHUNK", 37)
    np.testing.assert_allclose(vae.reconstruct(x), expected, atol=1e-6)


def test_convolutions_agree_with_torch(convolutional):
    module, bundle, x = convolutional
    loaded = vaedge.load(bundle)
    np.testing.assert_allclose(loaded.reconstruct(x), module.reconstruct(torch.from_numpy(x)), atol=1e-5)
    report = loaded.manifest.verification
    assert (report["tolerance"], report["inputs"]) == (1e-4, "examples and random examples")
