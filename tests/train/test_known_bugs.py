"""Bugs that other people's VAEs have had in their objectives and figures, one test each, named after the bug."""

import hashlib
import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vaedge_train import DataError, TrainConfig, train
from vaedge_train.build import build_vae
from vaedge_train.data.examples import Items
from vaedge_train.dataset import load_dataset
from vaedge_train.evaluation import evaluate
from vaedge_train.loop.writer import evaluate as evaluate_epoch
from vaedge_train.model.likelihoods import LIKELIHOODS
from vaedge_train.model.objective import Objective
from vaedge_train.model.priors import MixturePrior, StandardNormal
from vaedge_train.model.vae import gaussian_log_prob, kl_to_standard_normal


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tiny(shape=(6,), latent=3, **fields):
    return build_vae(TrainConfig(hidden=(8,), latent=latent, likelihood="bernoulli", **fields), shape).eval()


@pytest.fixture
def bits():
    return (torch.rand(20, 6, generator=torch.Generator().manual_seed(3)) < 0.4).float()


def test_bug_kl_averaged_over_latent_dimensions():
    mean, log_var = noise(5, 4), noise(5, 4, seed=1)
    once = kl_to_standard_normal(mean, log_var)
    q = Independent(Normal(mean, torch.exp(0.5 * log_var)), 1)
    torch.testing.assert_close(once, kl_divergence(q, Independent(Normal(torch.zeros(5, 4), torch.ones(5, 4)), 1)))
    torch.testing.assert_close(kl_to_standard_normal(mean.repeat(1, 2), log_var.repeat(1, 2)), 2 * once)


def test_bug_reconstruction_averaged_over_pixels(bits):
    logits = noise(20, 6)
    once = LIKELIHOODS["bernoulli"].log_prob(bits, logits)
    torch.testing.assert_close(LIKELIHOODS["bernoulli"].log_prob(bits.repeat(1, 2), logits.repeat(1, 2)), 2 * once)
    zeros = torch.zeros(1, 784)
    assert LIKELIHOODS["bernoulli"].log_prob(zeros, zeros).item() == pytest.approx(-543.43, abs=0.01)


