"""Draw the random numbers of the runtime.

The graphs are deterministic. All random numbers are drawn here, so a seed gives the same latents on every device.

Normals are drawn in float64 and rounded once to float32. numpy's float32 generator calls `log1pf` of the C library,
whose last bit differs between C libraries. In float64 such a difference changes the rounded value with a probability
below 2e-12.
"""

import numpy as np

from vaedge._types import FloatArray
from vaedge.errors import InputError

_BLOCK = 2**16  # number of float64 values to draw at once; the temporary array then stays in the cache


def standard_normal(shape: tuple[int, ...], seed: int | None) -> FloatArray:
    """Draw N(0, 1) noise: `numpy.random.default_rng(seed).standard_normal(shape).astype(numpy.float32)`.

    The values are drawn row by row, so the first rows do not depend on the number of rows.

    Args:
        shape: Shape of the result, with the batch axis first.
        seed: A non-negative integer, or None for fresh entropy.

    Returns:
        float32 array of shape `shape`.

    Raises:
        InputError: The seed is not a non-negative integer.
    """
    return draw_normals(generator(seed), shape)


def draw_normals(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Draw the next N(0, 1) values of a stream in float64, and round each value to float32.

    Args:
        rng: The stream, from `generator`.
        shape: Shape of the result.

    Returns:
        float32 array of shape `shape`.
    """
    normals = np.empty(shape, np.float32)
    flat = normals.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        block[:] = rng.standard_normal(block.size)
    return normals


def generator(seed: int | None) -> np.random.Generator:
    """Return `numpy.random.default_rng(seed)`. Successive draws continue one stream.

    Raises:
        InputError: The seed is not a non-negative integer.
    """
    return np.random.default_rng(_checked(seed))


def second_generator(seed: int | None) -> np.random.Generator:
    """Return `numpy.random.default_rng((seed, 1))`. This stream is independent of the stream of `generator(seed)`.

    Raises:
        InputError: The seed is not a non-negative integer.
    """
    return _further_generator(seed, 1)


def third_generator(seed: int | None) -> np.random.Generator:
    """Return `numpy.random.default_rng((seed, 2))`, the stream of draws from p(x|z).

    This stream is independent of the first and the second stream.

    Raises:
        InputError: The seed is not a non-negative integer.
    """
    return _further_generator(seed, 2)


def _further_generator(seed: int | None, stream: int) -> np.random.Generator:
    checked = _checked(seed)
    return np.random.default_rng(None if checked is None else (checked, stream))


def _checked(seed: int | None) -> int | None:
    if seed is not None and (not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0):
        raise InputError(f"seed is {seed!r}; expected a non-negative integer, or None for fresh entropy")
    return seed
