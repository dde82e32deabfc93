"""A seed gives the same latents on every machine. On one machine, fp32 results do not depend on the batch."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vaedge
import vaedge.engine.chunks
from vaedge.distributions.prior import Mixture, StandardNormal

# Digests of latents. numpy 1.26 and 2.4 draw the same latents, with and without vector instructions. If a later release
# of numpy changes the random numbers, bundles give different samples, and these tests fail.
SAMPLES = "8c2df77beb90efccbd20cc21fe18199e5bae2c24313fa1a2dc0f72b64b6d0a84"
NORMALS = "da69446c02edb9a4bf092168d07f6460046013571c6c980e17e59014c0606f42"
POSTERIOR = "a178ea6efcc4dac585ff50aa05a7c55a9611961487a131116282b593dc4ae1eb"


def digest(latents):
    return hashlib.sha256(latents.astype("<f4").tobytes()).hexdigest()


def exact_grid(seed, *shape):
    """Return random float32 numbers from -4 to 4 that have the same bits on every machine."""
    integers = np.random.default_rng(seed).integers(-(2**22), 2**22, shape)
    return (integers / 2**20).astype(np.float32)


def digests():
    mean, std = exact_grid(1, 50, 40), np.abs(exact_grid(2, 50, 40)) + np.float32(0.5)
    cumulative = np.sort(np.random.default_rng(3).integers(0, 2**53, 50))
    cumulative[-1] = 2**53
    samples = Mixture(mean, std, cumulative).sample(25_000, 0)
    normals = StandardNormal((40,)).sample(25_000, 0)
    posterior = vaedge.Posterior(exact_grid(4, 5_000, 20), exact_grid(5, 5_000, 20) * 2).sample(0)
    return [digest(samples), digest(normals), digest(posterior)]


def test_latents_for_a_seed_are_frozen():
    assert digests() == [SAMPLES, NORMALS, POSTERIOR]


def test_latents_do_not_depend_on_vector_instructions():
    try:
        from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
    except ImportError:  # numpy 1
        from numpy.core._multiarray_umath import __cpu_dispatch__, __cpu_features__
    disabled = " ".join(name for name in __cpu_dispatch__ if __cpu_features__.get(name))
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import test_determinism as t; print(*t.digests())"
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": disabled}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.stdout.split() == [SAMPLES, NORMALS, POSTERIOR], result.stderr


def test_mixture_draws_are_frozen():
    half = np.log(np.array([0.5, 0.5], np.float32))
    mean, log_var = np.array([[0], [100]], np.float32), np.zeros((2, 1), np.float32)
    z = Mixture.from_parameters(half, mean, log_var).sample(8, 2026)
    frozen = [-0.79312247, 100.24057, 98.1036758, 101.395775, 100.638298, -0.292047471, -0.311949342, 0.303835362]
    np.testing.assert_array_equal(z[:, 0], np.array(frozen, np.float32))


@pytest.fixture(scope="module")
def many():
    return np.random.default_rng(0).random((600, 1, 28, 28), np.float32)


@pytest.mark.parametrize("model", ["article", "mnist"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_fp32_results_do_not_depend_on_threads_batch_or_chunks(bundle, many, monkeypatch, model, threads):
    vae = vaedge.load(bundle.parent / model, threads=threads)
    expected = vaedge.load(bundle.parent / model).reconstruct(many)
    np.testing.assert_array_equal(vae.reconstruct(many), expected)
    for size in (1, 7, 64):
        parts = [vae.reconstruct(many[start : start + size]) for start in range(0, 128, size)]
        np.testing.assert_array_equal(np.concatenate(parts)[:128], expected[:128])
    monkeypatch.setattr(vaedge.engine.chunks, "CHUNK", 37)
    np.testing.assert_array_equal(vae.reconstruct(many), expected)


@pytest.mark.parametrize("model", ["article", "mnist"])
def test_int8_results_do_not_depend_on_the_threads(bundle, many, model):
    """The number of threads does not change int8 results.

    The batch may change int8 results, because the scales of the activations depend on all examples of the batch.
    """
    expected = vaedge.load(bundle.parent / model, variant="int8", threads=1).reconstruct(many)
    for threads in (2, 3):
        vae = vaedge.load(bundle.parent / model, variant="int8", threads=threads)
        np.testing.assert_array_equal(vae.reconstruct(many), expected)
