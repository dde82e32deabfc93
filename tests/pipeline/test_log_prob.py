"""log p(x) in the runtime agrees with torch for the same noise, and with a closed form."""

import math

import numpy as np
import pytest
import torch

import vaedge
from vaedge.cli.main import main
from vaedge.distributions.likelihoods import LIKELIHOODS as RUNTIME_LIKELIHOODS
from vaedge_export import export_run, export_vae
from vaedge_train import TrainConfig, train
from vaedge_train.model.likelihoods import LIKELIHOODS


def test_runtime_knows_every_likelihood_of_training():
    assert RUNTIME_LIKELIHOODS.keys() == LIKELIHOODS.keys()


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods_of_runtime_and_training_agree(name):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2 if name == "bernoulli" else 256, (500, 1)).astype(np.float32)
    x = x if name == "bernoulli" else x / np.float32(255)
    spread = 12 if name == "bernoulli" else 2
    drawn = [torch.from_numpy(rng.normal(0, spread, (500, 1)).astype(np.float32)) for _ in LIKELIHOODS[name].parameters]
    parameters = [parameter.numpy() for parameter in LIKELIHOODS[name].bounded(*drawn)]  # as graphs limit them
    found = RUNTIME_LIKELIHOODS[name].log_prob(x, *parameters)
    expected = LIKELIHOODS[name].element_log_prob(torch.from_numpy(x), *drawn)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert found.dtype == np.float32


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log_prob")
    fields = {"binarize": "dynamic", "likelihood": "bernoulli", "prior": "vamp", "components": 20, "latent": 8}
    return train(TrainConfig(hidden=(64,), epochs=2, **fields), folder / "run", progress=False)


@pytest.fixture(scope="module")
def vae(run, tmp_path_factory):
    return vaedge.load(export_run(run.path, tmp_path_factory.mktemp("models") / "bundle"))


def random_examples(n):
    return (np.random.default_rng(0).random((n, 1, 28, 28)) < 0.15).astype(np.float32)


def test_log_prob_agrees_with_torch_for_the_same_noise(run, vae):
    x, k = random_examples(1000), 8
    found = vae.log_prob(x, k=k, seed=5)
    eps = np.random.default_rng(5).standard_normal((1000, k, 8)).astype(np.float32)
    with torch.no_grad():
        terms = run.vae(torch.from_numpy(x), torch.from_numpy(eps).transpose(0, 1))
        expected = torch.logsumexp(terms.log_weight.double(), 0) - math.log(k)
    assert found.dtype == np.float64
    assert abs(found.mean() - expected.mean().item()) <= 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_bounds_agree_with_torch_for_the_same_noise(run, vae):
    x = random_examples(100)
    found = vae.bounds(x, k=4, seed=6)
    eps = np.random.default_rng(6).standard_normal((100, 4, 8)).astype(np.float32)
    with torch.no_grad():
        terms = run.vae(torch.from_numpy(x), torch.from_numpy(eps).transpose(0, 1))
    np.testing.assert_allclose(found.elbo, terms.log_weight.double().mean(0), rtol=1e-5)
    np.testing.assert_array_equal(found.importance_weighted, vae.log_prob(x, k=4, seed=6))


def test_log_prob_of_a_linear_model_is_the_exact_evidence(tmp_path):
    """If q(z|x) is the exact posterior, every importance weight equals p(x), for any k and any seed."""

    class Encoder(torch.nn.Module):
        def forward(self, x):
            mean = x.sum(1, keepdim=True) / 5  # p(x|z) = N(z, 1) for four elements, p(z) = N(0, 1)
            return mean, torch.full_like(mean, -math.log(5.0))

    class Decoder(torch.nn.Module):
        def forward(self, z):
            return z.expand(-1, 4) * 1.0, torch.zeros_like(z).expand(-1, 4) * 1.0

    shapes = {"input_shape": (4,), "latent_shape": (1,), "likelihood": "gaussian"}
    vae = vaedge.load(export_vae(Encoder().eval(), Decoder().eval(), tmp_path / "bundle", **shapes))
    x = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    covariance = np.eye(4) + 1
    exact = -0.5 * (np.einsum("ni,ij,nj->n", x, np.linalg.inv(covariance), x) + math.log(np.linalg.det(covariance)))
    exact -= 2 * math.log(2 * math.pi)
    for k in (1, 7, 3000):
        np.testing.assert_allclose(vae.log_prob(x, k=k, seed=k), exact, atol=1e-5)


def test_log_prob_rises_with_k_and_does_not_depend_on_the_batch(vae):
    x = random_examples(300)
    means = [vae.log_prob(x, k=k, seed=0).mean() for k in (1, 10, 100)]
    assert means == sorted(means)
    np.testing.assert_allclose(vae.log_prob(x[:7], k=50, seed=3), vae.log_prob(x, k=50, seed=3)[:7], rtol=1e-6)


def test_log_prob_without_a_seed_uses_fresh_noise(vae):
    x = random_examples(7)
    assert not np.array_equal(vae.log_prob(x), vae.log_prob(x))


def test_log_prob_is_higher_for_real_examples_than_for_noise(run, vae):
    real = run.examples["x"]
    noise = (np.random.default_rng(0).random(real.shape) < real.mean()).astype(np.float32)
    assert vae.log_prob(real, seed=0).min() > vae.log_prob(noise, seed=0).max()


@pytest.mark.parametrize("k", [0, -1, 2.0, None])
def test_log_prob_rejects_invalid_k(vae, k):
    with pytest.raises(vaedge.InputError, match="k is"):
        vae.log_prob(random_examples(2), k=k)


def test_log_prob_of_a_bernoulli_rejects_gray_levels(vae):
    with pytest.raises(vaedge.InputError, match="binarize"):
        vae.log_prob(random_examples(2) * 0.5)


def test_log_prob_rejects_a_surrogate_likelihood(run, tmp_path):
    shapes = {"input_shape": (1, 28, 28), "latent_shape": (8,), "likelihood": "bce_surrogate"}
    vae = vaedge.load(export_vae(run.vae.encoder, run.vae.decoder, tmp_path / "bundle", **shapes))
    with pytest.raises(vaedge.InputError, match="bce_surrogate"):
        vae.log_prob(random_examples(2))


def test_score_command_writes_the_values_of_log_prob(vae, tmp_path, capsys):
    np.save(tmp_path / "x.npy", random_examples(20))
    words = [str(vae._origin[0]), str(tmp_path / "x.npy"), "-k", "5", "--seed", "2"]
    assert main(["score", *words, "--out", str(tmp_path / "nats.npy")]) == 0
    nats = np.load(tmp_path / "nats.npy")
    np.testing.assert_array_equal(nats, vae.log_prob(random_examples(20), k=5, seed=2))
    assert f"NLL <= {-nats.mean():.3f}" in capsys.readouterr().out
    assert main(["score", *words, "--out", str(tmp_path / "nats.png")]) == 1
