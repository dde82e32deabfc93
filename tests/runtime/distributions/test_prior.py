"""Samples of mixture priors follow the trained parameters, and invalid mixtures are refused."""

import hashlib
import io
import math
from statistics import NormalDist

import numpy as np
import pytest

import vaedge
from vaedge.distributions.prior import Mixture, StandardNormal, read_prior

WEIGHTS = np.array([0.2, 0.5, 0.3])


@pytest.fixture
def parameters():
    rng = np.random.default_rng(0)
    mean, log_var = (rng.standard_normal((3, 2)).astype(np.float32) for _ in range(2))
    return {"log_weights": np.log(WEIGHTS).astype(np.float32), "mean": mean * 3, "log_var": log_var - 1}


@pytest.fixture
def mixture(parameters):
    return Mixture.from_parameters(**parameters)


def test_samples_have_the_moments_of_the_mixture(mixture, parameters):
    z = mixture.sample(200_000, seed=0)
    assert z.dtype == np.float32
    mean = WEIGHTS @ mixture.mean
    second = WEIGHTS @ (np.exp(parameters["log_var"]) + mixture.mean**2)
    np.testing.assert_allclose(z.mean(0), mean, atol=0.05)
    np.testing.assert_allclose(z.var(0), second - mean**2, rtol=0.02)


def test_draws_are_the_documented_formula(mixture):
    """`default_rng((seed, 1))` chooses the components, and `default_rng(seed)` draws the noise."""
    position = np.random.default_rng((6, 1)).random(50)
    chosen = [int((value >= mixture.cumulative / 2**53).sum()) for value in position]
    noise = np.random.default_rng(6).standard_normal((50, 2)).astype(np.float32)
    expected = mixture.mean[chosen] + mixture.std[chosen] * noise
    np.testing.assert_array_equal(mixture.sample(50, seed=6), expected)


def test_components_are_chosen_by_their_weights(parameters):
    narrow = {**parameters, "log_var": np.full_like(parameters["log_var"], -30)}
    z = Mixture.from_parameters(**narrow).sample(100_000, seed=1)
    nearest = np.abs(z[:, None] - parameters["mean"]).sum(2).argmin(1)
    np.testing.assert_allclose(np.bincount(nearest) / len(z), WEIGHTS, atol=0.01)


@pytest.mark.parametrize("kind", ["mixture", "standard normal"])
def test_same_seed_gives_same_z_and_first_rows_do_not_depend_on_n(mixture, kind):
    prior = mixture if kind == "mixture" else StandardNormal((2,))
    np.testing.assert_array_equal(prior.sample(100, seed=3)[:10], prior.sample(10, seed=3))
    assert not np.array_equal(prior.sample(10, seed=3), prior.sample(10, seed=4))
    assert not np.array_equal(prior.sample(10, None), prior.sample(10, None))


def test_density_is_that_of_the_parameters(mixture, parameters):
    """`log_prob` agrees with the definition of a mixture's density, computed in float64."""
    z = np.random.default_rng(2).standard_normal((50, 2)).astype(np.float32) * 4
    std = np.exp(parameters["log_var"].astype(float) / 2)
    squares = ((z[:, None] - parameters["mean"]) / std) ** 2
    densities = np.exp(-0.5 * squares).prod(2) / (2 * np.pi * std.prod(1))
    np.testing.assert_allclose(mixture.log_prob(z), np.log(densities @ WEIGHTS), rtol=1e-5)


def test_component_of_weight_zero_is_never_drawn():
    cumulative = np.array([0, 2**53], np.int64)
    mixture = Mixture(np.array([[-9], [9]], np.float32), np.ones((2, 1), np.float32), cumulative)
    z = mixture.sample(10_000, seed=0)
    assert z.min() > 0
    expected = -0.5 * ((z[:, 0].astype(float) - 9) ** 2 + np.log(2 * np.pi))
    np.testing.assert_allclose(mixture.log_prob(z), expected, rtol=1e-6)


def test_archive_reads_back_as_it_was_written(mixture):
    again = Mixture.from_npz(mixture.to_npz(), (2,))
    for name in ("mean", "std", "cumulative"):
        np.testing.assert_array_equal(getattr(again, name), getattr(mixture, name))


