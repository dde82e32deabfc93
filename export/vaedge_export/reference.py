"""The reference of each variant: inputs, expected outputs, and the tolerance of each output."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

import vaedge
from vaedge._check import outputs
from vaedge.bundle.reference import TOLERANCE_PREFIX, Inputs
from vaedge_export.graphs import Graphs
from vaedge_export.networks import Array
from vaedge_export.spec import Spec

REFERENCE_EXAMPLES = 8
# Tolerance of fp32, in standard deviations of a feature. A different CPU, number of threads or release of ONNX
# Runtime changes a result by at most a tenth of this tolerance.
_FP32_TOLERANCE = 1e-4
_STEPS = 255  # number of quantization steps in the range of an output
# A tolerance is at least this factor times the difference between ONNX Runtime and the reference on the exporting
# machine, because the difference can be larger on other machines.
_NOISE_FACTOR = 16
_ROUNDING = 8 * float(np.finfo(np.float32).eps)
_INPUTS = ("x", "z")


def reference_arrays(spec: Spec, examples: Inputs) -> dict[str, Array]:
    """Run the modules in PyTorch on examples.

    Returns:
        Dict from the name of each array in `reference.npz` to the array: the inputs, the conditions and the outputs.
    """
    encoder, decoder = (network.compute(network.inputs(examples)) for network in spec.networks)
    decoded = decoder.pop("x")
    return {"x": examples.x, **encoder, "z": examples.z, "decoded": decoded, **examples.conditions, **decoder}


def fp32_reference(arrays: Mapping[str, Array], vae: vaedge.VAE) -> bytes:
    """Return the content of `reference.npz`.

    Args:
        arrays: Result of `reference_arrays`.
        vae: The float32 graphs in ONNX Runtime. Each tolerance is larger than the difference between the output of the
            graphs and the output of the modules.
    """
    found = outputs(vae, arrays)
    tolerances = {
        name: _tolerance(arrays[name], array, _FP32_TOLERANCE * _reduce(np.std, arrays[name], name))
        for name, array in found.items()
    }
    return _npz(arrays, tolerances)


def variant_reference(arrays: Mapping[str, Array], vae: vaedge.VAE, graphs: Graphs) -> bytes:
    """Return the content of the reference file of a variant other than fp32.

    The reference evaluator of the package onnx computes the expected outputs. If a graph has operators that only ONNX
    Runtime implements, ONNX Runtime computes the expected outputs. All examples are in one batch, because the results
    of dynamic int8 depend on the batch. The tolerance of an output is one quantization step: 1/255 of the range of the
    output.

    Args:
        arrays: Result of `reference_arrays`. Only the inputs and the conditions are used.
        vae: The variant's graphs in ONNX Runtime.
        graphs: The variant's graphs.
    """
    inputs = {name: arrays[name] for name in (*_INPUTS, *vae.manifest.conditions)}
    found = outputs(vae, inputs)
    expected = found if any(map(_has_contrib_operators, graphs)) else _evaluate(graphs, inputs, vae.manifest)
    tolerances = {
        name: _tolerance(expected[name], array, _reduce(np.ptp, expected[name], name) / _STEPS)
        for name, array in found.items()
    }
    return _npz({**inputs, **expected}, tolerances)


def _evaluate(graphs: Graphs, inputs: Mapping[str, Array], manifest: vaedge.Manifest) -> dict[str, Array]:
    encoder, decoder = (ReferenceEvaluator(onnx.load_model_from_string(graph)) for graph in graphs)
    conditions = {name: inputs[name] for name in manifest.conditions}
    with np.errstate(all="ignore"):  # the evaluator's Sigmoid overflows in an intermediate result
        mean, log_var = encoder.run(None, {"x": inputs["x"], **conditions})
        decoded, *parameters = decoder.run(None, {"z": inputs["z"], **conditions})
    return {
        "mean": mean,
        "log_var": log_var,
        "decoded": decoded,
        **dict(zip(manifest.parameters, parameters, strict=True)),
    }


def _has_contrib_operators(graph: bytes) -> bool:
    return any(node.domain for node in onnx.load_model_from_string(graph).graph.node)


def _tolerance(expected: Array, found: Array, wanted: Array) -> Array:
    """Return the tolerance of an output: in each element, the larger one of `wanted` and a bound on rounding errors.

    Args:
        expected: The output in the reference, (n, ...).
        found: The output in ONNX Runtime on this machine, (n, ...).
        wanted: The minimum tolerance, an array that broadcasts to the output of one example.

    Returns:
        float32 array of the shape of `wanted`.
    """
    axes = tuple(axis for axis in range(expected.ndim) if axis == 0 or wanted.shape[axis - 1] == 1)
    noise = np.abs(found - expected).max(axes).reshape(wanted.shape)
    size = np.abs(expected).max(axes).reshape(wanted.shape)
    tiny = np.finfo(np.float32).tiny
    allowed: Array = np.maximum.reduce([wanted, _NOISE_FACTOR * noise, _ROUNDING * size, np.full_like(wanted, tiny)])
    return allowed


def _reduce(function: Any, array: Array, name: str) -> Array:
    """Apply a function to each group of elements that have the same scale, over all examples.

    All latents are one group. All pixels of a channel are one group. Each column of a table is a group.

    Args:
        function: A function such as numpy.std.
        array: (n, *shape).
        name: Name of the output.

    Returns:
        float32 array that broadcasts to the output of one example.
    """
    shape = array.shape[1:]
    kept = () if name in ("mean", "log_var") else (0,)
    axes = (0, *(axis + 1 for axis in range(len(shape)) if axis not in kept))
    result = np.asarray(function(array.astype(np.float64), axis=axes), np.float32)
    return result.reshape([size if axis in kept else 1 for axis, size in enumerate(shape)])


def _npz(arrays: Mapping[str, Array], tolerances: Mapping[str, Array]) -> bytes:
    content = io.BytesIO()
    named: dict[str, Any] = {**arrays, **{TOLERANCE_PREFIX + name: array for name, array in tolerances.items()}}
    np.savez_compressed(content, **named)
    return content.getvalue()
