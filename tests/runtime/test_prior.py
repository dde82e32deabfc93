"""Mixture priors: sampled as they were trained, and refused when they are none."""

import hashlib

import numpy as np
import pytest

import vaedge
from vaedge.prior import Mixture, StandardNormal

WEIGHTS = np.array([0.2, 0.5, 0.3])


@pytest.fixture
def mixture():
    rng = np.random.default_rng(0)
    mean, log_var = (rng.standard_normal((3, 2)).astype(np.float32) for _ in range(2))
    return Mixture(np.log(WEIGHTS).astype(np.float32), mean * 3, log_var - 1)


def test_samples_have_its_moments(mixture):
    z = mixture.sample(200_000, seed=0)
    assert z.dtype == np.float32
    mean = WEIGHTS @ mixture.mean
    second = WEIGHTS @ (np.exp(mixture.log_var) + mixture.mean**2)
    np.testing.assert_allclose(z.mean(0), mean, atol=0.05)
    np.testing.assert_allclose(z.var(0), second - mean**2, rtol=0.02)


def test_the_components_are_chosen_by_their_weights(mixture):
    sharp = Mixture(mixture.log_weights, mixture.mean, np.full_like(mixture.log_var, -30))
    z = sharp.sample(100_000, seed=1)
    nearest = np.abs(z[:, None] - mixture.mean).sum(2).argmin(1)
    np.testing.assert_allclose(np.bincount(nearest) / len(z), WEIGHTS, atol=0.01)


@pytest.mark.parametrize("kind", ["mixture", "standard normal"])
def test_the_same_seed_gives_the_same_z_and_the_first_do_not_depend_on_the_number(mixture, kind):
    prior = mixture if kind == "mixture" else StandardNormal((2,))
    np.testing.assert_array_equal(prior.sample(100, seed=3)[:10], prior.sample(10, seed=3))
    assert not np.array_equal(prior.sample(10, seed=3), prior.sample(10, seed=4))
    assert not np.array_equal(prior.sample(10, None), prior.sample(10, None))


def test_it_reads_back_as_it_was_written(mixture):
    again = Mixture.from_npz(mixture.to_npz(), (2,))
    for name in ("log_weights", "mean", "log_var"):
        np.testing.assert_array_equal(getattr(again, name), getattr(mixture, name))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"log_weights": np.zeros(3, np.float32)}, "do not sum to one"),
        ({"log_weights": np.log(WEIGHTS)}, "float32"),
        ({"log_weights": np.zeros((), np.float32)}, "no mixture"),
        ({"mean": np.zeros((3, 3), np.float32)}, "no mixture over"),
        ({"mean": np.zeros((2, 2), np.float32)}, "no mixture over"),
        ({"log_var": np.full((3, 2), np.nan, np.float32)}, "log_var holds NaN"),
        ({"mean": np.full((3, 2), 1e7, np.float32)}, "mean holds .*beyond"),
        ({"log_weights": np.full(3, np.nan, np.float32)}, "do not sum to one"),
    ],
)
def test_arrays_that_are_no_mixture(mixture, change, says):
    with pytest.raises(vaedge.BundleError, match=says):
        Mixture.from_npz(Mixture(**{**vars(mixture), **change}).to_npz(), (2,))


def test_a_file_that_is_no_archive():
    with pytest.raises(vaedge.BundleError, match="not an archive"):
        Mixture.from_npz(b"nothing", (2,))


@pytest.fixture
def with_mixture(copied, edit_manifest):
    """The shipped bundle with a prior of one narrow component far from zero."""
    prior = Mixture(np.zeros(1, np.float32), np.full((1, 20), 2, np.float32), np.full((1, 20), -30, np.float32))
    content = prior.to_npz()
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


def test_a_prior_that_was_altered(with_mixture):
    content = (with_mixture / "own_prior.npz").read_bytes()
    (with_mixture / "own_prior.npz").write_bytes(content[:-1] + b"x")
    with pytest.raises(vaedge.BundleError, match=r"own_prior.npz.*sha256 differs"):
        vaedge.load(with_mixture)


def test_a_prior_that_this_version_does_not_know(edit_manifest):
    with pytest.raises(vaedge.BundleError, match=r"prior.name is \"uniform\"; expected one of standard_normal"):
        vaedge.load(edit_manifest(lambda tree: tree.update(prior={"name": "uniform"})))
