"""How a batch of any size is cut, so that memory is bounded."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge.arrays import FloatArray

# Items per run of a graph: bounds memory for any batch, and is large enough to use every thread well.
CHUNK = 512


def chunks(n: int) -> Iterator[slice]:
    """Cut n items into slices of at most CHUNK."""
    return (slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))


def rows_of(arrays: Mapping[str, npt.NDArray[Any]], rows: slice) -> dict[str, npt.NDArray[Any]]:
    """Return these rows of every array, without a copy."""
    return {name: array[rows] for name, array in arrays.items()}


def apart(array: FloatArray, out: FloatArray | None) -> FloatArray:
    """Return the input, copied if writing a chunk of `out` could change a later chunk of it."""
    overlaps = isinstance(out, np.ndarray) and len(array) > CHUNK and np.may_share_memory(array, out)
    return array.copy() if overlaps else array
