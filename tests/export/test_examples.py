"""The scripts in examples/ export models of other libraries, and the bundles run without PyTorch."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import vaedge
from vaedge_export import export_vae
from vaedge_train import TrainConfig
from vaedge_train.build import build_vae
from vaedge_train.data.torchvision_data import import_torchvision

EXAMPLES = Path(__file__).parents[2] / "examples"

WITHOUT_TORCH = """
import sys
for name in ("torch", "onnx", "vaedge_train", "vaedge_export"):
    sys.modules[name] = None  # importing it fails
import vaedge
bundle = sys.argv[1]
assert vaedge.check(bundle).passed
vae = vaedge.load(bundle)
x = vae.sample(2, seed=0)
assert vae.reconstruct(x.clip(*(vae.manifest.input_range or (None, None)))).shape == x.shape
assert vae.encode(x).mean.shape == (2, *vae.latent_shape)
print(x.shape)
"""


def load_example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_without_torch(bundle):
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, str(bundle)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plain_module_runs_without_torch(tmp_path, capsys):
    load_example("export_plain_module").main(str(tmp_path / "plain"))
    assert capsys.readouterr().out == f"{tmp_path / 'plain'}\n"
    assert run_without_torch(tmp_path / "plain") == "(2, 1, 28, 28)\n"


def test_convolutional_model_runs_without_torch(tmp_path):
    vae = build_vae(TrainConfig(network="conv", channels=4, latent=3), (3, 8, 12)).eval()
    export_vae(vae.encoder, vae.decoder, tmp_path / "b", input_shape=(3, 8, 12), latent_shape=(3,))
    assert run_without_torch(tmp_path / "b") == "(2, 3, 8, 12)\n"


def test_model_of_pythae_computes_the_same(tmp_path):
    from pythae.models import VAE, VAEConfig

    model = VAE(VAEConfig(input_dim=(1, 8, 8), latent_dim=5)).eval()
    load_example("export_pythae").export(model, str(tmp_path / "pythae"))
    run_without_torch(tmp_path / "pythae")
    vae = vaedge.load(tmp_path / "pythae")
    x = np.random.default_rng(0).random((9, 1, 8, 8), np.float32)
    with torch.no_grad():
        embedded = model.encoder(torch.from_numpy(x)).embedding
        np.testing.assert_allclose(vae.encode(x).mean, embedded, atol=1e-5)
        np.testing.assert_allclose(vae.reconstruct(x), model.decoder(embedded).reconstruction, atol=1e-5)


@pytest.fixture(scope="module")
def diffusers():
    import_torchvision()
    import diffusers

    return diffusers


def make_kl(diffusers):
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return diffusers.AutoencoderKL(block_out_channels=(8, 16), norm_num_groups=4, latent_channels=4, **blocks)


def make_tiny(diffusers):
    channels = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    return diffusers.AutoencoderTiny(**channels, **blocks, upsampling_scaling_factor=2)


@pytest.mark.parametrize("make", [make_kl, make_tiny])
def test_model_of_diffusers_computes_the_same(tmp_path, diffusers, make):
    model = make(diffusers).eval()
    load_example("export_diffusers").export(model, str(tmp_path / "bundle"), (16, 16))
    run_without_torch(tmp_path / "bundle")
    vae = vaedge.load(tmp_path / "bundle")
    assert vae.latent_shape == (4, 8, 8)
    x = np.random.default_rng(0).uniform(-1, 1, (3, 3, 16, 16)).astype(np.float32)
    with torch.no_grad():
        encoded = model.encode(torch.from_numpy(x))
        z = encoded.latent_dist.mean if hasattr(encoded, "latent_dist") else encoded.latents
        np.testing.assert_allclose(vae.encode(x).mean, z, atol=1e-4)
        np.testing.assert_allclose(vae.reconstruct(x), model.decode(z).sample, atol=1e-4)
    drawn = vae.reconstruct(x, sample=True, seed=0)
    assert drawn.shape == x.shape
    assert np.isfinite(vae.log_prob(x, k=3, seed=0)).all()
    for difference in vae.manifest.verification["differences"].values():
        assert difference["absolute"] <= 1e-4
