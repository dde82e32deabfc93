"""Evaluation of a linear-Gaussian VAE, whose log p(x) is known, and of small models."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

import vaedge_train.evaluation
from vaedge_train import TrainConfig, evaluate
from vaedge_train.build import build_vae
from vaedge_train.data.examples import Examples
from vaedge_train.evaluation import mean_terms
from vaedge_train.model.objective import Objective
from vaedge_train.model.priors import MixturePrior

LATENT, SCALE = 2, 0.7


def noise(*shape, seed=2):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tiny(shape=(6,), likelihood="bernoulli", **fields):
    return build_vae(TrainConfig(hidden=(8,), latent=3, likelihood=likelihood, **fields), shape).eval()


def test_bound_at_the_exact_posterior_is_the_evidence(linear_vae, x, log_evidence):
    result = evaluate(linear_vae(), Examples(x), k=3)
    assert result.bound == pytest.approx(log_evidence.mean().item(), abs=1e-5)
    assert result.bound_standard_error == pytest.approx(log_evidence.std().item() / 6**0.5, abs=1e-5)


def test_bound_rises_to_the_evidence_with_k(linear_vae, x, log_evidence):
    vae = linear_vae(shift=0.6, log_factor=0.4)
    bounds = [evaluate(vae, Examples(x.repeat(50, 1)), k).bound for k in (1, 10, 100, 5000)]
    exact = log_evidence.mean().item()
    assert bounds == sorted(bounds)
    assert bounds[0] < exact - 0.3
    assert bounds[-1] == pytest.approx(exact, abs=0.01)


def test_bound_of_binary_data_rises_with_k(bits):
    """The bound is the logarithm of the mean weight, not the mean of the logarithms, so it rises with k."""
    examples = Examples(bits.repeat(40, 1))
    bounds = [evaluate(tiny(), examples, k).bound for k in (1, 5, 50, 500)]
    assert bounds == sorted(bounds)
    assert bounds[-1] - bounds[0] > 0.01


def test_bound_with_one_draw_estimates_the_elbo(linear_vae, x):
    vae = linear_vae(shift=0.6)
    result = evaluate(vae, Examples(x.repeat(2000, 1)), k=1)
    assert result.bound == pytest.approx(result.elbo, abs=0.05)
    expected = vae(x, noise(3000, len(x), LATENT))
    assert result.elbo == pytest.approx(expected.elbo.mean().item(), abs=0.05)
    assert result.rate == pytest.approx(expected.rate.mean().item(), abs=1e-4)
    assert result.distortion == pytest.approx(expected.distortion.mean().item(), abs=0.05)
    assert result.elbo == pytest.approx(-result.distortion - result.rate)


def test_rate_of_a_mixture_is_estimated_from_the_draws(linear_vae, x):
    vae = linear_vae(MixturePrior(3, LATENT), shift=0.3)
    expected = vae(x, noise(20_000, len(x), LATENT)).rate.mean().item()
    assert evaluate(vae, Examples(x), k=20_000).rate == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("rows", [7, 60, 20_000])
def test_bound_does_not_depend_on_the_chunks(monkeypatch, linear_vae, x, rows):
    vae, examples = linear_vae(shift=0.6), Examples(x.repeat(2, 1))
    expected = evaluate(vae, examples, k=2000).bound
    monkeypatch.setattr(vaedge_train.evaluation, "_MAX_DECODED", rows)
    assert evaluate(vae, examples, k=2000).bound == pytest.approx(expected, abs=0.06)


def test_mixture_equal_to_the_standard_normal_has_the_same_bound(linear_vae, x):
    prior = MixturePrior(3, LATENT)
    with torch.no_grad():
        prior.mean.zero_()
    vaes = linear_vae(shift=0.3), linear_vae(prior, shift=0.3)
    bounds = [evaluate(vae, Examples(x), k=50).bound for vae in vaes]
    assert bounds[0] == pytest.approx(bounds[1], abs=1e-5)


def test_normalizing_constant_of_the_prior_counts(linear_vae, weight, x):
    """If only one of p(z) and q(z|x) lacked its factor of 2 pi, the bound would be wrong by 1.8 nats."""
    prior = MixturePrior(1, LATENT)
    with torch.no_grad():
        prior.mean.copy_(torch.tensor([[1.0, -1.0]]))
        prior.log_var.fill_(0.5)
    vae = linear_vae(prior, log_factor=0.5)
    covariance = weight @ weight.T * math.exp(0.5) + SCALE**2 * torch.eye(5)
    exact = MultivariateNormal(weight @ torch.tensor([1.0, -1.0]), covariance).log_prob(x).mean().item()
    assert evaluate(vae, Examples(x), k=20_000).bound == pytest.approx(exact, abs=0.02)


def test_bound_is_not_the_surrogate_of_the_path_gradient(bits):
    """With the normalized weights v = w / sum(w), the surrogate is sum(v log w), and the bound is log(mean(w)).

    The surrogate exceeds the bound by the KL divergence of v from uniform weights.
    """
    vae, eps = tiny(), noise(8, 20, 3, seed=0)
    surrogate, bound = (-Objective(vae, "iwae", path_gradient=path)(bits, eps)[0].item() for path in (True, False))
    assert surrogate > bound
    found = evaluate(vae, Examples(bits.repeat(50, 1)), k=8).bound
    assert abs(found - bound) < abs(surrogate - bound)


def test_bound_of_minus_fifteen_thousand_nats_is_finite():
    vae = tiny((784,))
    with torch.no_grad():
        vae.decoder.output.bias.fill_(-20.0)
    assert math.isfinite(evaluate(vae, Examples(torch.ones(4, 784)), k=10).bound)


@pytest.mark.parametrize("k", [1, 3, 2501])
def test_decoder_receives_exactly_k_draws_of_each_example(bits, k):
    vae, rows = tiny(), []
    vae.decoder.register_forward_hook(lambda module, inputs, outputs: rows.append(len(inputs[0])))
    evaluate(vae, Examples(bits), k)
    assert sum(rows) == 20 * k


def test_encoder_runs_once_for_each_example(bits):
    vae, rows = tiny(), []
    vae.encoder.register_forward_hook(lambda module, inputs, outputs: rows.append(len(inputs[0])))
    evaluate(vae, Examples(bits), k=500)
    assert sum(rows) == 20 + 1  # one more example to find the size of z


def test_progress_reports_every_example_once(bits):
    done, texts = [], []

    def progress(count, describe):
        done.append(count)
        texts.append(describe())

    result = evaluate(tiny(), Examples(bits), k=1000, progress=progress)
    assert sum(done) == 20
    assert len(done) > 1
    assert texts[-1].startswith(f"bound {result.bound:.2f}, ELBO {result.elbo:.2f}, distortion ")


def test_evaluation_does_not_change_the_model(bits):
    vae = tiny(prior="mixture", components=3)
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    evaluate(vae, Examples(bits), k=2)
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())
    assert {value.dtype for value in vae.state_dict().values()} == {torch.float32}


def test_same_seed_gives_the_same_result(bits):
    a, b, c = (evaluate(tiny(), Examples(bits), k=3, seed=seed) for seed in (5, 5, 6))
    assert a == b
    assert a.bound != c.bound
    assert (a.examples, a.k, a.seed, a.likelihood) == (20, 3, 5, "bernoulli")


def test_active_units_are_the_latents_whose_mean_varies():
    vae = tiny()
    with torch.no_grad():
        vae.encoder.output.weight.zero_()
        vae.encoder.output.weight[0, 0] = 1.0
        vae.encoder.hidden[1].weight.copy_(torch.eye(8, 6))
        vae.encoder.hidden[1].bias.zero_()
    x = torch.zeros(50, 6)
    for level, active in ((0.0, 0), (0.15, 0), (0.25, 1)):  # the variances of the mean are 0, 0.0057, 0.016
        x[::2, 0] = level
        assert evaluate(vae, Examples(x), k=1).active_units == active
    assert evaluate(vae, Examples(x[:1]), k=1).active_units == 0


def test_one_example_has_no_standard_error(bits):
    assert math.isnan(evaluate(tiny(), Examples(bits[:1]), k=2).bound_standard_error)


def test_surrogate_is_not_called_nll():
    surrogate = evaluate(tiny((4,), "bce_surrogate"), Examples(torch.rand(5, 4)), k=2).describe()
    assert surrogate.startswith("surrogate bound")
    assert "NLL" not in surrogate
    assert evaluate(tiny((4,)), Examples(torch.ones(5, 4)), k=2).describe().startswith("NLL <= ")


@pytest.mark.parametrize("size", [1, 7, 128, 10_000])
def test_mean_terms_weight_every_example_equally(monkeypatch, size):
    x = (torch.rand(300, 6, generator=torch.Generator().manual_seed(0)) < torch.linspace(0, 1, 300)[:, None]).float()
    vae = tiny()
    with torch.no_grad():  # make the variance of q(z|x) almost 0, so that noise has no effect
        vae.encoder.output.weight[3:] = 0
        vae.encoder.output.bias[3:] = -30
    monkeypatch.setattr(vaedge_train.evaluation, "_BATCH_SIZE", size)
    exact = vae(x, torch.zeros(1, 300, 3))
    expected = torch.stack([exact.distortion.double().mean(), exact.rate.double().mean()])
    torch.testing.assert_close(mean_terms(vae, Examples(x), 3), expected, rtol=1e-6, atol=0)


def test_mean_terms_are_the_same_in_every_call(bits):
    vae = tiny()
    assert torch.equal(mean_terms(vae, Examples(bits), 3), mean_terms(vae, Examples(bits), 3))
