"""The JavaScript runtime draws the same random numbers as numpy, bit by bit."""

import hashlib
import math

import numpy as np
import pytest
from web.mathematics.helpers import prior_arrays

from vaedge.distributions.prior import StandardNormal

SEEDS = [0, 1, 2, 1234, 2**32 - 1, 2**32, 2**64 - 1, 2**64, 2**128 + 5, 123456789012345678901234567890]


def test_tables_agree_with_an_independent_computation(calculate):
    """The layers of the ziggurat algorithm have equal areas (Marsaglia & Tsang 2000), and the tail begins at r."""
    r = 3.6541528853610088

    def density(x):
        return math.exp(-x * x / 2)

    area = r * density(r) + math.sqrt(math.pi / 2) * math.erfc(r / math.sqrt(2))
    widths = [r]
    while len(widths) < 255:
        widths.insert(0, math.sqrt(-2 * math.log(area / widths[0] + density(widths[0]))))
    assert widths[0] * (1 - density(widths[0])) == pytest.approx(area)
    found = calculate("tables")
    np.testing.assert_allclose(found["w"] * 2**52, [area / density(r), *widths], rtol=1e-12)
    np.testing.assert_allclose(found["f"], [1, *map(density, widths)], rtol=1e-12)
    ratios = [r / (area / density(r)), 0, *np.divide(widths[:-1], widths[1:])]
    np.testing.assert_allclose(found["k"] / 2**52, ratios, rtol=1e-12)


def test_latents_have_the_bits_of_numpy(calculate, mixture):
    """For each seed and prior, 10^6 latent values have the same SHA-256 in JavaScript and in Python."""
    priors = {"standard_normal": (StandardNormal((4, 5)), {}), "mixture": (mixture, prior_arrays(mixture))}
    for name, (prior, arrays) in priors.items():
        options = {"prior": name, "latentShape": [4, 5], "n": 50_000, "seeds": list(map(str, SEEDS))}
        found = calculate("hashes", arrays, **options)["sha256"]
        assert found == [hashlib.sha256(prior.sample(50_000, seed).tobytes()).hexdigest() for seed in SEEDS]


def test_uniform_numbers_of_three_streams_have_the_bits_of_numpy(calculate_all):
    found = calculate_all("uniform", [({}, {"seed": str(seed), "n": 10_000}) for seed in SEEDS])
    for seed, streams in zip(SEEDS, found, strict=True):
        for name, entropy in (("first", seed), ("second", (seed, 1)), ("third", (seed, 2))):
            np.testing.assert_array_equal(streams[name], np.random.default_rng(entropy).random(10_000))


def test_seed_null_gives_fresh_numbers(calculate_all):
    found = calculate_all("uniform", [({}, {"seed": None, "n": 100})] * 2)
    numbers = np.concatenate([stream for streams in found for stream in streams.values()])
    assert len(np.unique(numbers)) == 600


def test_invalid_seeds_are_refused(calculate_all):
    found = calculate_all("uniform", [({}, {"seed": seed, "n": 1}) for seed in (-1, 1.5, "x", "-3", True)])
    assert [result.get("error") for result in found] == ["InputError"] * 5
