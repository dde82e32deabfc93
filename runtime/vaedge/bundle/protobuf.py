"""Protobuf's wire format, as much of it as ONNX graphs need: fields in, fields out.

https://protobuf.dev/programming-guides/encoding: a message is a sequence of fields, each a varint of
8 * number + wire type, then the value.
"""

from collections.abc import Iterator

from vaedge.errors import BundleError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}
_MOST_VARINT_BYTES = 10


def fields(message: memoryview) -> Iterator[tuple[int, int, int, memoryview]]:
    """Read the fields of one message, one after another.

    Yields:
        Number, wire type, the value of a varint (else 0), and the bytes of any other value, without a copy.

    Raises:
        BundleError: the bytes are no message.
    """
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if not number:
            raise BundleError("a field has the number 0")
        if kind == VARINT:
            value, position = _varint(message, position)
            yield number, kind, value, message[:0]
            continue
        if kind == BYTES:
            length, position = _varint(message, position)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise BundleError(f"a field has the wire type {kind}")
        if length > end - position:
            raise BundleError("a field is longer than its message")
        yield number, kind, 0, message[position : position + length]
        position += length


def packed(content: memoryview) -> list[int]:
    """Read numbers that stand one after another in one field.

    Raises:
        BundleError: the last one is cut short.
    """
    position, numbers = 0, []
    while position < len(content):
        number, position = _varint(content, position)
        numbers.append(number)
    return numbers


def field(number: int, content: bytes | memoryview) -> bytes:
    """Write a field of bytes: a string, or a message."""
    return b"".join((encode_varint(number << 3 | BYTES), encode_varint(len(content)), content))


def number_field(number: int, value: int) -> bytes:
    """Write a field of a non-negative integer."""
    return encode_varint(number << 3 | VARINT) + encode_varint(value)


def encode_varint(value: int) -> bytes:
    """Write a whole number, seven bits to a byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_MOST_VARINT_BYTES):
        if position + index >= len(message):
            raise BundleError("a number is cut short")
        byte = message[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise BundleError("a number is too long")
