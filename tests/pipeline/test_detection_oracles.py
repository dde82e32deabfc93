"""Detection agrees with scipy and with a plain computation in PyTorch."""

from pathlib import Path

import numpy as np
import torch
from scipy.stats import gaussian_kde, ks_2samp

import vaedge
from vaedge.detection.calibration import Calibration
from vaedge.detection.score import Score
from vaedge.detection.terms import Terms

MODELS = Path(__file__).parents[2] / "models"


def test_score_is_the_kernel_density_estimate_of_scipy():
    rng = np.random.default_rng(0)
    distortion = rng.normal(100, 20, 70)
    points = np.stack([distortion, 30 + 0.2 * distortion + rng.normal(0, 2, 70)], 1).astype(np.float32)
    fitted, examples = points[:50], points[50:].astype(np.float64)
    # The last factor corrects the covariance: scipy divides by m - 1, and vaedge divides by m.
    kernel = gaussian_kde(fitted.T.astype(np.float64), bw_method=50 ** (-1 / 6) * np.sqrt(49 / 50))
    peak = 1 / (2 * np.pi * np.sqrt(np.linalg.det(kernel.covariance)))
    expected = -np.log(kernel(examples.T) / peak)
    np.testing.assert_allclose(Score(fitted)(Terms(*examples.T)), expected, rtol=1e-4, atol=1e-5)


def test_calibration_and_evaluation_scores_have_one_distribution():
    rng = np.random.default_rng(0)
    terms = Terms(rng.gamma(4, 20, 2000), rng.normal(30, 5, 2000))
    found = Calibration.fit(terms, np.zeros((400, 1), np.float32), "00" * 32, 0)
    assert ks_2samp(found.scores, found.evaluation).pvalue > 0.01


def test_terms_agree_with_torch_distributions():
    """The test uses the mixture prior and the Bernoulli likelihood of models/mnist, at z = the posterior mean."""
    vae = vaedge.load(MODELS / "mnist")
    x = (vae.sample(32, seed=1) > 0.5).astype(np.float32)
    q = vae.encode(x)
    z = torch.from_numpy(q.mean).double()
    logits = torch.from_numpy(vae.parameters(q.mean)["logits"]).double()
    bernoulli = torch.distributions.Bernoulli(logits=logits)
    posterior = torch.distributions.Normal(z, torch.from_numpy(q.log_var).double().mul(0.5).exp())
    mean, std = (torch.from_numpy(part.astype(np.float64)) for part in (vae.prior.mean, vae.prior.std))
    weights = torch.from_numpy(np.diff(vae.prior.cumulative, prepend=0) / 2**53)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(weights),
        torch.distributions.Independent(torch.distributions.Normal(mean, std), 1),
    )
    distortion = -bernoulli.log_prob(torch.from_numpy(x).double()).flatten(1).sum(1)
    rate = posterior.log_prob(z).sum(1) - mixture.log_prob(z)
    calibration = vae.calibrate(np.concatenate([x] * 2))
    found = vae._terms(x, {})
    np.testing.assert_allclose(found.distortion, distortion, rtol=1e-5)
    np.testing.assert_allclose(found.rate, rate, rtol=1e-5)
    np.testing.assert_allclose(found.bound, -(distortion + rate), rtol=1e-5)
    assert np.isin(calibration.score.points[:, 0], np.float32(found.distortion)).all()
