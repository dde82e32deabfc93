"""Errors of HTTP are JSON, and headers are limited in size and time."""

import asyncio
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest
import uvicorn

from vaedge.cli.serve_protocol import Protocol

Z = np.zeros((1, 40), np.float32)
PATH = "/v2/models/mnist.decode/infer"
HEAD = b"POST /v2/models/mnist.decode/infer HTTP/1.1\r\nhost: test\r\n"
CHUNKS = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@contextmanager
def listening(app, **attributes):
    """Serve an application in a thread, with changed attributes of the protocol."""
    config = uvicorn.Config(
        app,
        port=0,
        http=type("Changed", (Protocol,), attributes),
        ws="none",
        log_level="critical",
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    try:
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def limited(app):
    with listening(app, header_bytes=1000) as address:
        yield address


@pytest.fixture(scope="module")
def hasty(app):
    with listening(app, header_seconds=0.5) as address:
        yield address


@pytest.mark.parametrize(
    "content",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the start of TLS
        b"GET /v2 HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: test\r\n\r\n",
        HEAD + b"content-length: x\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: 99999999999999999999999\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        HEAD + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        HEAD + b"name\x00: value\r\n\r\n",
        CHUNKS + b"x\r\n",
        CHUNKS + b"1\r\n{3\r\n",
    ],
)
def test_requests_that_do_not_follow_http_are_refused(limited, client, content):
    answer, closed = client.exchange(limited, content)
    assert (answer.status, answer.headers[b"content-type"], closed) == (400, b"application/json", True)
    assert "does not follow HTTP/1.1" in answer.json["error"]


def test_client_that_first_sends_its_whole_body_receives_the_413(limited):
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"http://{limited}{PATH}", bytes(17 * 2**20), timeout=60)
    with error.value as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (413, "application/json")
        assert json.load(answer)["error"].startswith("the body has more than 16,777,216 bytes")


def test_client_that_waits_for_100_continue_receives_the_413_instead(limited, client):
    size = 17 * 2**20
    answer, _ = client.exchange(limited, HEAD + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % size)
    assert answer.status == 413


@pytest.mark.parametrize("start", [b"GET /", b"GET /v2 HTTP/1.1\r\nname", b"GET /v2 HTTP/1.1\r\nname: "])
def test_large_headers_are_refused(limited, client, start):
    answer, closed = client.exchange(limited, start.ljust(1001, b"a"))
    assert (answer.status, closed) == (431, True)
    assert answer.json["error"] == "the headers have more than 1,000 bytes; send fewer or shorter headers"


@pytest.mark.parametrize("start", [b"0\r\nname: ", b"1;"])
def test_large_headers_between_chunks_are_refused(limited, client, start):
    async def main():
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(*limited.split(":"))
            writer.write(HEAD + b"expect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(start.ljust(1001, b"a"))
            answer = await client.read_answer(reader)
            writer.close()
            return answer

    assert asyncio.run(main()).status == 431


def test_headers_below_the_limit_are_accepted(limited, client):
    name = b"GET /v2 HTTP/1.1\r\nname: "
    assert client.exchange(limited, name.ljust(996, b"a") + b"\r\n\r\n")[0].status == 200
    assert client.exchange(limited, client.infer_message("mnist.decode", {"z": np.repeat(Z, 50, 0)}))[0].status == 200


def test_slow_headers_are_refused(hasty, client):
    async def main():
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(*hasty.split(":"))
            answer = asyncio.create_task(client.read_answer(reader))
            for byte in HEAD:
                if answer.done():
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.05)
            writer.close()
            return await answer

    answer = asyncio.run(main())
    assert answer.status == 408
    assert answer.json["error"] == "the headers did not arrive within 0.5 seconds; send them faster"


def test_silent_connections_are_closed(hasty, client):
    assert client.exchange(hasty, b"") == (None, True)


def test_connection_is_closed_if_the_body_of_an_answered_request_is_incomplete(hasty):
    async def main():
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(*hasty.split(":"))
            writer.write(b"POST /other HTTP/1.1\r\ncontent-length: 100\r\n\r\n")
            assert await reader.readuntil(b"}")
            writer.write(b"a")
            assert await reader.read() == b""
            writer.close()

    asyncio.run(main())


def test_requests_have_no_timer_after_their_headers(app, client, mnist, monkeypatch):
    decode, proceed = type(mnist).decode, threading.Event()

    def slow(self, z, **names):
        proceed.wait(1.1)
        return decode(self, z, **names)

    monkeypatch.setattr(type(mnist), "decode", slow)
    body = client.infer_message("mnist.decode", {"z": Z}, binary=False).partition(b"\r\n\r\n")[2]
    with listening(app, header_seconds=1) as address:
        answer, closed = client.exchange(address, CHUNKS, b"%x\r\n%b\r\n" % (len(body), body), b"0\r\n\r\n")
    assert (answer.status, closed) == (200, False)


def test_earlier_requests_are_answered_before_an_error_closes_the_connection(limited, client, mnist):
    z = np.ones((1, 40), np.float32)
    answer, closed = client.exchange(limited, client.infer_message("mnist.decode", {"z": z}) + b"garbage\r\n\r\n")
    assert (answer.status, closed) == (200, True)
    np.testing.assert_array_equal(answer.arrays()["x"], mnist.decode(z))


def test_results_that_a_client_has_not_read_count_as_held_memory(limited, app, client, mnist):
    z = np.repeat(Z, 4000, 0)  # the result has 12.5 MB; kernels buffer a few MB
    with socket.create_connection(limited.split(":"), timeout=60) as connection:
        connection.sendall(client.infer_message("mnist.decode", {"z": z}))
        received = bytearray(connection.recv(1))
        time.sleep(0.2)
        assert app._memory._held >= 4000 * 784 * 4
        while not received.endswith(mnist.decode(z).tobytes()):
            received += connection.recv(2**20)
        assert received.startswith(b"HTTP/1.1 200")
    deadline = time.monotonic() + 60
    while app._memory._held and time.monotonic() < deadline:
        time.sleep(0.01)
    assert app._memory._held == 0
