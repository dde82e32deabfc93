"""Bugs that are known from VAEs of other projects do not occur in vaedge. Each test covers one bug."""

import numpy as np
import onnx
import pytest
import torch

import vaedge
from vaedge_export import ExportError, PurityError, export_run, export_vae
from vaedge_train import TrainConfig, train
from vaedge_train.build import build_vae

SHAPES = {"input_shape": (6,), "latent_shape": (3,), "likelihood": "bernoulli"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    np.save(folder / "x.npy", 255 * np.random.default_rng(0).integers(0, 2, (80, 6)).astype(np.uint8))
    fields = {"likelihood": "bernoulli", "hidden": (8,), "latent": 3, "epochs": 4, "batch_size": 8, "average": 0.99}
    config = TrainConfig(dataset=folder / "x.npy", **fields, prior="mixture", components=4, learning_rate=0.05)
    return train(config, folder / "run", progress=False)


@pytest.fixture(scope="module")
def vae(run, tmp_path_factory):
    return vaedge.load(export_run(run.path, tmp_path_factory.mktemp("models") / "bundle"))


def random_examples(n=9):
    return np.random.default_rng(1).integers(0, 2, (n, 6)).astype(np.float32)


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_reconstruct_calls_encoder_and_decoder(network, batch_size):
    vae, called = build_vae(TrainConfig(network=network, channels=4, latent=3, hidden=(8,)), (1, 8, 8)), []
    for part in (vae.encoder, vae.decoder):
        part.register_forward_hook(lambda module, *_: called.append(module))
    vae.reconstruct(torch.rand(batch_size, 1, 8, 8))
    assert called == [vae.encoder, vae.decoder]


def test_training_mode_and_evaluation_mode_compute_the_same(run):
    x, eps = torch.from_numpy(random_examples()), torch.zeros(1, 9, 3)
    elbos = [mode()(x, eps + 1).elbo for mode in (run.vae.train, run.vae.eval)]
    assert torch.equal(*elbos)
    assert not torch.equal(elbos[0], run.vae(x, eps).elbo)  # other noise gives another ELBO


def test_encode_and_reconstruct_use_the_mean_unless_asked_to_sample(vae):
    np.testing.assert_array_equal(vae.encode(random_examples()).mean, vae.encode(random_examples()).mean)
    np.testing.assert_array_equal(vae.reconstruct(random_examples()), vae.decode(vae.encode(random_examples()).mean))
    drawn = [vae.reconstruct(random_examples(), sample=True, seed=seed) for seed in (0, 1)]
    assert not np.array_equal(*drawn)


def test_decode_and_sample_return_means_instead_of_logits(vae):
    x = vae.sample(500, seed=0)
    assert 0 <= x.min() <= x.max() <= 1
    z = np.random.default_rng(0).standard_normal((5, 3), np.float32)
    np.testing.assert_allclose(vae.decode(z), 1 / (1 + np.exp(-vae.parameters(z)["logits"])), atol=1e-6)


def test_prior_of_the_bundle_is_the_trained_prior(run, vae):
    """The draws of the runtime have the moments of the trained mixture, computed from its components."""
    with torch.no_grad():
        log_weights, mean, log_var = run.vae.prior.components(run.vae.inference)
        weights = log_weights.exp()[:, None]
        expected, second = (weights * mean).sum(0), (weights * (log_var.exp() + mean.square())).sum(0)
    z = vae.prior.sample(200_000, seed=0)
    np.testing.assert_allclose(z.mean(0), expected, atol=0.02)
    np.testing.assert_allclose((z.astype(np.float64) ** 2).mean(0), second, rtol=0.02)


def test_sample_does_not_use_the_encoder(vae, monkeypatch):
    monkeypatch.setattr(type(vae._sessions), "encoder", None)
    assert vae.sample(3, seed=0).shape == (3, 6)


@pytest.mark.parametrize("layer", [torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(8)])
def test_export_rejects_dropout_and_batch_norm_in_training_mode(tmp_path, layer):
    pair = build_vae(TrainConfig(hidden=(8,), latent=3), (6,))
    pair.encoder.hidden.append(layer)
    with pytest.raises(ExportError, match="training mode"):
        export_vae(pair.encoder, pair.decoder, tmp_path / "bundle", **SHAPES)
    loaded = vaedge.load(export_vae(pair.eval().encoder, pair.decoder, tmp_path / "bundle", **SHAPES))
    x = np.random.default_rng(0).integers(0, 2, (1000, 6)).astype(np.float32)
    np.testing.assert_allclose(loaded.encode(x).mean, pair.inference(torch.from_numpy(x))[0].detach(), atol=1e-5)


def test_export_rejects_random_operators(tmp_path):
    class Sampling(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(6, 6)

        def forward(self, x):
            mean, log_var = self.layer(x).chunk(2, 1)
            return mean + torch.randn_like(mean), log_var

    pair = build_vae(TrainConfig(hidden=(8,), latent=3), (6,)).eval()
    with pytest.raises(PurityError, match="RandomNormalLike"):
        export_vae(Sampling().eval(), pair.decoder, tmp_path / "bundle", **SHAPES)
    assert not (tmp_path / "bundle").exists()


def test_exported_weights_are_the_evaluated_moving_average(run, vae):
    checkpoint = torch.load(run.path / "checkpoint.pt", weights_only=True)
    averaged = {name.removeprefix("module."): value for name, value in checkpoint["average"].items()}
    graph = onnx.load(vae._origin[0] / "encoder.onnx").graph
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    name = "hidden.1.weight"
    np.testing.assert_array_equal(stored[name], averaged[f"encoder.{name}"])
    assert not np.array_equal(stored[name], checkpoint["vae"][f"encoder.{name}"])