def test_archive_of_format_1_gives_the_same_mixture(mixture, parameters):
    content = io.BytesIO()
    np.savez_compressed(content, **parameters)
    again = Mixture.from_npz(content.getvalue(), (2,))
    np.testing.assert_array_equal(again.sample(100, 0), mixture.sample(100, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_weights": np.zeros(3, np.float32)}, "do not sum to one"),
        ({"log_weights": np.log(WEIGHTS)}, "must be float32"),
        ({"log_weights": np.zeros((), np.float32)}, "log_weights have the shape"),
        ({"log_weights": np.zeros(2, np.float32)}, "log_weights have the shape"),
        ({"mean": np.zeros((3, 3), np.float32)}, "the prior.s arrays have the shapes"),
        ({"log_var": np.full((3, 2), np.nan, np.float32)}, "log_var holds NaN"),
        ({"mean": np.full((3, 2), 1e7, np.float32)}, "mean holds .*above"),
        ({"log_weights": np.full(3, np.nan, np.float32)}, "do not sum to one"),
    ],
)
def test_invalid_parameters_are_refused(parameters, change, message):
    with pytest.raises(vaedge.BundleError, match=message):
        Mixture.from_parameters(**{**parameters, **change})


@pytest.mark.parametrize("excess", [-9e-5, 0, 9e-5])
def test_weights_are_normalized_within_the_tolerance(parameters, excess):
    weights = WEIGHTS * (1 + excess)
    mixture = Mixture.from_parameters(**{**parameters, "log_weights": np.log(weights).astype(np.float32)})
    assert mixture.cumulative[-1] == 2**53
    np.testing.assert_allclose(mixture.cumulative / 2**53, np.cumsum(WEIGHTS), atol=1e-6)


@pytest.mark.parametrize("excess", [-2e-4, 2e-4])
def test_weights_beyond_the_tolerance_are_refused(parameters, excess):
    weights = WEIGHTS * (1 + excess)
    with pytest.raises(vaedge.BundleError, match="do not sum to one"):
        Mixture.from_parameters(**{**parameters, "log_weights": np.log(weights).astype(np.float32)})


@pytest.mark.parametrize("log_var", [-100, 100])
def test_log_var_is_limited(parameters, log_var):
    limit = {**parameters, "log_var": np.full((3, 2), log_var, np.float32)}
    np.testing.assert_allclose(Mixture.from_parameters(**limit).std, np.exp(log_var / 2), rtol=1e-6)
    with pytest.raises(vaedge.BundleError, match="log_var holds NaN, or absolute values above 100"):
        Mixture.from_parameters(**{**limit, "log_var": np.nextafter(limit["log_var"], np.float32(2 * log_var))})


@pytest.mark.parametrize("value", [-1e6, 1e6])
def test_mean_is_limited(mixture, value):
    mean = np.full((3, 2), value, np.float32)
    assert Mixture(mean, mixture.std, mixture.cumulative).mean is mean
    with pytest.raises(vaedge.BundleError, match=r"mean holds NaN, or absolute values above 1e\+06"):
        Mixture(np.nextafter(mean, np.float32(2 * value)), mixture.std, mixture.cumulative)


