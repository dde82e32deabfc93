"""A float32 graph -> the same graph in fewer bits."""

import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from vaedge.engine.onnxruntime import import_onnxruntime
from vaedge_export.examples import Array
from vaedge_export.graphs import logging_off

# Of a layer's input channels, by their greatest value: the ones above are scaled down to it. One scale for a whole
# tensor of activations is set by its few largest channels, and the many small ones then share a handful of levels.
_OUTLIERS = 0.9
_BLOCK = 32  # weights that share a scale in 4 bits

Quantize = Callable[[bytes, Mapping[str, Array], Collection[str]], onnx.ModelProto]


def layers(content: bytes) -> dict[str, int]:
    """Return the layers that can be kept in float32: their names, and how many weights each has."""
    model = _with_matmuls(onnx.load_model_from_string(content))
    weights = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    return {
        node.name: weights[node.input[1]]
        for node in model.graph.node
        if node.op_type in ("MatMul", "Conv") and node.input[1] in weights
    }


def to_int8(content: bytes, inputs: Mapping[str, Array], keep: Collection[str]) -> onnx.ModelProto:
    """Quantise to 8 bits, weights per channel and signed.

    A graph of matrix products takes its activations' scales from each batch (dynamic), after the channels that stand
    out were levelled (the idea of SmoothQuant, Xiao et al. 2023, for outliers only); one with convolutions takes them
    from the inputs given here (static, as QDQ), for that is what their kernels are made for.

    Args:
        content: the float32 graph.
        inputs: rows to calibrate on, by name.
        keep: names of the layers to leave in float32.
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
                _reader(inputs),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv", "MatMul"],
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                nodes_to_exclude=list(keep),
            )
        else:
            quantize_dynamic(
                _levelled(model, inputs, keep),
                target,
                op_types_to_quantize=["MatMul"],
                weight_type=QuantType.QInt8,
                per_channel=True,
                nodes_to_exclude=list(keep),
                extra_options={"MatMulConstBOnly": True},
            )
        return onnx.load(target)


def to_int4(content: bytes, inputs: Mapping[str, Array], keep: Collection[str]) -> onnx.ModelProto:
    """Store the weights of matrix products in 4 bits, 32 to a scale; they are multiplied as they come."""
    del inputs
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    model = _with_matmuls(onnx.load_model_from_string(content))
    how = DefaultWeightOnlyQuantConfig(block_size=_BLOCK, is_symmetric=True, accuracy_level=4, bits=4)
    with logging_off():
        quantizer = MatMulNBitsQuantizer(model, algo_config=how, nodes_to_exclude=list(keep))
        quantizer.process()
    result: onnx.ModelProto = quantizer.model.model
    return result


def to_fp16(content: bytes, inputs: Mapping[str, Array], keep: Collection[str]) -> onnx.ModelProto:
    """Compute in half precision, with float32 inputs and outputs: for CUDA, and for half the size."""
    del inputs, keep
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with logging_off():
        half = ONNXModel(convert_float_to_float16(onnx.load_model_from_string(content), keep_io_types=True))
        half.topological_sort()  # its casts come last
    result: onnx.ModelProto = half.model
    return result


QUANTIZERS: Mapping[str, Quantize] = {"fp16": to_fp16, "int8": to_int8, "int4": to_int4}


def _with_matmuls(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write each Gemm as MatMul and Add, which is what the quantisers know."""
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
    return next((helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)


def _levelled(model: onnx.ModelProto, inputs: Mapping[str, Array], keep: Collection[str]) -> onnx.ModelProto:
    """Divide the channels that stand out by what they exceed the others, and multiply their weights by it."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    products = {
        node.name: node.input[0]
        for node in model.graph.node
        if node.op_type == "MatMul" and node.name not in keep and node.input[1] in weights
    }
    found = _activations(model, inputs, set(products.values()) - inputs.keys())
    nodes = []
    for node in model.graph.node:
        if node.name in products and node.input[0] in found:
            greatest = np.abs(found[node.input[0]]).max(0)
            level = np.quantile(greatest, _OUTLIERS)
            factor = np.maximum(greatest / level, 1).astype(np.float32) if level > 0 else np.ones_like(greatest)
            if (factor > 1).any():
                weight = weights[node.input[1]]
                scaled = numpy_helper.to_array(weight) * factor[:, None]
                weight.CopyFrom(numpy_helper.from_array(scaled, weight.name))
                model.graph.initializer.append(numpy_helper.from_array(1 / factor, f"{node.name}_level"))
                level_inputs, levelled = [node.input[0], f"{node.name}_level"], f"{node.name}_levelled"
                nodes.append(helper.make_node("Mul", level_inputs, [levelled], name=levelled))
                node.input[0] = levelled
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _activations(model: onnx.ModelProto, inputs: Mapping[str, Array], names: Collection[str]) -> dict[str, Array]:
    """Return what these tensors hold when the graph runs, those of rank 2 and of floating type."""
    if not names:
        return {}
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    chosen = sorted(names)
    probe.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in chosen)
    session = import_onnxruntime().InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    values = dict(zip(chosen, session.run(chosen, dict(inputs)), strict=True))
    return {name: array for name, array in values.items() if array.ndim == 2}


def _reader(inputs: Mapping[str, Array]) -> Any:
    """Give the rows to the static quantiser, one batch after another."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            size = len(next(iter(inputs.values())))
            self._batches = iter(
                {name: array[start : start + 32] for name, array in inputs.items()} for start in range(0, size, 32)
            )

        def get_next(self) -> dict[str, Array] | None:
            return next(self._batches, None)

    return Reader()
