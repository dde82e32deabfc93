"""The priors p(z) agree with numerical integrals and with torch.distributions."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from vaedge_train.model.priors import FrozenMixture, FrozenPrior, MixturePrior, StandardNormal, VampPrior


def encode(x):
    """Return a mean and a log_var for each example, as an encoder does."""
    flat = x.flatten(1)
    return flat[:, :2] * 4 - 2, flat[:, 2:4] - 1


def random_components(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    mean, log_var = (torch.randn(7, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    log_weights = torch.randn(7, generator=generator, dtype=torch.float64).log_softmax(0)
    return [tensor.to(dtype) for tensor in (log_weights, mean, log_var)]


@pytest.fixture
def mixture():
    return FrozenMixture(*random_components())


def make(kind):
    torch.manual_seed(0)
    prior = {
        "standard_normal": lambda: StandardNormal(2),
        "mixture": lambda: MixturePrior(5, 2),
        "vamp": lambda: VampPrior(torch.rand(6, 1, 2, 2), (0, 1)),
    }[kind]()
    with torch.no_grad():  # give each component a different weight and width
        for name, parameter in prior.named_parameters():
            if name in ("logits", "log_var"):
                parameter.copy_(torch.randn_like(parameter))
    return prior


def grid(low=-12, high=12, size=601, dtype=torch.float32):
    axis = torch.linspace(low, high, size, dtype=dtype)
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1), (axis[1] - axis[0]) ** 2


def test_mixture_density_is_that_of_torch_distributions(mixture):
    components = Independent(Normal(mixture.mean, (0.5 * mixture.log_var).exp()), 1)
    oracle = MixtureSameFamily(Categorical(logits=mixture.log_weights), components)
    z = torch.randn(3, 5, 2, dtype=torch.float64)
    torch.testing.assert_close(mixture.log_prob(z, encode), oracle.log_prob(z))


def test_standard_normal_density_is_that_of_torch_distributions():
    z = torch.randn(3, 5, 2, dtype=torch.float64)
    torch.testing.assert_close(StandardNormal(2).log_prob(z, encode), Normal(0, 1).log_prob(z).sum(-1))


def test_one_standard_component_is_the_standard_normal():
    one = FrozenMixture(torch.zeros(1), torch.zeros(1, 40), torch.zeros(1, 40))
    z = torch.randn(6, 40)
    torch.testing.assert_close(one.log_prob(z, encode), StandardNormal(40).log_prob(z, encode))


def test_far_draws_do_not_underflow():
    far = FrozenMixture(*random_components(torch.float32))
    assert far.log_prob(torch.full((1, 2), 1e3), encode).isfinite().all()


def test_density_ignores_autocast():
    prior = FrozenMixture(*random_components(torch.float32))
    z = torch.randn(50, 2)
    with torch.autocast("cpu", torch.bfloat16):
        found = prior.log_prob(z, encode)
    assert torch.equal(found, prior.log_prob(z, encode))


@pytest.mark.parametrize("kind", ["standard_normal", "mixture", "vamp"])
def test_density_integrates_to_one_and_samples_have_its_moments(kind):
    prior = make(kind)
    z, cell = grid()
    with torch.no_grad():
        density = prior.log_prob(z, encode).exp() * cell
        samples = prior.sample(100_000, encode, torch.Generator().manual_seed(0))
    assert density.sum().item() == pytest.approx(1, abs=1e-4)
    mean = (density[..., None] * z).sum((0, 1))
    covariance = torch.einsum("ij,ijk,ijl->kl", density, z - mean, z - mean)
    torch.testing.assert_close(samples.mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(samples.T.cov(), covariance, atol=0.05, rtol=0.05)


def test_only_the_standard_normal_has_a_closed_form_of_the_kl():
    mean, log_var = torch.randn(4, 2), torch.randn(4, 2)
    expected = kl_divergence(Normal(mean, (0.5 * log_var).exp()), Normal(0, 1)).sum(1)
    torch.testing.assert_close(StandardNormal(2).kl(mean, log_var), expected)
    for kind in ("mixture", "vamp"):
        assert make(kind).kl(mean, log_var) is None
        assert make(kind).frozen(encode).kl(mean, log_var) is None


@pytest.mark.parametrize("kind", ["standard_normal", "mixture", "vamp"])
def test_frozen_prior_has_the_same_density_without_the_encoder(kind):
    prior = make(kind)
    frozen, z = prior.frozen(encode), torch.randn(5, 2)
    torch.testing.assert_close(frozen.log_prob(z, None), prior.log_prob(z, encode).detach(), rtol=0, atol=0)
    assert not list(frozen.parameters())
    assert frozen.frozen(encode).log_prob(z, None).tolist() == frozen.log_prob(z, None).tolist()


@pytest.mark.parametrize("kind", ["mixture", "vamp"])
def test_frozen_prior_does_not_follow_the_training(kind):
    prior, z = make(kind), torch.randn(5, 2)
    frozen = prior.frozen(encode)
    before = frozen.log_prob(z, None)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.3)
    frozen.double()
    assert prior.logits.dtype == torch.float32
    torch.testing.assert_close(frozen.float().log_prob(z, None), before, rtol=0, atol=0)


class LearnedPrior(FrozenPrior):
    """A prior that has a trained parameter and does not depend on the encoder."""

    def __init__(self):
        super().__init__()
        self.loc = torch.nn.Parameter(torch.zeros(2))


def test_frozen_copy_of_a_learned_prior_is_independent():
    prior = LearnedPrior()
    frozen = prior.frozen(encode).double()
    assert not frozen.loc.requires_grad
    assert prior.loc.requires_grad
    assert prior.loc.dtype == torch.float32


@pytest.mark.parametrize("kind", ["standard_normal", "mixture", "vamp"])
def test_runtime_prior_has_the_same_density(kind):
    frozen = make(kind).frozen(encode)
    z = torch.randn(50, 2)
    found = frozen.to_runtime().log_prob(z.numpy())
    np.testing.assert_allclose(found, frozen.double().log_prob(z.double(), None), rtol=1e-5, atol=1e-5)


def test_vamp_prior_is_the_mixture_of_the_posteriors_of_its_pseudo_inputs():
    pseudo_inputs = torch.rand(3, 1, 2, 2)
    frozen = VampPrior(pseudo_inputs, (0, 1)).frozen(encode)
    mean, log_var = encode(pseudo_inputs)
    assert torch.equal(frozen.mean, mean)
    assert torch.equal(frozen.log_var, log_var)
    torch.testing.assert_close(frozen.log_weights, torch.full((3,), -math.log(3)))


def test_vamp_prior_clamps_its_pseudo_inputs_to_the_range_of_the_data():
    outside = torch.tensor([-1.0, 2.0, 0.3, 0.6]).reshape(1, 1, 2, 2)
    assert torch.equal(VampPrior(outside, (0, 1)).frozen(encode).mean, encode(outside.clamp(0, 1))[0])
    assert torch.equal(VampPrior(outside, None).frozen(encode).mean, encode(outside)[0])


def test_new_mixture_has_equal_weights_and_unit_variances():
    log_weights, mean, log_var = MixturePrior(4, 3).components(encode)
    torch.testing.assert_close(log_weights.exp(), torch.full((4,), 0.25))
    assert mean.shape == log_var.shape == (4, 3)
    assert not log_var.any()
