"""Fixtures for the tests of the server."""

import asyncio
import json
import threading
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import pytest
from server_process import start_server

import vaedge

# The tests of the wheel run in an environment without the extra `serve`.
collect_ignore_glob = [] if find_spec("uvicorn") else ["test_*"]


@pytest.fixture(autouse=True)
def no_connections():
    """Override the fixture that forbids connections, because these tests connect to servers on this machine."""


class Answer(NamedTuple):
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    def arrays(self):
        """Return a dict from the name of each output to its array, for a JSON response or a binary response."""
        size = self.headers.get(b"inference-header-content-length")
        position = len(self.body) if size is None else int(size)
        found = {}
        for output in json.loads(self.body[:position])["outputs"]:
            dtype = {"FP32": np.float32, "FP64": np.float64, "BOOL": np.bool_}[output["datatype"]]
            if "data" in output:
                array = np.array(output["data"], dtype)
            else:
                length = output["parameters"]["binary_data_size"]
                array = np.frombuffer(self.body[position : position + length], dtype)
                position += length
            found[output["name"]] = array.reshape(output["shape"])
        assert position == len(self.body)
        return found


async def ask(app, method, path, body=b"", headers=(), gone=None):
    """Send one request to an ASGI application, and return the answer. The client goes away when `gone` is set."""
    messages = []
    received = False

    async def receive():
        nonlocal received
        if not received:
            received = True
            return {"type": "http.request", "body": body, "more_body": False}
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message):
        messages.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": "",
        "headers": [(b"content-length", b"%d" % len(body)), *headers],
    }
    await app(scope, receive, send)
    if not messages:
        return None
    start, *parts = messages
    content = b"".join(part["body"] for part in parts)
    found = dict(start["headers"])
    assert int(found[b"content-length"]) == len(content)
    return Answer(start["status"], found, content)


def tensor(name, array, *, binary):
    """Return the entry of an input, and its binary data."""
    datatype = {"f4": "FP32", "f8": "FP64", "f2": "FP16", "i8": "INT64", "u1": "UINT8", "U": "BYTES"}
    kind = "U" if array.dtype.kind == "U" else array.dtype.str[1:]
    entry = {"name": name, "shape": list(array.shape), "datatype": datatype[kind]}
    if not binary:
        return {**entry, "data": np.atleast_1d(array).tolist()}, b""
    if kind == "U":
        encoded = [text.encode() for text in array.ravel().tolist()]
        content = b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
    else:
        content = array.tobytes()
    return {**entry, "parameters": {"binary_data_size": len(content)}}, content


def encoded(inputs, parameters=None, *, binary=True, **fields):
    """Return the body and the headers of a request for inference."""
    entries, contents = zip(*(tensor(name, array, binary=binary) for name, array in inputs.items()), strict=True)
    tree = {"inputs": entries, "parameters": {**(parameters or {}), "binary_data_output": binary}, **fields}
    head = json.dumps(tree).encode()
    headers = [(b"inference-header-content-length", b"%d" % len(head))] if binary else []
    return head + b"".join(contents), headers


async def infer(app, model, inputs, parameters=None, *, gone=None, **names):
    """Send a request for inference to an ASGI application."""
    body, headers = encoded(inputs, parameters, **names)
    return await ask(app, "POST", f"/v2/models/{model}/infer", body, headers, gone)


def message(method, path, body=b"", headers=()):
    """Return the bytes of a request, as a client sends them."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"host: test"]
    lines += [b"%b: %b" % header for header in ((b"content-length", b"%d" % len(body)), *headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def infer_message(model, inputs, parameters=None, **names):
    """Return the bytes of a request for inference."""
    return message("POST", f"/v2/models/{model}/infer", *encoded(inputs, parameters, **names))


async def read_answer(reader):
    """Read one response from a socket. Return None if the server closed the connection before the response."""
    try:
        async with asyncio.timeout(60):
            head = await reader.readuntil(b"\r\n\r\n")
    except ConnectionError:
        return None
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    line, *lines = head[:-4].split(b"\r\n")
    headers = {name.lower(): value for name, value in (line.split(b": ", 1) for line in lines)}
    async with asyncio.timeout(60):
        body = await reader.readexactly(int(headers[b"content-length"]))
    return Answer(int(line.split()[1]), headers, body)


async def exchange(address, *parts):
    """Send the parts of a request over a new connection.

    Return the first response, and whether the server closes the connection.

    Between two parts, there is a pause of more than one second. Therefore, the server probably receives them
    separately.
    """
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(*address.removeprefix("http://").split(":"))
        writer.write(parts[0])
        for part in parts[1:]:
            await asyncio.sleep(1.1)
            writer.write(part)
        answer = await read_answer(reader)
        closed = answer is None or (answer.headers.get(b"connection") == b"close" and await reader.read() == b"")
        writer.close()
    return answer, closed


@pytest.fixture(scope="session")
def client():
    """The functions of this module. `exchange`, `ask` and `infer` run an event loop."""

    class Client:
        ask_async, infer_async = staticmethod(ask), staticmethod(infer)
        message, infer_message = staticmethod(message), staticmethod(infer_message)
        read_answer = staticmethod(read_answer)

        @staticmethod
        def exchange(*args):
            return asyncio.run(exchange(*args))

        @staticmethod
        def ask(*args, **names):
            return asyncio.run(ask(*args, **names))

        @staticmethod
        def infer(*args, **names):
            return asyncio.run(infer(*args, **names))

    return Client


@pytest.fixture(scope="session")
def mnist(bundle):
    return vaedge.load(bundle.parent / "mnist", threads=1)


@pytest.fixture(scope="session")
def calibrated(mnist):
    normal = np.random.default_rng(1).integers(0, 2, (40, 1, 28, 28)).astype(np.float32)
    return vaedge.load(mnist._origin[0], threads=1, calibration=mnist.calibrate(normal))


@pytest.fixture(scope="session")
def table(table_bundle):
    return vaedge.load(table_bundle, threads=1)


@pytest.fixture(scope="session")
def app(mnist, table):
    from vaedge.server import create_app

    return create_app([mnist, table])


@pytest.fixture(scope="session")
def address(app):
    """Serve the application with uvicorn in a thread, and yield HOST:PORT."""
    import uvicorn

    config = uvicorn.Config(app, port=0, http="httptools", ws="none", log_level="warning", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="session")
def serving():
    """The function that starts `vaedge serve` as a process."""
    return start_server
