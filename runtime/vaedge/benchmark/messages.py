"""Messages between `vaedge bench` and the processes that it starts.

A message begins with 8 bytes, which hold the size of an .npz archive. This archive follows. It holds arrays, and fields
as JSON. This encoding does not depend on the versions of Python and numpy.
"""

import io
import json
import struct
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

# The bytes that a process writes before its first message. Other programs write something else, or nothing.
GREETING = b"vaedge\n"
_SIZE = struct.Struct("<Q")
_FIELDS = "message.fields"  # no array has this name, because names of conditions have no dot


def write_message(stream: IO[bytes], fields: Mapping[str, Any], arrays: Mapping[str, Any] | None = None) -> None:
    """Write a message and flush the stream.

    Args:
        stream: The stream.
        fields: Values that JSON can represent.
        arrays: Dict from name to array.
    """
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **{_FIELDS: np.array(json.dumps(fields)), **(arrays or {})})
    stream.write(_SIZE.pack(content.tell()) + content.getbuffer())
    stream.flush()


def read_message(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a message.

    Returns:
        The fields, and a dict from name to array.

    Raises:
        EOFError: The stream ended before the end of the message.
    """
    (size,) = _SIZE.unpack(_read(stream, _SIZE.size))
    with np.load(io.BytesIO(_read(stream, size)), allow_pickle=False) as archive:
        arrays = dict(archive)
    return json.loads(str(arrays.pop(_FIELDS))), arrays


def _read(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError("the stream ended before the end of a message")
    return content
