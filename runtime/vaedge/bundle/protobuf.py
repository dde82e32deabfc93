"""Minimal reader and writer of protobuf messages, enough for ONNX models.

A message is a sequence of fields. Each field starts with the varint `8 * number + wire type`, and the value follows.
See https://protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator

from vaedge.errors import BundleError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}
_MAX_VARINT_BYTES = 10


def fields(message: memoryview) -> Iterator[tuple[int, int, int, memoryview]]:
    """Read the fields of a message in their order.

    Args:
        message: The serialized message.

    Yields:
        One tuple (number, wire_type, value, content) per field. For a varint, `value` is the integer, and `content` is
        empty. For any other wire type, `value` is 0, and `content` is a view of the bytes.

    Raises:
        BundleError: The bytes are not a valid message.
    """
    position, end = 0, len(message)
    while position < end:
        key, position = _read_varint(message, position)
        number, wire_type = key >> 3, key & 7
        if not number:
            raise BundleError("a field has the invalid number 0; field numbers start at 1")
        if wire_type == VARINT:
            value, position = _read_varint(message, position)
            yield number, wire_type, value, message[:0]
            continue
        if wire_type == BYTES:
            length, position = _read_varint(message, position)
        elif wire_type in _FIXED_BYTES:
            length = _FIXED_BYTES[wire_type]
        else:
            raise BundleError(f"a field has the unknown wire type {wire_type}")
        if length > end - position:
            raise BundleError("a field is longer than its message")
        yield number, wire_type, 0, message[position : position + length]
        position += length


def packed_varints(content: memoryview) -> list[int]:
    """Read the varints of a packed repeated field.

    Args:
        content: The bytes of the field.

    Raises:
        BundleError: The last varint is cut short.
    """
    position, numbers = 0, []
    while position < len(content):
        number, position = _read_varint(content, position)
        numbers.append(number)
    return numbers


def bytes_field(number: int, content: bytes | memoryview) -> bytes:
    """Serialize a field that holds bytes, a string or a message."""
    return b"".join((varint(number << 3 | BYTES), varint(len(content)), content))


def varint_field(number: int, value: int) -> bytes:
    """Serialize a field that holds a non-negative integer."""
    return varint(number << 3 | VARINT) + varint(value)


def varint(value: int) -> bytes:
    """Serialize a non-negative integer: seven bits per byte, the lowest bits first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return the value of the varint that starts at `position`, and the position after the varint."""
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if position + index >= len(message):
            raise BundleError("the bytes end in the middle of a number")
        byte = message[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise BundleError(f"a number takes more than {_MAX_VARINT_BYTES} bytes")
