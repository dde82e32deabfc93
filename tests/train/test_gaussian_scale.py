"""The scale of the Gaussian likelihood in training and export: per element, shared, or constant."""

import math

import numpy as np
import pytest
import torch

import vaedge
from vaedge_export import export_run
from vaedge_train import TrainConfig, train

SIGMA = 0.3


@pytest.fixture
def table(tmp_path):
    """A table of 2,000 rows. Each column is the sum of one common factor and noise of a known scale."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 1)) @ np.ones((1, 6)) + SIGMA * rng.standard_normal((2000, 6))
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    return tmp_path / "x.npy"


def config(table, **fields):
    fields = {"hidden": (16,), "latent": 1, "epochs": 1, "likelihood": "gaussian", "standardize": "off", **fields}
    return TrainConfig(dataset=table, **fields)


def test_constant_scale_does_not_change(table, tmp_path):
    run = train(config(table, gaussian_scale="0.5"), tmp_path / "run", progress=False)
    _, log_scale = run.vae.generative(torch.randn(3, 1))
    assert log_scale.shape == (3, 6)
    assert log_scale.unique().tolist() == [pytest.approx(math.log(0.5))]
    assert not any("scale" in name for name, _ in run.vae.named_parameters())


def test_shared_scale_learns_the_noise(table, tmp_path):
    fields = {"gaussian_scale": "shared", "epochs": 30, "learning_rate": 0.01, "schedule": "cosine"}
    run = train(config(table, **fields), tmp_path / "run", progress=False)
    _, log_scale = run.vae.generative(torch.randn(3, 1))
    assert len(log_scale.unique()) == 1
    assert log_scale[0, 0].exp().item() == pytest.approx(SIGMA, rel=0.1)


@pytest.mark.parametrize("scale", ["shared", "0.5"])
def test_bundle_returns_the_same_parameters(table, tmp_path, scale):
    run = train(config(table, gaussian_scale=scale), tmp_path / "run", progress=False)
    vae = vaedge.load(export_run(tmp_path / "run", tmp_path / "bundle"))
    z = np.linspace(-2, 2, 9, dtype=np.float32)[:, None]
    for found, expected in zip(vae.parameters(z).values(), run.vae.generative(torch.from_numpy(z)), strict=True):
        np.testing.assert_allclose(found, expected.detach(), atol=1e-5)
