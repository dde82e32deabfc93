"""Small modules to export."""

import numpy as np
import pytest
import torch

from vaedge_train import TrainConfig
from vaedge_train.build import build_vae

SHAPE = (1, 4, 4)


@pytest.fixture(scope="session")
def make_vae():
    return lambda: build_vae(TrainConfig(hidden=(8,), latent=3), SHAPE).eval()


@pytest.fixture
def vae(make_vae):
    return make_vae()


@pytest.fixture(scope="session")
def shapes():
    return {"input_shape": SHAPE, "latent_shape": (3,)}


@pytest.fixture(scope="session")
def examples():
    return np.random.default_rng(0).random((20, *SHAPE), np.float32)


@pytest.fixture(autouse=True)
def no_leftovers(tmp_path):
    """After every test, failed exports have left nothing half-written beside the destination."""
    yield
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