def test_bug_kl_divided_by_something_more(bits):
    """beta = 1 is the ELBO of torch.distributions, and the loss does not depend on the batch's size."""
    vae, eps = tiny(), noise(1, 20, 3)
    loss, *_ = Objective(vae, "elbo", path_gradient=False)(bits, eps)
    mean, log_var = vae.inference(bits)
    q = Independent(Normal(mean, torch.exp(0.5 * log_var)), 1)
    likelihood = Independent(Bernoulli(logits=vae.generative(mean + eps[0] * torch.exp(0.5 * log_var))[0]), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    torch.testing.assert_close(loss, -(likelihood.log_prob(bits) - kl_divergence(q, prior)).mean())
    twice, *_ = Objective(vae, "elbo", path_gradient=False)(bits.repeat(2, 1), eps.repeat(1, 2, 1))
    torch.testing.assert_close(loss, twice)


def test_bug_another_weight_of_the_kl_in_validation(bits):
    vae, eps = tiny(), noise(1, 20, 3)
    loss, *_ = Objective(vae, "elbo", path_gradient=False)(bits, eps)
    torch.testing.assert_close(loss, -vae.elbo(bits, eps).elbo.mean())


def test_bug_beta_accepted_but_unused(bits):
    objective, eps = Objective(tiny(), "elbo", path_gradient=False), noise(1, 20, 3)
    (low, _, rate), (high, *_) = objective(bits, eps, 1.0), objective(bits, eps, 3.0)
    torch.testing.assert_close(high - low, 2 * rate / 20)


def test_bug_log_var_used_as_a_standard_deviation():
    vae = tiny()
    with torch.no_grad():
        vae.encoder.output.weight.zero_()
        vae.encoder.output.bias.copy_(torch.tensor([0.0, 0.0, 0.0, -2.0, 0.0, 1.5]))
    mean, log_var = vae.inference(torch.zeros(1, 6))
    z = mean + noise(200_000, 1, 3) * torch.exp(0.5 * log_var)
    torch.testing.assert_close(z.var(0)[0], torch.exp(torch.tensor([-2.0, 0.0, 1.5])), rtol=0.02, atol=0)


def test_bug_grey_levels_scored_by_a_bernoulli(tmp_path):
    np.save(tmp_path / "grey.npy", np.full((20, 4), 99, np.uint8))
    with pytest.raises(DataError, match="a Bernoulli is a distribution of 0 and 1"):
        load_dataset(TrainConfig(dataset=tmp_path / "grey.npy", likelihood="bernoulli"))
    vae = build_vae(TrainConfig(hidden=(8,), latent=2), (4,), 0, Items(torch.rand(20, 4)).x)
    said = evaluate(vae, Items(torch.rand(5, 4)), k=2).describe()
    assert said.startswith("surrogate bound")
    assert "NLL" not in said


def test_bug_sigmoid_twice_or_arguments_swapped():
    x, logits = torch.tensor([[1.0, 0.0, 1.0]]), torch.tensor([[2.0, -1.0, 30.0]])
    p = torch.sigmoid(logits.double())
    expected = (x * p.log() + (1 - x) * torch.log1p(-p)).sum()
    assert LIKELIHOODS["bernoulli"].log_prob(x, logits).item() == pytest.approx(expected.item(), abs=1e-6)


def test_bug_constants_missing():
    zeros = torch.zeros(1, 784)
    assert LIKELIHOODS["gaussian"].log_prob(zeros, zeros, zeros).item() == pytest.approx(-720.4478, abs=1e-3)
    grid = torch.linspace(0, 1, 20_001, dtype=torch.float64)[:, None]
    density = LIKELIHOODS["continuous_bernoulli"].log_prob(grid, torch.full_like(grid, 1.3)).exp()
    assert torch.trapezoid(density, dx=1 / 20_000).item() == pytest.approx(1, abs=1e-6)


def test_bug_two_pi_dropped_on_one_side_only():
    one = MixturePrior(1, 50)
    torch.nn.init.zeros_(one.mean)
    z = noise(10, 50)
    mixed, plain = one.log_prob(z, lambda x: (x, x)), StandardNormal(50).log_prob(z, lambda x: (x, x))
    torch.testing.assert_close(mixed, plain, rtol=0, atol=1e-4)
    torch.testing.assert_close(gaussian_log_prob(z, torch.zeros(10, 50), torch.zeros(10, 50)), plain)


def test_bug_mixture_without_its_weights():
    prior = MixturePrior(7, 1)
    grid = torch.linspace(-15, 15, 30_001)[:, None]
    assert torch.trapezoid(prior.log_prob(grid, lambda x: (x, x)).exp(), dx=0.001).item() == pytest.approx(1, abs=1e-3)


def test_bug_importance_weights_of_the_wrong_sign(bits):
    """One draw is the ELBO's estimate; and the gradient is that of the logarithm of the mean weight."""
    vae, eps = tiny().double(), noise(4, 20, 3).double()
    objective = Objective(vae, "iwae", path_gradient=False)
    x = bits.double()

    def bound(shift):
        mean, log_var = (part.double() for part in vae.inference(x))
        mean = mean + shift
        z = mean + eps * torch.exp(0.5 * log_var)
        weights = vae.likelihood.log_prob(x, *vae.generative(z)) + vae.prior.log_prob(z, vae.inference)
        return (torch.logsumexp(weights - gaussian_log_prob(z, mean, log_var), 0) - math.log(4)).mean()

    bias = vae.encoder.output.bias
    objective(x, eps)[0].backward()
    step = torch.tensor([1e-3, 0.0, 0.0], dtype=torch.float64)
    assert -bias.grad[0].item() == pytest.approx(((bound(step) - bound(-step)) / 2e-3).item(), rel=2e-2)


def test_bug_mean_of_logarithms_for_the_logarithm_of_the_mean(bits):
    items = Items(bits.repeat(40, 1))
    bounds = [evaluate(tiny(), items, k).bound for k in (1, 5, 50, 500)]
    assert bounds == sorted(bounds)
    assert bounds[-1] - bounds[0] > 0.01


def test_bug_the_gradient_s_surrogate_reported_as_the_bound(bits):
    """sum(w log w) is never below log mean w, by the KL divergence of the weights to uniform ones."""
    objective, eps = Objective(tiny(), "iwae", path_gradient=True), noise(8, 20, 3)
    surrogate = -objective(bits, eps)[0].item()
    reported = -Objective(objective.vae, "iwae", path_gradient=False)(bits, eps)[0].item()
    assert surrogate > reported
    assert abs(evaluate(objective.vae, Items(bits.repeat(50, 1)), k=8).bound - reported) < abs(surrogate - reported)


def test_bug_exp_without_subtracting_the_maximum():
    vae = tiny((784,))
    with torch.no_grad():
        vae.decoder.output.bias.fill_(-20.0)
    assert math.isfinite(evaluate(vae, Items(torch.ones(4, 784)), k=10).bound)  # about -15,700 nats


def test_bug_logsumexp_across_items(bits):
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    vae, eps = tiny(), noise(5, 20, 3)
    found = vae.elbo(bits, eps).elbo
    assert found.shape == (20,)
    torch.testing.assert_close(vae.elbo(bits[order], eps[:, order]).elbo, found[order])


@pytest.mark.parametrize("k", [1, 3, 2501])
def test_bug_another_number_of_draws_than_asked_for(bits, k):
    vae, rows = tiny(), []
    vae.decoder.register_forward_hook(lambda module, inputs, outputs: rows.append(len(inputs[0])))
    evaluate(vae, Items(bits), k)
    assert sum(rows) == 20 * k


@pytest.mark.parametrize("size", [1, 7, 128, 10_000])
def test_bug_the_last_batch_forgotten_or_batches_averaged(monkeypatch, size):
    x = (torch.rand(300, 6, generator=torch.Generator().manual_seed(0)) < torch.linspace(0, 1, 300)[:, None]).float()
    vae = tiny()
    with torch.no_grad():  # a posterior without width, for which the noise does not matter
        vae.encoder.output.weight[3:] = 0
        vae.encoder.output.bias[3:] = -30
    monkeypatch.setattr("vaedge_train.loop.writer._TEST_BATCH", size)
    found = evaluate_epoch(vae, Items(x), 3)
    exact = vae.elbo(x, torch.zeros(1, 300, 3))
    expected = torch.stack([exact.distortion.double().mean(), exact.rate.double().mean()])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_bug_test_items_in_the_training_set():
    dataset = load_dataset(TrainConfig(validation=0.2))
    parts = [
        {hashlib.sha256(image.numpy().tobytes()).digest() for image in part.x}
        for part in (dataset.train, dataset.validation, dataset.test)
    ]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]


