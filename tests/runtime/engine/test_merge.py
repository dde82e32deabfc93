"""The wire format, and encoder and decoder as one graph."""

import threading

import numpy as np
import pytest

import vaedge
from vaedge.bundle import protobuf as wire
from vaedge.engine.merge import merge_graphs


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31, 2**63 - 1])
def test_numbers_come_back(value):
    message = wire.encode_varint(3 << 3 | wire.VARINT) + wire.encode_varint(value)
    assert [(number, kind, found) for number, kind, found, _ in wire.fields(memoryview(message))] == [(3, 0, value)]


def test_fields_come_back():
    message = wire.field(1, b"abc") + wire.field(300, b"") + wire.encode_varint(2 << 3 | wire.FIXED32) + b"1234"
    found = [(number, bytes(content)) for number, _, _, content in wire.fields(memoryview(message))]
    assert found == [(1, b"abc"), (300, b""), (2, b"1234")]


@pytest.mark.parametrize("message", [b"\x0a", b"\x0a\x05abc", b"\x08", b"\x0b", b"\x00\x01", b"\xff" * 11, b"\x0d123"])
def test_what_is_no_message(message):
    with pytest.raises(vaedge.BundleError):
        list(wire.fields(memoryview(message)))


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_one_graph_is_the_two(bundle, digits, variant):
    vae = vaedge.load(bundle, variant=variant)
    np.testing.assert_allclose(vae.reconstruct(digits), vae.decode(vae.encode(digits).mean), atol=1e-6)


def test_it_is_made_when_it_is_first_needed_and_once(bundle, digits, monkeypatch):
    made = []

    def counted(*arguments):
        made.append(arguments)
        return merge_graphs(*arguments)

    monkeypatch.setattr("vaedge.engine.sessions.merged", counted)
    vae = vaedge.load(bundle)
    vae.sample(3, seed=0)
    vae.encode(digits)
    assert not made
    threads = [threading.Thread(target=vae.reconstruct, args=(digits,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
