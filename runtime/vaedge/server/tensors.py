"""Read tensors of the Open Inference Protocol from JSON or bytes into numpy arrays."""

import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vaedge.server.responses import invalid

Array = npt.NDArray[Any]

# Dict from the name of each datatype to its numpy type. Binary data is little-endian.
_DTYPES = {
    name: np.dtype(code)
    for name, code in {
        "BOOL": "?",
        "UINT8": "u1",
        "UINT16": "<u2",
        "INT32": "<i4",
        "INT64": "<i8",
        "FP16": "<f2",
        "FP32": "<f4",
        "FP64": "<f8",
    }.items()
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
# Dict from each kind of numpy type to the Python types that elements of JSON data may have.
_JSON_TYPES: dict[str, set[type]] = {"b": {bool}, "u": {int}, "i": {int}, "f": {int, float}}
_MAX_AXES = 16


class BinaryTensor(NamedTuple):
    """A tensor whose data follows the JSON in the body.

    Attributes:
        name: Name of the input.
        dtype: Type of the elements. None means texts, which the protocol calls BYTES.
        shape: Shape of the tensor.
        elements: Number of elements.
        size: Size of the data in bytes.
    """

    name: str
    dtype: np.dtype[Any] | None
    shape: list[int]
    elements: int
    size: int


def binary_tensor(name: str, datatype: Any, shape: Any, size: Any) -> BinaryTensor:
    """Validate the description of a binary tensor.

    Raises:
        RequestError: The datatype, the shape, or the size is wrong.
    """
    count = _count(name, shape)
    if type(size) is not int or size < 0:
        raise invalid(f"{name}: binary_data_size is {_shown(size)}; expected an integer of at least 0")
    if datatype == "BYTES":
        return BinaryTensor(name, None, shape, count, size)
    dtype = _dtype(name, datatype)
    if size != count * dtype.itemsize:
        expected = count * dtype.itemsize
        raise invalid(f"{name}: binary_data_size is {size}; {datatype} of shape {shape} has {expected} bytes")
    return BinaryTensor(name, dtype, shape, count, size)


def from_bytes(tensor: BinaryTensor, body: bytes, start: int) -> Array:
    """Return the tensor whose data starts at the byte `start` of the body. If possible, it shares the body's memory.

    Raises:
        RequestError: The body is too short, or the data of a tensor of texts is invalid.
    """
    name, dtype, shape, elements, size = tensor
    if size > len(body) - start:
        raise invalid(
            f"{name}: binary_data_size is {size}, but only {len(body) - start} bytes of the body are left; correct "
            "this size"
        )
    if dtype is None:
        return _texts(name, _elements(name, body[start : start + size], elements), shape)
    array = np.frombuffer(body, dtype, elements, start).reshape(shape)
    return array if array.flags.aligned else array.copy()


def from_json(name: str, datatype: Any, shape: Any, data: Any) -> Array:
    """Return the tensor of a JSON array, which may be flat or nested.

    Raises:
        RequestError: The datatype, the shape, or the data is wrong.
    """
    count = _count(name, shape)
    if type(data) is not list:
        raise invalid(f"{name}: data is {_shown(data)}; expected an array")
    # With the type `object`, numpy converts nothing, and keeps nested arrays of different lengths as lists.
    array = np.array(data, object)
    if array.size != count:
        raise invalid(f"{name}: data has {array.size} elements; the shape {shape} needs {count}")
    elements = array.ravel().tolist()
    if datatype == "BYTES":
        return _texts(name, elements, shape)
    dtype = _dtype(name, datatype)
    if not set(map(type, elements)) <= _JSON_TYPES[dtype.kind]:
        raise invalid(f"{name}: data must consist of values of the datatype {datatype}")
    try:
        with np.errstate(over="ignore"):  # an overflow becomes infinity, which the model refuses
            if dtype.kind in "iu":
                limits = np.iinfo(dtype)
                if elements and not limits.min <= min(elements) <= max(elements) <= limits.max:
                    raise OverflowError
            return np.array(elements, dtype).reshape(shape)
    except OverflowError as error:
        raise invalid(f"{name}: data holds a number outside the range of {datatype}") from error


def datatype_of(array: Array) -> str:
    """Return the name of the datatype of an array."""
    return _NAMES[array.dtype]


def _dtype(name: str, datatype: Any) -> np.dtype[Any]:
    dtype = _DTYPES.get(datatype) if isinstance(datatype, str) else None
    if dtype is None:
        raise invalid(f"{name}: datatype is {_shown(datatype)}; expected one of {', '.join(_DTYPES)}, BYTES")
    return dtype


def _count(name: str, shape: Any) -> int:
    """Validate a shape, and return its number of elements."""
    if type(shape) is not list or len(shape) > _MAX_AXES or not all(type(axis) is int and axis >= 0 for axis in shape):
        raise invalid(
            f"{name}: shape is {_shown(shape)}; expected an array of at most {_MAX_AXES} integers, each of at least 0"
        )
    return math.prod(shape)


def _elements(name: str, content: bytes, count: int) -> list[bytes]:
    """Return the elements of a binary tensor of BYTES. In `content`, four bytes before each element give its length."""
    elements, position = [], 0
    while position + 4 <= len(content):
        (length,) = struct.unpack_from("<I", content, position)
        elements.append(content[position + 4 : position + 4 + length])
        position += 4 + length
    if position != len(content) or len(elements) != count:
        raise invalid(
            f"{name}: the binary data must have {count} elements; before each element, four bytes give its length"
        )
    return elements


def _texts(name: str, elements: Sequence[Any], shape: Sequence[int]) -> Array:
    texts = np.empty(len(elements), object)
    for index, element in enumerate(elements):
        try:
            texts[index] = element.decode() if isinstance(element, bytes) else element
        except UnicodeDecodeError as error:
            raise invalid(f"{name}: element {index} is not UTF-8 text") from error
        if not isinstance(texts[index], str):
            raise invalid(f"{name}: element {index} is {_shown(element)}; expected a string")
    return texts.reshape(shape)


def _shown(value: Any) -> str:
    """Return a short representation of a value of a request."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
