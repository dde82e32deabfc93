"""Choose kernels that compute exact products of 8-bit integers.

On x86 CPUs without VNNI instructions, ONNX Runtime's default kernels add pairs of 8-bit products in 16 bits. The sums
saturate: on such a CPU, the ELBO of a model was 0.3 to 1 nat per example lower than the exporter had measured. The
session option `session.x64quantprecision` selects exact kernels on these CPUs.

On CPUs with VNNI the default kernels are exact, and the option makes products about twice as slow. Therefore this
module tests the default kernels once, on operands whose sums can saturate. Sessions use the option only if the result
of the test is wrong.
"""

import functools

import numpy as np

from vaedge.bundle import protobuf
from vaedge.engine.forks import no_fork
from vaedge.engine.onnxruntime import import_onnxruntime

_ROWS = (1, 4, 64)  # the kernels for one row and for several rows differ
_DEPTH, _COLUMNS = 64, 32
_LEFT, _RIGHT = 255, 127  # the sum of two products 255 * 127 exceeds the 16-bit range
_UINT8, _INT8, _INT32 = 2, 3, 6  # element types of onnx.proto


def has_int8_products(graph: bytes) -> bool:
    """Return whether a serialized graph quantizes its activations to 8 bits."""
    return b"QuantizeLinear" in graph


def int8_kernels() -> str:
    """Return "default" or "x64quantprecision", the name of the 8-bit kernels that sessions use on this CPU."""
    return "default" if default_kernels_are_exact() else "x64quantprecision"


@functools.cache
def default_kernels_are_exact() -> bool:
    """Return whether ONNX Runtime's default 8-bit kernels compute exact products on this CPU.

    The first call in a process tests the kernels in about 5 milliseconds. Later calls return the same result.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with no_fork():
        session = ort.InferenceSession(_probe(), options, providers=["CPUExecutionProvider"])
        products = [session.run(None, {"a": np.full((rows, _DEPTH), _LEFT, np.uint8)})[0] for rows in _ROWS]
        del session
    return all(bool((product == _DEPTH * _LEFT * _RIGHT).all()) for product in products)


def _probe() -> bytes:
    """Return a serialized ONNX model that multiplies an 8-bit matrix by a constant 8-bit matrix."""
    tensor = b"".join(
        (
            protobuf.varint_field(1, _DEPTH),
            protobuf.varint_field(1, _COLUMNS),
            protobuf.varint_field(2, _INT8),
            protobuf.bytes_field(8, b"b"),
            protobuf.bytes_field(9, bytes([_RIGHT]) * (_DEPTH * _COLUMNS)),
        )
    )
    node = (
        protobuf.bytes_field(1, b"a")
        + protobuf.bytes_field(1, b"b")
        + protobuf.bytes_field(2, b"c")
        + protobuf.bytes_field(4, b"MatMulInteger")
    )
    graph = b"".join(
        (
            protobuf.bytes_field(1, node),
            protobuf.bytes_field(2, b"probe"),
            protobuf.bytes_field(5, tensor),
            protobuf.bytes_field(11, _value_info(b"a", _UINT8)),
            protobuf.bytes_field(12, _value_info(b"c", _INT32)),
        )
    )
    opset = protobuf.bytes_field(1, b"") + protobuf.varint_field(2, 20)
    return protobuf.varint_field(1, 10) + protobuf.bytes_field(7, graph) + protobuf.bytes_field(8, opset)


def _value_info(name: bytes, element_type: int) -> bytes:
    """Return the serialized declaration of an input or output that is a matrix of any size."""
    shape = protobuf.bytes_field(2, 2 * protobuf.bytes_field(1, b""))
    return protobuf.bytes_field(1, name) + protobuf.bytes_field(
        2, protobuf.bytes_field(1, protobuf.varint_field(1, element_type) + shape)
    )
