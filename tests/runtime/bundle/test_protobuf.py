"""Fields that were written to protobuf messages are read unchanged, and malformed messages are refused."""

import pytest

import vaedge
from vaedge.bundle import protobuf


def read(message):
    return [
        (number, kind, value, bytes(content)) for number, kind, value, content in protobuf.fields(memoryview(message))
    ]


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, b"\x00"), (1, b"\x01"), (127, b"\x7f"), (128, b"\x80\x01"), (150, b"\x96\x01"), (300, b"\xac\x02")],
)
def test_varint_is_encoded_as_protobuf_documents_it(value, encoded):
    assert protobuf.varint(value) == encoded


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31, 2**63 - 1, 2**64 - 1])
def test_varints_read_back(value):
    assert read(protobuf.varint_field(3, value)) == [(3, protobuf.VARINT, value, b"")]


def test_fields_read_back():
    fixed = [(2, protobuf.FIXED32, b"1234"), (16, protobuf.FIXED64, b"12345678")]
    message = protobuf.bytes_field(1, b"abc") + protobuf.bytes_field(300, b"")
    message += b"".join(protobuf.varint(number << 3 | kind) + content for number, kind, content in fixed)
    assert read(message) == [
        (1, protobuf.BYTES, 0, b"abc"),
        (300, protobuf.BYTES, 0, b""),
        (2, protobuf.FIXED32, 0, b"1234"),
        (16, protobuf.FIXED64, 0, b"12345678"),
    ]


def test_content_is_not_copied():
    message = memoryview(protobuf.bytes_field(1, b"abc"))
    ((_, _, _, content),) = protobuf.fields(message)
    assert content.obj is message.obj


@pytest.mark.parametrize("numbers", [[], [0], [1, 300, 2**64 - 1, 0]])
def test_packed_varints_read_back(numbers):
    content = b"".join(map(protobuf.varint, numbers))
    assert protobuf.packed_varints(memoryview(content)) == numbers


def test_varint_has_at_most_ten_bytes():
    assert read(b"\x08" + b"\x80" * 9 + b"\x00") == [(1, protobuf.VARINT, 0, b"")]
    with pytest.raises(vaedge.BundleError, match="a number takes more than 10 bytes"):
        read(b"\x08" + b"\x80" * 10 + b"\x00")


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (b"\x0a", "end in the middle of a number"),
        (b"\x0a\x05abcd", "longer than the message"),
        (b"\x08", "end in the middle of a number"),
        (b"\x08\x80", "end in the middle of a number"),
        (b"\x0b", "unknown wire type 3"),
        (b"\x0e", "unknown wire type 6"),
        (b"\x00\x01", "number 0"),
        (b"\xff" * 11, "more than 10 bytes"),
        (b"\x0d123", "longer than the message"),
        (b"\x091234567", "longer than the message"),
    ],
)
def test_malformed_message_is_refused(message, error):
    with pytest.raises(vaedge.BundleError, match=error):
        read(message)


def test_truncated_packed_varints_are_refused():
    with pytest.raises(vaedge.BundleError, match="end in the middle of a number"):
        protobuf.packed_varints(memoryview(b"\x01\x80"))
