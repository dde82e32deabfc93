"""How a batch of any size is run: in chunks, so that memory is bounded and what a chunk makes stays in the caches."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge.arrays import FloatArray, as_output
from vaedge.engine.session import Graph

# Items per run of a graph, and elements of its largest input or output: the first is large enough to use every thread
# well, the second keeps a run of large pictures within some hundred megabytes, whatever the network makes of them.
CHUNK = 512
_ELEMENTS = 2**22


def run(
    graph: Graph, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str], out: FloatArray | None = None
) -> list[FloatArray]:
    """Run a graph on a batch of any size.

    Args:
        graph: what to run.
        inputs: by name, each (n, *its shape).
        outputs: names of the outputs to compute.
        out: the caller's array for the first output, to write into and return; it may overlap the inputs.

    Returns:
        One float32 array per output, (n, *its shape).

    Raises:
        InputError: `out` has another shape or type, or cannot be written.
        InferenceError: ONNX Runtime failed.
    """
    n = len(next(iter(inputs.values())))
    chunk = max(1, min(CHUNK, _ELEMENTS // graph.item_elements))
    if out is None and n <= chunk:
        return graph.run(inputs, outputs)
    shapes = [(n, *graph.shapes[name]) for name in outputs]
    results = [as_output(out if index == 0 else None, shape) for index, shape in enumerate(shapes)]
    if n > chunk:  # writing one chunk of `out` could change a later chunk of an input
        inputs = {name: array.copy() if _overlap(array, out) else array for name, array in inputs.items()}
    for start in range(0, n, chunk):
        rows = slice(start, start + chunk)
        for result, part in zip(
            results, graph.run({name: a[rows] for name, a in inputs.items()}, outputs), strict=True
        ):
            result[rows] = part
    return results


def _overlap(array: npt.NDArray[Any], out: FloatArray | None) -> bool:
    return out is not None and np.may_share_memory(array, out)
