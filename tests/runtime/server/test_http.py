"""Responses to invalid HTTP are JSON. Headers that are too large or too slow are refused."""

import asyncio
import gc
import json
import logging
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from vaedge.cli.serve_protocol import Protocol, answer_canceled

Z = np.zeros((1, 40), np.float32)
PATH = "/v2/models/mnist.decode/infer"
HEAD = b"POST /v2/models/mnist.decode/infer HTTP/1.1\r\nhost: test\r\n"
CHUNKS = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@contextmanager
def listening(app, **attributes):
    """Serve an application in a thread. `attributes` are set in a subclass of `Protocol`."""
    config = uvicorn.Config(
        answer_canceled(app),
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


def test_error_in_a_later_request_does_not_replace_an_earlier_response(limited, client, mnist):
    answer, _ = client.exchange(limited, client.infer_message("mnist.decode", {"z": Z}) + CHUNKS + b"garbage\r\n")
    assert answer.status == 200
    np.testing.assert_array_equal(answer.arrays()["x"], mnist.decode(Z))


def test_client_that_disconnects_after_several_requests_causes_no_error(app, client, caplog, monkeypatch):
    requests = 2 * client.infer_message("mnist.log_prob", {"x": np.zeros((4, 1, 28, 28))}, {"k": 1000, "seed": 0})
    with listening(app) as address:
        logger = logging.getLogger("uvicorn.error")
        monkeypatch.setattr(logger, "handlers", [caplog.handler])
        logger.setLevel(logging.ERROR)
        host, port = address.split(":")
        for _ in range(5):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(requests)
                time.sleep(0.02)  # the first request runs
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset on close
        while (
            b"vaedge_requests_in_progress 0.0"
            not in client.exchange(address, client.message("GET", "/metrics"))[0].body
        ):
            time.sleep(0.05)
    assert not caplog.records


def test_requests_leave_no_reference_cycles(limited, client):
    """With reference cycles, the memory of requests would stay in use until the next garbage collection."""
    client.exchange(limited, client.infer_message("mnist.decode", {"z": Z}))
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            client.exchange(limited, client.infer_message("mnist.decode", {"z": Z}))
        cycles = [found for found in gc.get_objects() if isinstance(found, RequestResponseCycle)]
    finally:
        gc.enable()
    assert len(cycles) <= 3  # connections that are still open


def responses(address, content, first=0):
    """Send requests over one connection. Wait `first` seconds before the first byte is read. Return all bytes."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        sender = threading.Thread(target=connection.sendall, args=[content])
        sender.start()
        time.sleep(first)
        found = b"".join(iter(lambda: connection.recv(2**20), b""))
        sender.join()
    return found


def test_requests_that_arrive_together_are_answered_in_their_order(limited, client, mnist):
    z = np.random.default_rng(0).standard_normal((100, 40)).astype(np.float32)
    last = client.message("GET", "/v2", headers=[(b"connection", b"close")])
    requests = [client.infer_message("mnist.decode", {"z": row[None]}) for row in z]
    found = responses(limited, b"".join(requests) + last)
    bodies = [part.split(b"\r\n\r\n", 1)[1] for part in found.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert len(bodies) == len(z) + 1
    assert [body[-3136:] for body in bodies[:-1]] == [mnist.decode(row[None]).tobytes() for row in z]


@pytest.mark.parametrize(
    ("version", "header", "closes"),
    [("1.1", "", False), ("1.1", "connection: close\r\n", True), ("1.0", "", True)],
)
def test_connection_is_closed_after_a_response_if_the_client_expects_it(limited, client, version, header, closes):
    head = f"HTTP/{version}\r\n{header}".encode()
    content = client.infer_message("mnist.decode", {"z": Z}).replace(b"HTTP/1.1\r\n", head, 1)
    again = b"" if closes else client.message("GET", "/v2", headers=[(b"connection", b"close")])
    found = responses(limited, content + again)
    assert found.count(b"HTTP/1.1 200 OK\r\n") == (1 if closes else 2)
    assert found.count(b"connection: close\r\n") == 1


def test_clients_that_start_to_read_late_receive_all_responses(limited, client, mnist):
    z = np.random.default_rng(0).standard_normal((16, 40)).astype(np.float32)
    request = client.infer_message("mnist.decode", {"z": z})
    last = client.message("GET", "/v2", headers=[(b"connection", b"close")])
    found = responses(limited, 300 * request + last, first=1)  # 15 MB of responses
    assert found.count(mnist.decode(z).tobytes()) == 300


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