@pytest.mark.parametrize("cumulative", [[0, 0, 2**53], [0, 2**53, 2**53], [2**53] * 3, [1, 2, 2**53]])
def test_cumulative_weights_may_be_equal(mixture, cumulative):
    assert Mixture(mixture.mean, mixture.std, np.array(cumulative, np.int64)).sample(3, 0).shape == (3, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"std": np.full((3, 2), -1, np.float32)}, "std holds"),
        ({"std": np.full((3, 2), np.nan, np.float32)}, "std holds"),
        ({"std": np.full((3, 2), 1e22, np.float32)}, "std holds"),
        ({"std": np.ones((3, 1), np.float32)}, "the prior.s arrays have the shapes"),
        ({"mean": np.ones((3, 2))}, "must be float32"),
        ({"cumulative": np.array([-1, 0, 2**53], np.int64)}, "never decrease"),
        ({"cumulative": np.array([0, 1, 2**53 - 1], np.int64)}, "never decrease"),
        ({"cumulative": np.array([0, 2**53 + 1, 2**53], np.int64)}, "never decrease"),
        ({"cumulative": np.array([2, 1, 2**53], np.int64)}, "never decrease"),
        ({"std": np.zeros((3, 2), np.float32)}, "std holds"),
        ({"std": np.ones((3, 2))}, "must be float32"),
        ({"cumulative": np.array([1, 2, 3], np.int64)}, "never decrease"),
        ({"cumulative": np.array([2**53, 0, 2**53], np.int64)}, "never decrease"),
        ({"cumulative": np.array([2**52, 2**53], np.int64)}, "the prior.s arrays have the shapes"),
        ({"cumulative": np.array([0, 0, 2**53], float)}, "cumulative must be int64"),
    ],
)
def test_invalid_constants_are_refused(mixture, change, message):
    constants = {name: getattr(mixture, name) for name in ("mean", "std", "cumulative")}
    with pytest.raises(vaedge.BundleError, match=message):
        Mixture(**{**constants, **change})


def test_archive_of_another_latent_shape_is_refused(mixture):
    with pytest.raises(vaedge.BundleError, match=r"expected one mean of shape \(3,\) per component"):
        Mixture.from_npz(mixture.to_npz(), (3,))


def test_archive_without_an_array_is_refused(mixture):
    content = io.BytesIO()
    np.savez(content, mean=mixture.mean, std=mixture.std)
    with pytest.raises(vaedge.BundleError, match="the prior has no array 'cumulative'"):
        Mixture.from_npz(content.getvalue(), (2,))


def test_prior_is_read_by_its_name(mixture):
    assert read_prior("standard_normal", None, (3,)) == StandardNormal((3,))
    assert StandardNormal((3,)).to_npz() is None
    again = read_prior("mixture", mixture.to_npz(), (2,))
    assert (again.name, StandardNormal.name) == ("mixture", "standard_normal")
    np.testing.assert_array_equal(again.sample(10, 0), mixture.sample(10, 0))


def test_prior_with_the_wrong_file_is_refused(mixture):
    with pytest.raises(vaedge.BundleError, match="standard_normal needs no file of constants"):
        read_prior("standard_normal", mixture.to_npz(), (2,))
    with pytest.raises(vaedge.BundleError, match="mixture needs a file of constants"):
        read_prior("mixture", None, (2,))


def test_standard_normal_density_is_that_of_independent_normals():
    z = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    expected = [sum(math.log(NormalDist().pdf(float(value))) for value in row.ravel()) for row in z]
    np.testing.assert_allclose(StandardNormal((2, 3)).log_prob(z), expected, rtol=1e-12)


def test_file_that_is_not_an_archive_is_refused():
    with pytest.raises(vaedge.BundleError, match="not an archive"):
        Mixture.from_npz(b"nothing", (2,))


@pytest.fixture
def with_mixture(copied, edit_manifest):
    """A copy of the bundle. Its prior is a mixture with a single narrow component far from zero."""
    mean, log_var = np.full((1, 20), 2, np.float32), np.full((1, 20), -30, np.float32)
    content = Mixture.from_parameters(np.zeros(1, np.float32), mean, log_var).to_npz()
    (copied / "own_prior.npz").write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

    def change(tree):
        tree["prior"] = {"name": "mixture", "file": "own_prior.npz"}
        tree["files"]["own_prior.npz"] = entry

    return edit_manifest(change)


def test_sampling_a_bundle_draws_from_its_prior(with_mixture):
    vae = vaedge.load(with_mixture)
    expected = vae.decode(np.full((3, 20), 2, np.float32))
    np.testing.assert_allclose(vae.sample(3, seed=0), expected, atol=1e-4)


def test_altered_prior_is_refused(with_mixture):
    content = (with_mixture / "own_prior.npz").read_bytes()
    (with_mixture / "own_prior.npz").write_bytes(content[:-1] + b"x")
    with pytest.raises(vaedge.BundleError, match=r"own_prior.npz.*SHA-256 differs"):
        vaedge.load(with_mixture)
