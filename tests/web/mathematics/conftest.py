"""Fixtures for tests of random numbers, priors, likelihoods, bounds and detection in JavaScript.

Python computes the expected values, and the script `calculate.mjs` computes the values of JavaScript.
"""

import json

import numpy as np
import pytest

from vaedge.distributions.prior import Mixture


@pytest.fixture
def calculate_all(node, tmp_path):
    """Return a function that takes the name of a function of `calculate.mjs`, and a list of pairs (arrays, options).

    It calls the function with each pair, and returns the results.
    """

    def run(function, calls):
        folders = [tmp_path / str(number) for number in range(len(calls))]
        for folder, (arrays, options) in zip(folders, calls, strict=True):
            write(folder, arrays, options)
        results = json.loads(node("mathematics/calculate.mjs", function, *folders))
        return [
            {name: read(folder / f"{name}.out", value) for name, value in result.items()}
            for folder, result in zip(folders, results, strict=True)
        ]

    def write(folder, arrays, options):
        folder.mkdir(exist_ok=True)
        for name, array in arrays.items():
            (folder / f"{name}.bin").write_bytes(np.ascontiguousarray(array).tobytes())
        types = {name: {"dtype": array.dtype.name, "shape": array.shape} for name, array in arrays.items()}
        (folder / "arguments.json").write_text(json.dumps({"options": options, "types": types}))

    def read(path, value):
        is_array = isinstance(value, dict)
        return np.fromfile(path, value["dtype"]).reshape(value["shape"]) if is_array else value

    return run


@pytest.fixture
def calculate(calculate_all):
    """Return a function that calls one function of `calculate.mjs` once, and returns its results."""

    def run(function, arrays=None, **options):
        return calculate_all(function, [(arrays or {}, options)])[0]

    return run


@pytest.fixture(scope="module")
def mixture():
    """A mixture prior with five components, one of which has the weight 0."""
    rng = np.random.default_rng(5)
    log_weights = np.log(np.float32([0.1, 0.3, 1e-45, 0.15, 0.45]))
    mean = rng.normal(0, 3, (5, 4, 5)).astype(np.float32)
    found = Mixture.from_parameters(log_weights, mean, rng.normal(-1, 2, mean.shape).astype(np.float32))
    assert (np.diff(found.cumulative) == 0).any()
    return found
