"""All of the runtime's randomness: the graphs are pure, so the same seed gives the same noise on every device."""

import numpy as np

from vaedge.arrays import FloatArray
from vaedge.errors import InputError


def standard_normal(shape: tuple[int, ...], seed: int | None) -> FloatArray:
    """Draw N(0, 1) noise: exactly `numpy.random.default_rng(seed).standard_normal(shape, numpy.float32)`.

    The stream runs row by row, so the first m rows do not depend on how many rows follow.

    Args:
        shape: of the result; the batch axis first.
        seed: a non-negative whole number, or None for fresh entropy.

    Returns:
        float32 array of that shape.

    Raises:
        InputError: the seed is not a non-negative whole number.
    """
    return generator(seed).standard_normal(shape, dtype=np.float32)


def generator(seed: int | None) -> np.random.Generator:
    """Return `numpy.random.default_rng(seed)`, whose draws continue one stream.

    Raises:
        InputError: the seed is not a non-negative whole number.
    """
    return np.random.default_rng(_checked(seed))


def second_generator(seed: int | None) -> np.random.Generator:
    """Return `numpy.random.default_rng((seed, 1))`: another stream than the normal noise of the same seed.

    Raises:
        InputError: the seed is not a non-negative whole number.
    """
    checked = _checked(seed)
    return np.random.default_rng(None if checked is None else (checked, 1))


def _checked(seed: int | None) -> int | None:
    if seed is not None and (not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0):
        raise InputError(f"seed is {seed!r}; expected a non-negative whole number, or None for a fresh draw")
    return seed
