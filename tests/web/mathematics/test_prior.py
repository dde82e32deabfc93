"""The prior p(z) and the posterior q(z|x) of the JavaScript runtime."""

import numpy as np
import pytest
from web.mathematics.helpers import npz, prior_arrays

from vaedge.distributions.posterior import Posterior
from vaedge.distributions.prior import Mixture, StandardNormal
from vaedge.errors import BundleError

UNIT = 2**53


def test_rows_of_a_sample_do_not_depend_on_their_number(calculate, mixture):
    options = {"prior": "mixture", "latentShape": [4, 5], "seed": 3}
    few = calculate("sample", prior_arrays(mixture), n=7, **options)["z"]
    many = calculate("sample", prior_arrays(mixture), n=100, **options)["z"]
    np.testing.assert_array_equal(few, many[:7])
    np.testing.assert_array_equal(many, mixture.sample(100, 3))


def test_component_is_the_first_with_a_larger_cumulative_weight(calculate):
    cumulative = np.int64([0, 5, 5, 2**52, UNIT])
    arrays = {
        "prior.mean": np.zeros((5, 1), np.float32),
        "prior.std": np.ones((5, 1), np.float32),
        "prior.cumulative": cumulative,
    }
    positions = np.int64([0, 4, 5, 6, 2**52 - 1, 2**52, UNIT - 1])
    found = calculate("components", arrays | {"positions": positions}, prior="mixture", latentShape=[1])
    np.testing.assert_array_equal(found["components"], np.searchsorted(cumulative, positions, side="right"))


def test_mixture_of_format_1_gives_the_same_latents(calculate):
    rng = np.random.default_rng(8)
    weights = rng.random(50)
    arrays = {
        "log_weights": np.log(weights / weights.sum()).astype(np.float32),
        "mean": rng.normal(0, 2, (50, 3)).astype(np.float32),
        "log_var": rng.normal(-2, 3, (50, 3)).astype(np.float32),
    }
    expected = Mixture.from_parameters(*arrays.values()).sample(1000, 0)
    files = {f"prior.{name}": array for name, array in arrays.items()}
    found = calculate("sample", files, prior="mixture", latentShape=[3], n=1000, seed=0)
    np.testing.assert_array_equal(found["z"], expected)


def test_log_prob_of_the_priors_agrees(calculate, mixture):
    z = np.random.default_rng(1).normal(0, 3, (200, 4, 5)).astype(np.float32)
    z[:3] = [[[0]], [[1e6]], [[-1e-30]]]
    for prior, arrays in ((StandardNormal((4, 5)), {}), (mixture, prior_arrays(mixture))):
        found = calculate("priorLogProb", {"z": z, **arrays}, prior=prior.name, latentShape=[4, 5])
        np.testing.assert_allclose(found["logProb"], prior.log_prob(z), rtol=1e-10)


def test_draw_from_the_posterior_has_the_bits_of_python(calculate):
    rng = np.random.default_rng(4)
    posterior = Posterior(
        rng.normal(0, 2, (1000, 2, 3)).astype(np.float32), rng.uniform(-30, 20, (1000, 2, 3)).astype(np.float32)
    )
    found = calculate("posterior", {"mean": posterior.mean, "log_var": posterior.log_var}, seed=9)
    np.testing.assert_array_equal(found["z"], posterior.sample(9))


INVALID_PRIORS = {
    "no file": dict.fromkeys(("mean", "std", "cumulative")),
    "missing array": {"std": None},
    "integers": {"mean": np.ones((2, 3), np.int64)},
    "float cumulative": {"cumulative": np.float32([0.5, 1])},
    "no latent axis": {"mean": np.ones(2, np.float32), "std": np.ones(2, np.float32)},
    "no components": {name: np.ones((0, 3), np.float32) for name in ("mean", "std")},
    "other shape of std": {"std": np.ones((2, 2), np.float32)},
    "other number of weights": {"cumulative": np.int64([1, 2, UNIT])},
    "NaN": {"mean": np.full((2, 3), np.nan, np.float32)},
    "large mean": {"mean": np.full((2, 3), -2e6, np.float32)},
    "std of zero": {"std": np.float32([[1, 1, 1], [1, 0, 1]])},
    "large std": {"std": np.full((2, 3), 1e22, np.float32)},
    "negative weight": {"cumulative": np.int64([-1, UNIT])},
    "decreasing weights": {"cumulative": np.int64([UNIT + 1, UNIT])},
    "weights below one": {"cumulative": np.int64([1, UNIT - 1])},
    "weights above one": {"cumulative": np.int64([1, UNIT + 1])},
    "other latents": {"mean": np.ones((2, 4), np.float32), "std": np.ones((2, 4), np.float32)},
    "format 1, sum": {"log_weights": np.float32([-1, -1]), "log_var": np.zeros((2, 3), np.float32)},
    "format 1, overflow": {"log_weights": np.float32([1e30, -1]), "log_var": np.zeros((2, 3), np.float32)},
    "format 1, large log_var": {"log_weights": np.float32([0, -90]), "log_var": np.full((2, 3), 101, np.float32)},
    "format 1, NaN": {"log_weights": np.float32([0, np.nan]), "log_var": np.zeros((2, 3), np.float32)},
    "format 1, shape": {"log_weights": np.float32([0]), "log_var": np.zeros((2, 3), np.float32)},
    "format 1, integers": {"log_weights": np.int64([0, 0]), "log_var": np.zeros((2, 3), np.float32)},
    "format 1, no log_var": {"log_weights": np.float32([0, -90])},
}


def test_invalid_priors_are_refused_with_the_messages_of_python(calculate_all):
    valid = {
        "mean": np.zeros((2, 3), np.float32),
        "std": np.ones((2, 3), np.float32),
        "cumulative": np.int64([1, UNIT]),
    }
    cases = [
        {name: array for name, array in (valid | case).items() if array is not None} for case in INVALID_PRIORS.values()
    ]
    options = {"prior": "mixture", "latentShape": [3], "n": 1, "seed": 0}
    found = calculate_all(
        "sample", [({f"prior.{name}": array for name, array in case.items()}, options) for case in cases]
    )
    for name, case, result in zip(INVALID_PRIORS, cases, found, strict=True):
        with pytest.raises(BundleError) as expected:
            Mixture.from_npz(npz(case) if case else None, (3,))
        assert result == {"error": "BundleError", "message": str(expected.value)}, name


def test_standard_normal_refuses_a_file(calculate, mixture):
    found = calculate("sample", prior_arrays(mixture), prior="standard_normal", latentShape=[4, 5], n=1, seed=0)
    assert found["error"] == "BundleError"
    assert "needs no file" in found["message"]
