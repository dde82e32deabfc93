"""The same seed gives the same latents everywhere; the same machine gives the same bits, however the work is cut up."""

import numpy as np
import pytest

import vaedge
import vaedge.engine.chunks
from vaedge.prior import Mixture


def test_the_draws_of_a_mixture_are_frozen():
    """numpy promises no stream for ever: should it change, bundles would no longer reproduce, and this says so."""
    half = np.log(np.array([0.5, 0.5], np.float32))
    frozen = [-1.56583214, 100.067123, 100.053268, 99.1248245, 99.0610733, 1.15702653, 0.115582176, -0.486794829]
    z = Mixture(half, np.array([[0], [100]], np.float32), np.zeros((2, 1), np.float32)).sample(8, 2026)
    np.testing.assert_array_equal(z[:, 0], np.array(frozen, np.float32))


@pytest.fixture(scope="module")
def many():
    return np.random.default_rng(0).random((600, 1, 28, 28), np.float32)


@pytest.mark.parametrize("model", ["article", "mnist"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_fp32_is_the_same_whatever_the_threads_the_batch_and_the_chunks(bundle, many, monkeypatch, model, threads):
    vae = vaedge.load(bundle.parent / model, threads=threads)
    expected = vaedge.load(bundle.parent / model).reconstruct(many)
    np.testing.assert_array_equal(vae.reconstruct(many), expected)
    for size in (1, 7, 64):
        pieces = [vae.reconstruct(many[start : start + size]) for start in range(0, 128, size)]
        np.testing.assert_array_equal(np.concatenate(pieces)[:128], expected[:128])
    monkeypatch.setattr(vaedge.engine.chunks, "CHUNK", 37)
    np.testing.assert_array_equal(vae.reconstruct(many), expected)


@pytest.mark.parametrize("model", ["article", "mnist"])
def test_int8_is_the_same_whatever_the_threads(bundle, many, model):
    """But not whatever the batch: its products without convolutions are scaled by the greatest value in the batch."""
    expected = vaedge.load(bundle.parent / model, variant="int8", threads=1).reconstruct(many)
    for threads in (2, 3):
        vae = vaedge.load(bundle.parent / model, variant="int8", threads=threads)
        np.testing.assert_array_equal(vae.reconstruct(many), expected)