def test_bug_choices_made_by_the_test_items(tmp_path):
    """Other test items change the reported figures, and not one bit of the weights that are kept."""
    rng = np.random.default_rng(0)
    train_items = rng.integers(0, 256, (60, 5)).astype(np.uint8)
    for name in "ab":
        other = rng.integers(0, 256, (30, 5)).astype(np.uint8)
        np.savez(tmp_path / f"{name}.npz", train=train_items, test=other)
        config = TrainConfig(dataset=tmp_path / f"{name}.npz", hidden=(8,), epochs=3, validation=0.2)
        train(config, tmp_path / name, progress=False)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


def test_bug_test_items_binarised_afresh_or_training_items_once(tmp_path):
    fields = {"dataset": "mnist-sample", "binarize": "dynamic", "likelihood": "bernoulli"}
    a, b = (load_dataset(TrainConfig(**fields, seed=seed)) for seed in (0, 1))
    assert torch.equal(a.test.x, b.test.x)
    assert set(a.test.x.unique().tolist()) == {0, 255}
    assert len(a.train.x.unique()) > 200  # still grey: drawn from each time it is seen


def test_bug_the_warm_up_s_beta_in_reported_figures(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (60, 5)).astype(np.uint8))
    config = TrainConfig(dataset=tmp_path / "x.npy", hidden=(8,), epochs=2, warm_up=1000.0)
    metrics = train(config, tmp_path / "run", progress=False).metrics
    for part in ("train", "test"):
        assert metrics[f"{part}_elbo"] == pytest.approx(-metrics[f"{part}_distortion"] - metrics[f"{part}_rate"])
        assert metrics[f"{part}_rate"] > 0.01


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("extreme", [-1e4, -100.0, 100.0, 1e4])
def test_bug_nan_from_extreme_parameters(name, extreme):
    likelihood = LIKELIHOODS[name]
    parameters = [torch.full((2, 3), extreme, requires_grad=True) for _ in likelihood.parameters]
    value = likelihood.log_prob(torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]), *parameters)
    value.sum().backward()
    assert value.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in parameters)


@pytest.mark.parametrize("logits", [0.0, 1e-8, -1e-8, 0.0999, 100.0, -100.0])
def test_bug_nan_gradient_through_where(logits):
    parameter = torch.full((1, 2), logits, requires_grad=True)
    LIKELIHOODS["continuous_bernoulli"].log_prob(torch.tensor([[0.3, 0.9]]), parameter).sum().backward()
    assert parameter.grad.isfinite().all()


def test_bug_the_sigmoid_taken_for_a_continuous_bernoulli_s_mean():
    logits = torch.tensor([-3.0, 0.5, 4.0], dtype=torch.float64)
    grid = torch.linspace(0, 1, 20_001, dtype=torch.float64)[:, None].expand(-1, 3)
    density = LIKELIHOODS["continuous_bernoulli"].element_log_prob(grid, logits.expand_as(grid)).exp()
    expected = torch.trapezoid(density * grid, dx=1 / 20_000, dim=0)
    torch.testing.assert_close(LIKELIHOODS["continuous_bernoulli"].mean(logits), expected, atol=1e-5, rtol=0)


def test_bug_a_negative_kl():
    assert (kl_to_standard_normal(3 * noise(1000, 8), 3 * noise(1000, 8, seed=1)) >= 0).all()


def test_bug_shapes_that_broadcast():
    with pytest.raises(ValueError, match="does not end in"):
        LIKELIHOODS["bernoulli"].log_prob(torch.zeros(4, 1, 28, 28), torch.zeros(4, 784))


def test_bug_a_discretised_likelihood_without_its_outer_bins():
    levels = (torch.arange(256, dtype=torch.float64) / 255)[:, None]
    for loc in (-0.5, 0.0, 0.999, 1.5):
        parameters = torch.full_like(levels, loc), torch.full_like(levels, -3.0)
        total = LIKELIHOODS["discretized_logistic"].log_prob(levels, *parameters).exp().sum()
        assert total.item() == pytest.approx(1, abs=1e-5)
