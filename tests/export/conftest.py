"""Small modules to export, a short training run, and the specification of an export."""

import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.onnx._internal.exporter import _registration

from vaedge_export import export_vae
from vaedge_export.spec import validate_arguments
from vaedge_train import TrainConfig, train
from vaedge_train.build import build_vae

SHAPE = (1, 4, 4)


# Cache torch's table of ONNX operators. torch would build it for every trace, which takes half the time of an export.
_registration.ONNXRegistry.from_torchlib = staticmethod(functools.cache(_registration.ONNXRegistry.from_torchlib))


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


@pytest.fixture(scope="session")
def bundle(make_vae, shapes, examples, tmp_path_factory):
    """A bundle of an encoder and a decoder with the same weights as those of the fixture `vae`."""
    torch.manual_seed(0)
    vae = make_vae()
    out = tmp_path_factory.mktemp("export") / "bundle"
    return export_vae(vae.encoder, vae.decoder, out, **shapes, examples=examples, fixed_batch=4)


@pytest.fixture(scope="session")
def make_spec(shapes):
    """Return a function that validates the arguments of an export, and uses defaults for missing arguments."""

    def make(encoder, decoder, **arguments):
        defaults = {"likelihood": "bernoulli", "prior": None, "conditions": {}, "variants": ("fp32",)}
        options = {"allow_loss": None, "fixed_batch": None}
        return validate_arguments(encoder, decoder, **{**shapes, **defaults, **options, **arguments})

    return make


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A finished run that trained a model of binary digits for two epochs."""
    fields = {"hidden": (256,), "latent": 8, "epochs": 2, "binarize": "dynamic", "likelihood": "bernoulli"}
    return train(TrainConfig(**fields), tmp_path_factory.mktemp("runs") / "run", progress=False)


class Wrapped(nn.Module):
    """A module that applies a function to the outputs of another module."""

    def __init__(self, module, change):
        super().__init__()
        self.module, self.change = module, change

    def forward(self, value):
        return self.change(self.module(value))


@pytest.fixture(scope="session")
def wrap():
    return lambda module, change: Wrapped(module, change).eval()


@pytest.fixture(autouse=True)
def no_leftovers(tmp_path):
    """Verify after every test that no temporary file or folder of an export is left."""
    yield
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
