"""Messages between processes hold JSON and arrays."""

import io

import numpy as np
import pytest

from vaedge.benchmark.messages import read_message, write_message


def test_message_is_read_again():
    stream = io.BytesIO()
    arrays = {"x": np.arange(6, dtype=np.int64).reshape(2, 3), "fields": np.array(["ä", "b"])}
    write_message(stream, {"a": [1, None, "ü"]}, arrays)
    write_message(stream, {})
    stream.seek(0)
    fields, found = read_message(stream)
    assert fields == {"a": [1, None, "ü"]}
    assert set(found) == set(arrays)
    assert all(
        np.array_equal(found[name], array) and found[name].dtype == array.dtype for name, array in arrays.items()
    )
    assert read_message(stream) == ({}, {})
    with pytest.raises(EOFError):
        read_message(stream)


@pytest.mark.parametrize("size", [3, 8, 50])
def test_message_that_is_cut_off_is_an_error(size):
    stream = io.BytesIO()
    write_message(stream, {"a": 1})
    with pytest.raises(EOFError, match="ended before the end of a message"):
        read_message(io.BytesIO(stream.getvalue()[:size]))
