"""Diagonal Gaussians over z agree with torch.distributions."""

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from vaedge_train.model.gaussian import gaussian_log_prob, kl_to_standard_normal, reparameterize


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def posterior(mean, log_var):
    return Independent(Normal(mean, (0.5 * log_var).exp()), 1)


def test_reparameterize_scales_by_the_standard_deviation():
    """The standard deviation is exp(log_var / 2), because log_var is log sigma^2, not log sigma."""
    log_var = torch.tensor([[-2.0, 0.0, 1.5]], dtype=torch.float64)
    mean = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    z = reparameterize(mean, log_var, torch.ones(1, 1, 3, dtype=torch.float64))
    torch.testing.assert_close(z[0], mean + log_var.exp().sqrt())
    assert torch.equal(reparameterize(mean, log_var, torch.zeros(4, 1, 3)), mean.expand(4, 1, 3))


def test_log_prob_is_that_of_torch_distributions():
    mean, log_var, z = noise(5, 4), noise(5, 4, seed=1), noise(3, 5, 4, seed=2)
    torch.testing.assert_close(gaussian_log_prob(z, mean, log_var), posterior(mean, log_var).log_prob(z))


def test_kl_is_that_of_torch_distributions():
    mean, log_var = 3 * noise(5, 4), 2 * noise(5, 4, seed=1)
    standard = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    expected = kl_divergence(posterior(mean, log_var), standard)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_var), expected)
    torch.testing.assert_close(
        kl_to_standard_normal(mean.float(), log_var.float()).double(), expected, rtol=1e-5, atol=1e-6
    )


def test_kl_is_zero_at_the_prior():
    assert kl_to_standard_normal(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0


def test_kl_is_never_negative():
    log_var = torch.tensor([[-1e-4], [-1e-7], [1e-7], [1e-4]])
    assert (kl_to_standard_normal(torch.zeros(4, 1), log_var) >= 0).all()
    assert (kl_to_standard_normal(3 * noise(1000, 8), 3 * noise(1000, 8, seed=1)) >= 0).all()


def test_kl_is_summed_over_latents_not_averaged():
    mean, log_var = noise(2, 3), noise(2, 3, seed=1)
    twice = kl_to_standard_normal(mean.repeat(1, 2), log_var.repeat(1, 2))
    torch.testing.assert_close(twice, 2 * kl_to_standard_normal(mean, log_var))


@pytest.mark.parametrize("log_var", [-30.0, 20.0])
def test_results_are_finite_at_the_limits_of_log_var(log_var):
    mean, spread = torch.ones(1, 2), torch.full((1, 2), log_var)
    assert kl_to_standard_normal(mean, spread).isfinite().all()
    assert gaussian_log_prob(mean, mean, spread).isfinite().all()
