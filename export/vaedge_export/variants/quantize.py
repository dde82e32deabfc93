"""Convert a float32 graph to a variant: the same graph, whose numbers have fewer bits.

To add a variant, write its quantizer and add it to QUANTIZERS. All other modules read the names of the variants from
QUANTIZERS.
"""

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from vaedge.engine.onnxruntime import import_onnxruntime
from vaedge_export.graphs import logging_off
from vaedge_export.networks import Array

# If the maximum of a channel exceeds this quantile of the maxima of all channels, the channel is scaled down to the
# quantile. A tensor of activations has only one scale, so a few large channels would leave few quantization steps for
# the other channels.
_OUTLIERS = 0.9
_BLOCK = 32  # number of 4-bit weights that share a scale
_CALIBRATION_BATCH_SIZE = 32

# Arguments: the serialized float32 graph, a dict from the name of each input to examples, and the names of the layers
# to keep in float32. Result: the converted graph.
Quantize = Callable[[bytes, Mapping[str, Array], Collection[str]], onnx.ModelProto]


def layers(content: bytes) -> dict[str, int]:
    """Return the layers that can be kept in float32, as a dict from their names to their numbers of weights.

    Args:
        content: The serialized float32 graph.
    """
    model = _with_matmuls(onnx.load_model_from_string(content))
    weights = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    return {
        node.name: weights[node.input[1]]
        for node in model.graph.node
        if node.op_type in ("MatMul", "Conv") and node.input[1] in weights
    }


