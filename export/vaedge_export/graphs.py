"""Trace modules to ONNX graphs that contain nothing about the machine that traced them."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor, nn

from vaedge_export.errors import ExportError
from vaedge_export.networks import Array, Network

OPSET = 20
IR_VERSION = 10
_TRACE_BATCH_SIZE = 3  # torch.export treats the sizes 0 and 1 as constants
# Masks of the bits of a float32. A denormal number has an exponent of zero and a mantissa other than zero.
_EXPONENT, _MANTISSA = np.uint32(0x7F800000), np.uint32(0x007FFFFF)


class Graphs(NamedTuple):
    """The two graphs of one variant, serialized."""

    encoder: bytes
    decoder: bytes


class _AnyInputs(nn.Module):
    """A wrapper whose forward() takes any number of inputs.

    The argument `dynamic_shapes` of torch.export then has the same form for every module.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.train(module.training)

    def forward(self, *inputs: Tensor) -> Any:
        return self.module(*inputs)


def trace(network: Network, inputs: Mapping[str, Array], metadata: Mapping[str, str]) -> tuple[bytes, int]:
    """Trace a network to one self-contained graph with a free batch axis. The same network gives the same bytes.

    Args:
        network: The network.
        inputs: Dict from the name of each input to an (n, ...) array, n >= 3. The values are not used.
        metadata: Dict from key to text, which the graph stores as metadata.

    Returns:
        The serialized graph, and the number of denormal weights that were set to zero. Denormal weights have absolute
        values below 1.2e-38. Some CPUs compute with them a hundred times slower. Setting such a weight to zero changes
        a product by less than 1.2e-38 times the other factor.

    Raises:
        ExportError: torch cannot trace the network. `__cause__` is the exception of torch.
    """
    examples = tuple(torch.from_numpy(array[:_TRACE_BATCH_SIZE]) for array in inputs.values())
    try:
        with warnings.catch_warnings(), logging_off():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _AnyInputs(network.module),
                examples,
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(network.outputs),
                dynamic_shapes=(tuple({0: "batch"} for _ in inputs),),
                verbose=False,
            )
    except Exception as error:  # torch.export may raise almost any exception
        reason = str(error.__cause__ or error).strip() or repr(error)
        raise ExportError(
            f"torch cannot export the {network.name} ({type(network.module).__name__}): {reason.splitlines()[0]}"
        ) from error
    if program is None:
        raise ExportError(f"torch.onnx.export returned no graph for the {network.name}")
    # torch writes the source lines and paths of the module into every node.
    ClearMetadataAndDocStringPass()(program.model)
    for value in list(program.model.graph.initializers.values()):
        value.name = str(value.name).removeprefix("module.")  # _AnyInputs adds this prefix
    proto = program.model_proto
    flushed = _flush_denormals(proto)
    return serialize(proto, network.name, {**metadata, "graph": network.name}), flushed


def serialize(proto: onnx.ModelProto, name: str, metadata: Mapping[str, str]) -> bytes:
    """Remove the metadata that torch and the quantizers wrote into a graph, and serialize the graph.

    Args:
        proto: The graph, which is changed in place.
        name: Name of the graph.
        metadata: Dict from key to text, which the graph stores as metadata.
    """
    del proto.metadata_props[:], proto.graph.metadata_props[:], proto.graph.value_info[:]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    for tensor in proto.graph.initializer:  # the quantizers store some tensors as lists of numbers
        if not tensor.HasField("raw_data"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    proto.producer_name, proto.producer_version, proto.doc_string, proto.domain = "vaedge", "", "", ""
    proto.graph.name, proto.graph.doc_string, proto.ir_version = name, "", IR_VERSION
    onnx.helper.set_model_props(proto, dict(metadata))
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def with_fixed_batch(content: bytes, batch_size: int) -> bytes:
    """Return the same graph with a fixed batch size. Some engines other than ONNX Runtime require a fixed size."""
    proto = onnx.load_model_from_string(content)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch_size
    fixed: bytes = proto.SerializeToString(deterministic=True)
    return fixed


def _flush_denormals(proto: onnx.ModelProto) -> int:
    """Set denormal weights of a graph to zero, and return their number."""
    flushed = 0
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            weights = numpy_helper.to_array(tensor)
            bits = weights.view(np.uint32)  # comparing bits also works in a CPU mode that treats denormals as zero
            denormal = ((bits & _EXPONENT) == 0) & ((bits & _MANTISSA) != 0)
            if denormal.any():
                flushed += int(denormal.sum())
                tensor.CopyFrom(numpy_helper.from_array(np.where(denormal, np.float32(0), weights), tensor.name))
    return flushed


@contextmanager
def logging_off() -> Iterator[None]:
    """Suppress the log messages of torch and of ONNX Runtime's tools. Exceptions contain the same information."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
