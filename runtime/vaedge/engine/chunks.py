"""Run a batch of any size in chunks. Chunks limit the memory, and the results of a chunk fit into the CPU's caches."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray
from vaedge.engine.session import Graph
from vaedge.errors import InputError

# Maximum number of examples per run of a graph. It is large enough to use every thread well.
CHUNK = 512
# Maximum number of elements in the largest input or output of a run. With this limit, a run on large images takes some
# hundred megabytes at most.
_MAX_ELEMENTS = 2**22


def rows_per_run(graph: Graph) -> int:
    """Return the maximum number of examples in one run of the graph: CHUNK, or fewer if the examples are large."""
    return max(1, min(CHUNK, _MAX_ELEMENTS // graph.example_elements))


def run(
    graph: Graph, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str], out: FloatArray | None = None
) -> list[FloatArray]:
    """Run a graph on a batch of any size.

    Args:
        graph: The graph.
        inputs: Dict from the name of each input to an array of n rows.
        outputs: Names of the outputs to compute.
        out: Array that receives the first output. It is also the first array of the result, and may share memory with
            the inputs. None allocates a new array.

    Returns:
        One float32 array of n rows per output.

    Raises:
        InputError: `out` has a wrong shape or type, or is read-only.
        InferenceError: ONNX Runtime failed.
    """
    n = len(next(iter(inputs.values())))
    chunk = rows_per_run(graph)
    if out is None and n <= chunk:
        return graph.run(inputs, outputs)
    shapes = [(n, *graph.shapes[name]) for name in outputs]
    results = [as_output(out if index == 0 else None, shape) for index, shape in enumerate(shapes)]
    if n > chunk:  # writing one chunk of `out` could change a later chunk of an input
        inputs = without_overlap(inputs, out)
    for start in range(0, n, chunk):
        rows = slice(start, start + chunk)
        parts = graph.run({name: array[rows] for name, array in inputs.items()}, outputs)
        for result, part in zip(results, parts, strict=True):
            result[rows] = part
    return results


def as_output(out: FloatArray | None, shape: tuple[int, ...]) -> FloatArray:
    """Validate and return `out`. If `out` is None, return a new float32 array of shape `shape`.

    Raises:
        InputError: `out` has a wrong shape or type, or is read-only.
    """
    if out is None:
        return np.empty(shape, np.float32)
    is_array = isinstance(out, np.ndarray) and not isinstance(out, np.ma.MaskedArray)
    if not is_array or out.dtype != np.float32 or out.shape != shape or not out.flags.writeable:
        found = f"{out.dtype} {out.shape}" if is_array else type(out).__name__
        raise InputError(f"out is {found}; expected a writeable float32 array of shape {shape}")
    return out


def without_overlap(inputs: Mapping[str, npt.NDArray[Any]], out: FloatArray | None) -> Mapping[str, npt.NDArray[Any]]:
    """Return the inputs. Each input that shares memory with `out` is replaced by a copy."""
    if out is None:
        return inputs
    return {name: array.copy() if np.may_share_memory(array, out) else array for name, array in inputs.items()}
