"""In fp32, results of convolutions depend on the rest of the batch at most by rounding.

With several threads, ONNX Runtime divides the convolutions of small batches in another way than those of large ones.
Graphs of matrix products give the same bits for every batch; tests/runtime/test_determinism.py holds that.
"""

import numpy as np
import pytest
import torch

import vaedge
import vaedge.engine.chunks
from vaedge_export import export_vae
from vaedge_train import TrainConfig
from vaedge_train.build import build_vae


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)], ids=["gray", "color"])
def test_convolutions_depend_on_the_batch_at_most_by_rounding(tmp_path, monkeypatch, shape, threads):
    torch.manual_seed(0)
    config = TrainConfig(network="conv", channels=16, latent=8, likelihood="discretized_logistic")
    module = build_vae(config, shape).eval()
    kinds = {"input_shape": shape, "latent_shape": (8,), "likelihood": "discretized_logistic"}
    vae = vaedge.load(export_vae(module.encoder, module.decoder, tmp_path / "conv", **kinds), threads=threads)
    x = np.random.default_rng(0).random((130, *shape), np.float32)
    expected = vae.reconstruct(x)
    z = vae.encode(x).mean
    for size in (1, 2, 7, 8, 33, 64, 130):
        starts = range(0, len(x), size)
        found = np.concatenate([vae.reconstruct(x[i : i + size]) for i in starts])
        np.testing.assert_allclose(found, expected, atol=1e-6)
        np.testing.assert_allclose(np.concatenate([vae.encode(x[i : i + size]).mean for i in starts]), z, atol=1e-5)
    monkeypatch.setattr(vaedge.engine.chunks, "CHUNK", 37)
    np.testing.assert_allclose(vae.reconstruct(x), expected, atol=1e-6)
