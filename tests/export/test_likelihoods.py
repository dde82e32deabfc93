"""Every likelihood, network and prior of the trainer goes through the export and comes out the same."""

import numpy as np
import pytest
import torch

import vaedge
from vaedge_export import ExportError, export_run, export_vae
from vaedge_export.errors import MeaningError
from vaedge_train import TrainConfig, train
from vaedge_train.build import build_vae
from vaedge_train.model.likelihoods import LIKELIHOODS


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_graph_s_mean_is_the_likelihood_s(tmp_path, name):
    config = TrainConfig(likelihood=name, hidden=(8,), latent=3, activation="gated")
    vae = build_vae(config, (1, 4, 4)).eval()
    bundle = export_vae(
        vae.encoder, vae.decoder, tmp_path / "b", input_shape=[1, 4, 4], latent_shape=[3], likelihood=name
    )
    loaded = vaedge.load(bundle)
    z = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32) * 3
    parameters = vae.generative(torch.from_numpy(z))
    assert loaded.manifest.parameters == LIKELIHOODS[name].parameters
    np.testing.assert_allclose(loaded.decode(z), LIKELIHOODS[name].mean(*parameters).detach(), atol=1e-5)
    for found, expected in zip(loaded.parameters(z).values(), parameters, strict=True):
        np.testing.assert_allclose(found, expected.detach(), atol=1e-5)


def test_convolutions(tmp_path):
    vae = build_vae(TrainConfig(network="conv", channels=4, latent=3), (3, 8, 12)).eval()
    bundle = export_vae(vae.encoder, vae.decoder, tmp_path / "b", input_shape=(3, 8, 12), latent_shape=(3,))
    x = np.random.default_rng(0).random((5, 3, 8, 12), np.float32)
    np.testing.assert_allclose(vaedge.load(bundle).reconstruct(x), vae.reconstruct(torch.from_numpy(x)), atol=1e-5)


@pytest.mark.parametrize("prior", ["mixture", "vamp"])
def test_the_runtime_samples_the_prior_that_was_trained(tmp_path, prior):
    data = np.random.default_rng(0).integers(0, 256, (60, 4, 4)).astype(np.uint8)
    np.save(tmp_path / "x.npy", data)
    config = TrainConfig(
        dataset=tmp_path / "x.npy", hidden=(8,), latent=2, epochs=2, prior=prior, components=5, average=0.9
    )
    run = train(config, tmp_path / "run", progress=False)
    vae = vaedge.load(export_run(tmp_path / "run", tmp_path / "bundle"))
    assert vae.manifest.prior == "mixture"
    frozen, trained = vae.prior, run.vae.prior.mixture(run.vae.inference)
    np.testing.assert_array_equal(frozen.mean, trained.mean.detach())
    np.testing.assert_allclose(frozen.std, torch.exp(trained.log_var.detach() / 2), rtol=1e-6)
    weights = np.diff(frozen.cumulative, prepend=0) / 2**53
    np.testing.assert_allclose(weights, trained.log_weights.detach().exp(), rtol=1e-5)
    drawn = run.vae.prior.sample(50_000, run.vae.inference, torch.Generator().manual_seed(0)).detach()
    z = frozen.sample(50_000, seed=0)
    np.testing.assert_allclose(z.mean(0), drawn.mean(0), atol=0.04)
    np.testing.assert_allclose(np.cov(z.T), np.cov(drawn.T), atol=0.06)


def test_a_decoder_that_ends_in_a_sigmoid(vae, shapes, tmp_path):
    class Mean(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = vae.decoder

        def forward(self, z):
            return torch.sigmoid(self.decoder(z)[0])

    with pytest.raises(MeaningError, match="remove its last sigmoid"):
        export_vae(vae.encoder, Mean().eval(), tmp_path / "b", **shapes)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"encoder": lambda x: x}, "the encoder is a function; expected a torch.nn.Module"),
        ({"input_shape": 784}, "input_shape is 784; expected the sizes"),
        ({"latent_shape": (3.5,)}, "latent_shape is"),
        ({"latent_shape": (0,)}, "sizes of at least 1"),
        ({"input_shape": (1, 5, 5)}, "the encoder fails on a batch of shape"),
    ],
)
def test_arguments_that_cannot_be_used(vae, shapes, tmp_path, change, says):
    arguments = {"encoder": vae.encoder, "decoder": vae.decoder, **shapes, **change}
    with pytest.raises(ExportError, match=says):
        export_vae(out=tmp_path / "b", **arguments)


def test_an_evaluation_goes_onto_the_card(tmp_path):
    from vaedge.cli.main import main

    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (60, 4, 4)).astype(np.uint8))
    words = ["--dataset", str(tmp_path / "x.npy"), "--hidden", "8", "--latent", "2", "--epochs", "1"]
    words += ["--binarize", "dynamic", "--likelihood", "bernoulli", "--prior", "mixture", "--components", "3"]
    assert main(["train", *words, "--out", str(tmp_path / "run")]) == 0
    for words in (["-k", "20"], ["-k", "20", "--seed", "7"], ["-k", "2"], ["-k", "20"]):
        assert main(["evaluate", str(tmp_path / "run"), *words]) == 0
    bundle = export_run(tmp_path / "run", tmp_path / "bundle")
    metrics = vaedge.load(bundle).manifest.metrics
    assert metrics["test_bound"] >= metrics["test_elbo"]
    assert "k = 20 draws, seed 0" in metrics["measured_on"]
    assert metrics["test_bound_with_seed_7"] != metrics["test_bound"]
    assert len([name for name in metrics if name.startswith("test_bound_with")]) == 1
    assert "binarised once, seed 123" in (bundle / "README.md").read_text()
