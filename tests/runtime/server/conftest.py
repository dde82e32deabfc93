"""Fixtures for the tests of the server."""

import asyncio
import json
import threading
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import pytest

import vaedge

# The tests of the wheel run in an environment without the extra `serve`.
collect_ignore_glob = [] if find_spec("uvicorn") else ["test_*"]


@pytest.fixture(autouse=True)
def no_connections():
    """Allow connections, because these tests connect to servers on this machine."""


class Answer(NamedTuple):
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    def arrays(self):
        """Return the outputs of a response, JSON or binary."""
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
    """Send one request to an ASGI application. `gone` is an event that means that the client went away."""
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


async def infer(app, model, inputs, parameters=None, *, binary=True, gone=None, **fields):
    """Send a request for inference to an ASGI application."""
    entries, contents = zip(*(tensor(name, array, binary=binary) for name, array in inputs.items()), strict=True)
    tree = {"inputs": entries, "parameters": {**(parameters or {}), "binary_data_output": binary}, **fields}
    head = json.dumps(tree).encode()
    headers = [(b"inference-header-content-length", b"%d" % len(head))] if binary else []
    return await ask(app, "POST", f"/v2/models/{model}/infer", head + b"".join(contents), headers, gone)


@pytest.fixture(scope="session")
def client():
    """The functions `ask` and `infer`, as methods that run an event loop."""

    class Client:
        ask_async, infer_async = staticmethod(ask), staticmethod(infer)

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
def table(table_bundle):
    return vaedge.load(table_bundle, threads=1)


@pytest.fixture(scope="session")
def app(mnist, table):
    from vaedge.server import create_app

    return create_app([mnist, table])


@pytest.fixture(scope="session")
def address(app):
    """Serve the application with uvicorn in a thread, and return HOST:PORT."""
    import uvicorn

    config = uvicorn.Config(app, port=0, http="httptools", ws="none", log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