def to_int8(content: bytes, inputs: Mapping[str, Array], keep: Collection[str]) -> onnx.ModelProto:
    """Quantize to 8 bits, with signed weights and one scale per channel.

    A graph of matrix products is quantized dynamically: it computes the scales of its activations from each batch.
    First, the channels that `outlier_factors` finds in the activations are scaled down, as in SmoothQuant (Xiao et al.
    2023).

    A graph with convolutions is quantized statically: the scales of its activations come from the given examples. The
    graph has the QDQ format, for which ONNX Runtime has fast kernels.

    Args:
        content: The serialized float32 graph.
        inputs: Dict from the name of each input to (n, ...) examples, on which activations are measured.
        keep: Names of the layers to keep in float32.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

    model = _with_matmuls(onnx.load_model_from_string(content))
    static = any(node.op_type == "Conv" for node in model.graph.node)
    with tempfile.TemporaryDirectory() as folder, logging_off():
        target = Path(folder) / "graph.onnx"
        if static:
            quantize_static(
                model,
                target,
                _calibration_reader(inputs),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv", "MatMul"],
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                nodes_to_exclude=list(keep),
            )
        else:
            quantize_dynamic(
                _scale_outliers_down(model, inputs, keep),
                target,
                op_types_to_quantize=["MatMul"],
                weight_type=QuantType.QInt8,
                per_channel=True,
                nodes_to_exclude=list(keep),
                extra_options={"MatMulConstBOnly": True},
            )
        return onnx.load(target)


def to_int4(content: bytes, inputs: Mapping[str, Array], keep: Collection[str]) -> onnx.ModelProto:
    """Store the weights of matrix products in 4 bits, with one scale for each block of 32 weights.

    Args:
        content: The serialized float32 graph.
        inputs: Not used.
        keep: Names of the layers to keep in float32.
    """
    del inputs
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    model = _with_matmuls(onnx.load_model_from_string(content))
    config = DefaultWeightOnlyQuantConfig(block_size=_BLOCK, is_symmetric=True, accuracy_level=4, bits=4)
    with logging_off():
        quantizer = MatMulNBitsQuantizer(model, algo_config=config, nodes_to_exclude=list(keep))
        quantizer.process()
    result: onnx.ModelProto = quantizer.model.model
    return result


def to_fp16(content: bytes, inputs: Mapping[str, Array], keep: Collection[str]) -> onnx.ModelProto:
    """Convert a graph to half precision, except its inputs and outputs. The result is half as large, and fast on CUDA.

    Args:
        content: The serialized float32 graph.
        inputs: Not used.
        keep: Not used.
    """
    del inputs, keep
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with logging_off():
        half = ONNXModel(convert_float_to_float16(onnx.load_model_from_string(content), keep_io_types=True))
        half.topological_sort()  # the converter appends Cast nodes at the end, which is an invalid order
    result: onnx.ModelProto = half.model
    return result


@dataclass(frozen=True)
class Quantizer:
    """The conversion of float32 graphs to a variant.

    Attributes:
        quantize: Function that converts a graph.
        can_keep_layers: Whether the function can keep some layers in float32.
    """

    quantize: Quantize
    can_keep_layers: bool


QUANTIZERS: Mapping[str, Quantizer] = {
    "fp16": Quantizer(to_fp16, can_keep_layers=False),
    "int8": Quantizer(to_int8, can_keep_layers=True),
    "int4": Quantizer(to_int4, can_keep_layers=True),
}


def _with_matmuls(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace each Gemm by MatMul and Add, because the quantizers do not support Gemm."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Gemm" or node.input[1] not in weights or not _is_plain(node):
            nodes.append(node)
            continue
        x, weight, *bias = node.input
        tensor = weights[weight]
        if _attribute(node, "transB"):
            transposed = np.ascontiguousarray(numpy_helper.to_array(tensor).T)
            tensor.CopyFrom(numpy_helper.from_array(transposed, weight))
        product = f"{node.output[0]}_product" if bias else node.output[0]
        nodes.append(helper.make_node("MatMul", [x, weight], [product], name=node.name))
        if bias:
            nodes.append(helper.make_node("Add", [product, *bias], list(node.output), name=f"{node.name}_bias"))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _is_plain(node: onnx.NodeProto) -> bool:
    return _attribute(node, "alpha", 1) == 1 and _attribute(node, "beta", 1) == 1 and not _attribute(node, "transA")


def _attribute(node: onnx.NodeProto, name: str, default: float = 0) -> Any:
    values = (helper.get_attribute_value(attribute) for attribute in node.attribute if attribute.name == name)
    return next(values, default)


def _scale_outliers_down(model: onnx.ModelProto, inputs: Mapping[str, Array], keep: Collection[str]) -> onnx.ModelProto:
    """Divide outlier channels of the activations by factors, and multiply the matching weights by the same factors."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    products = {
        node.name: node.input[0]
        for node in model.graph.node
        if node.op_type == "MatMul" and node.name not in keep and node.input[1] in weights
    }
    activations = _activations(model, inputs, set(products.values()) - inputs.keys())
    nodes = []
    for node in model.graph.node:
        if node.name in products and node.input[0] in activations:
            factor = outlier_factors(activations[node.input[0]])
            if (factor > 1).any():
                weight = weights[node.input[1]]
                multiplied = numpy_helper.to_array(weight) * factor[:, None]
                weight.CopyFrom(numpy_helper.from_array(multiplied, weight.name))
                model.graph.initializer.append(numpy_helper.from_array(1 / factor, f"{node.name}_scale"))
                scaled = f"{node.name}_scaled"
                nodes.append(helper.make_node("Mul", [node.input[0], f"{node.name}_scale"], [scaled], name=scaled))
                node.input[0] = scaled
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def outlier_factors(activations: Array) -> Array:
    """Return the factor by which to divide each channel of the activations.

    An outlier is a channel whose maximum exceeds the 90th percentile of the maxima of all channels. The factor of an
    outlier is its maximum divided by this percentile. The factor of all other channels is 1.

    Args:
        activations: (n, channels) float32.

    Returns:
        (channels,) float32.
    """
    largest = np.abs(activations).max(0)
    limit = np.quantile(largest, _OUTLIERS)
    if limit <= 0:
        return np.ones_like(largest)
    factors: Array = np.maximum(largest / limit, 1).astype(np.float32)
    return factors


def _activations(model: onnx.ModelProto, inputs: Mapping[str, Array], names: Collection[str]) -> dict[str, Array]:
    """Run the graph, and return a dict from name to value for the named tensors that have two axes."""
    if not names:
        return {}
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    chosen = sorted(names)
    probe.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in chosen)
    session = import_onnxruntime().InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    values = dict(zip(chosen, session.run(chosen, dict(inputs)), strict=True))
    return {name: array for name, array in values.items() if array.ndim == 2}


def _calibration_reader(inputs: Mapping[str, Array]) -> Any:
    """Return an object from which the static quantizer of ONNX Runtime reads the examples in batches."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            n = len(next(iter(inputs.values())))
            self._batches = iter(
                {name: array[start : start + _CALIBRATION_BATCH_SIZE] for name, array in inputs.items()}
                for start in range(0, n, _CALIBRATION_BATCH_SIZE)
            )

        def get_next(self) -> dict[str, Array] | None:
            return next(self._batches, None)

    return Reader()
