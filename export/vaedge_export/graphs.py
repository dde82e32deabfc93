"""torch modules -> the bytes of ONNX graphs, with nothing in them of the machine that traced them."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor, nn

from vaedge_export.errors import ExportError
from vaedge_export.examples import Array
from vaedge_train.model.likelihoods import Likelihood

OPSET = 20
IR_VERSION = 10
_TRACE_BATCH = 3  # sizes 0 and 1 are special to torch.export, which would freeze them
_SMALLEST_NORMAL = np.finfo(np.float32).tiny


class DecoderWithMean(nn.Module):
    """A decoder's parameters of p(x|z), with the mean of p(x|z) in front of them."""

    def __init__(self, decoder: nn.Module, likelihood: Likelihood) -> None:
        """Wrap a decoder.

        Args:
            decoder: z -> the likelihood's parameters, a tensor or a tuple of them.
            likelihood: p(x|z), which says how the mean follows.
        """
        super().__init__()
        self.decoder = decoder
        self.likelihood = likelihood
        self.train(decoder.training)

    def forward(self, z: Tensor, *conditions: Tensor) -> tuple[Tensor, ...]:
        """Return the mean of p(x|z), then its parameters, each (n, *input_shape), for z (n, *latent_shape)."""
        parameters = self.decoder(z, *conditions)
        parameters = (parameters,) if isinstance(parameters, Tensor) else tuple(parameters)
        return (self.likelihood.mean(*parameters), *parameters)


class _AnyInputs(nn.Module):
    """A module as torch.export wants it, which takes the signature for how free axes are nested: one for all."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.train(module.training)

    def forward(self, *inputs: Tensor) -> Any:
        return self.module(*inputs)


def trace(
    module: nn.Module, name: str, inputs: Mapping[str, Array], output_names: Sequence[str], metadata: Mapping[str, str]
) -> tuple[bytes, int]:
    """Export a module as one self-contained graph whose batch is free; the same module gives the same bytes.

    Args:
        module: batches -> one or several tensors.
        name: of the graph.
        inputs: a batch for each input, by name, of at least 3 items; only types and shapes matter.
        output_names: names of the outputs, in order.
        metadata: what the file says of itself.

    Returns:
        The serialised graph, and how many denormal weights (below 1.2e-38) were set to zero: they make some
        processors a hundred times slower, and no result differs that a float32 could tell.

    Raises:
        ExportError: torch cannot trace the module; its own error is the cause.
    """
    examples = tuple(torch.from_numpy(array[:_TRACE_BATCH]) for array in inputs.values())
    try:
        with warnings.catch_warnings(), logging_off():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _AnyInputs(module),
                examples,
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(output_names),
                dynamic_shapes=(tuple({0: "batch"} for _ in inputs),),
                verbose=False,
            )
    except Exception as error:  # torch.export raises of everything
        said = str(error.__cause__ or error).strip() or repr(error)
        raise ExportError(
            f"torch cannot export the {name} ({type(module).__name__}): {said.splitlines()[0]}"
        ) from error
    if program is None:
        raise ExportError(f"torch exported nothing for the {name}")
    # torch writes the source lines and paths of the module into every node.
    ClearMetadataAndDocStringPass()(program.model)
    for value in list(program.model.graph.initializers.values()):
        value.name = str(value.name).removeprefix("module.")  # which is what _AnyInputs calls it
    proto = program.model_proto
    flushed = _flush_denormals(proto)
    return serialize(proto, name, metadata), flushed


def serialize(proto: onnx.ModelProto, name: str, metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a graph after removing what tools have written into it of themselves."""
    del proto.metadata_props[:], proto.graph.metadata_props[:], proto.graph.value_info[:]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    for tensor in proto.graph.initializer:  # the quantisers store some as lists of numbers: plain bytes, all of them
        if not tensor.HasField("raw_data"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    proto.producer_name, proto.producer_version, proto.doc_string, proto.domain = "vaedge", "", "", ""
    proto.graph.name, proto.graph.doc_string, proto.ir_version = name, "", IR_VERSION
    onnx.helper.set_model_props(proto, dict(metadata))
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def with_fixed_batch(content: bytes, batch: int) -> bytes:
    """Return the same graph for batches of one size, which some engines outside of ONNX Runtime ask for."""
    proto = onnx.load_model_from_string(content)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    fixed: bytes = proto.SerializeToString(deterministic=True)
    return fixed


def _flush_denormals(proto: onnx.ModelProto) -> int:
    flushed = 0
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            weights = numpy_helper.to_array(tensor)
            denormal = (np.abs(weights) < _SMALLEST_NORMAL) & (weights != 0)
            if denormal.any():
                flushed += int(denormal.sum())
                tensor.CopyFrom(numpy_helper.from_array(np.where(denormal, np.float32(0), weights), tensor.name))
    return flushed


@contextmanager
def logging_off() -> Iterator[None]:
    """Keep torch and ONNX Runtime's tools from logging what the exception will say."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
