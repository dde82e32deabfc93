"""Random numbers depend only on the seed."""

import numpy as np
import pytest

import vaedge
from vaedge.distributions import random
from vaedge.distributions.random import draw_normals, generator, second_generator, standard_normal


@pytest.mark.parametrize("shape", [(1,), (2, 3), (2**16 - 1,), (2**16,), (2**16 + 1,), (3, 2**16)])
def test_noise_is_the_documented_stream(shape):
    expected = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    found = standard_normal(shape, 5)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_noise_is_frozen():
    frozen = [
        [0.1257302165031433, -0.13210485875606537, 0.6404226422309875],
        [0.10490011423826218, -0.5356693863868713, 0.3615950644016266],
    ]
    np.testing.assert_array_equal(standard_normal((2, 3), seed=0), np.array(frozen, np.float32))


@pytest.mark.parametrize("block", [1, 7, 100, 101])
def test_size_of_the_blocks_does_not_change_the_noise(monkeypatch, block):
    expected = standard_normal((10, 10), 0)
    monkeypatch.setattr(random, "_BLOCK", block)
    np.testing.assert_array_equal(standard_normal((10, 10), 0), expected)


def test_draws_continue_one_stream():
    rng = generator(3)
    parts = [draw_normals(rng, (n, 2)) for n in (1, 5, 4)]
    np.testing.assert_array_equal(np.concatenate(parts), standard_normal((10, 2), 3))


def test_second_stream_is_the_documented_one():
    expected = np.random.default_rng((3, 1)).random(4)
    np.testing.assert_array_equal(second_generator(3).random(4), expected)
    assert not np.array_equal(generator(3).random(4), expected)
    assert not np.array_equal(second_generator(None).random(4), second_generator(None).random(4))


@pytest.mark.parametrize("make", [generator, second_generator, lambda seed: standard_normal((1,), seed)])
@pytest.mark.parametrize("seed", [-1, 0.5, "zero", True, [1]])
def test_invalid_seed_is_refused(make, seed):
    with pytest.raises(vaedge.InputError, match="seed is .*; expected a non-negative integer, or None"):
        make(seed)


@pytest.mark.parametrize("seed", [0, 2**64, np.int64(7), np.uint8(255)])
def test_non_negative_integers_are_seeds(seed):
    np.testing.assert_array_equal(standard_normal((3,), seed), standard_normal((3,), int(seed)))
