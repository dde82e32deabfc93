"""p(z) against quadrature, N(0, I) and torch.distributions."""

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from vaedge_train.model.priors import Mixture, MixturePrior, StandardNormal, VampPrior


def encode(x):
    """Stand in for an encoder whose posteriors can be told from the items."""
    flat = x.flatten(1)
    return flat[:, :2] * 4 - 2, flat[:, 2:4] - 1


@pytest.fixture
def mixture():
    generator = torch.Generator().manual_seed(0)
    mean, log_var = (torch.randn(7, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    return Mixture(torch.randn(7, generator=generator, dtype=torch.float64).log_softmax(0), mean, log_var)


def test_the_mixture_is_torch_s(mixture):
    components = Independent(Normal(mixture.mean, (0.5 * mixture.log_var).exp()), 1)
    oracle = MixtureSameFamily(Categorical(logits=mixture.log_weights), components)
    z = torch.randn(3, 5, 2, dtype=torch.float64)
    torch.testing.assert_close(mixture.log_prob(z), oracle.log_prob(z))


def test_the_mixture_integrates_to_one(mixture):
    axis = torch.linspace(-12, 12, 801, dtype=torch.float64)
    z = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    integral = mixture.log_prob(z).exp().sum() * (axis[1] - axis[0]) ** 2
    assert integral.item() == pytest.approx(1, abs=1e-6)


def test_one_standard_component_is_the_standard_normal():
    one = Mixture(torch.zeros(1), torch.zeros(1, 40), torch.zeros(1, 40))
    z = torch.randn(6, 40)
    torch.testing.assert_close(one.log_prob(z), StandardNormal(40).log_prob(z, encode))


def test_far_components_do_not_underflow(mixture):
    z = torch.full((1, 2), 1e3)
    far = Mixture(*(tensor.float() for tensor in mixture))
    assert far.log_prob(z).isfinite().all()


def test_half_precision_around_it_does_not_reach_it(mixture):
    exact = Mixture(*(tensor.float() for tensor in mixture))
    z = torch.randn(50, 2)
    with torch.autocast("cpu", torch.bfloat16):
        found = exact.log_prob(z)
    torch.testing.assert_close(found, exact.log_prob(z))


@pytest.mark.parametrize("kind", ["standard", "mixture", "vamp"])
def test_samples_have_the_density_s_moments(kind):
    torch.manual_seed(0)
    prior = {
        "standard": lambda: StandardNormal(2),
        "mixture": lambda: MixturePrior(5, 2),
        "vamp": lambda: VampPrior(torch.rand(6, 1, 2, 2)),
    }[kind]()
    axis = torch.linspace(-12, 12, 601)
    z = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    with torch.no_grad():
        density = prior.log_prob(z, encode).exp() * (axis[1] - axis[0]) ** 2
        drawn = prior.sample(100_000, encode, torch.Generator().manual_seed(0))
    assert density.sum().item() == pytest.approx(1, abs=1e-4)
    mean = (density[..., None] * z).sum((0, 1))
    covariance = torch.einsum("ij,ijk,ijl->kl", density, z - mean, z - mean)
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), covariance, atol=0.05, rtol=0.05)


def test_a_vamp_prior_is_the_mixture_of_its_pseudo_inputs_posteriors():
    pseudo = torch.rand(3, 1, 2, 2)
    mixture = VampPrior(pseudo).mixture(encode)
    mean, log_var = encode(pseudo)
    torch.testing.assert_close(mixture.mean, mean)
    torch.testing.assert_close(mixture.log_var, log_var)
    torch.testing.assert_close(mixture.log_weights.exp(), torch.full((3,), 1 / 3))
