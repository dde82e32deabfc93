"""Tests of the application: paths, methods, the token, limits of the body, mounting, and metrics."""

import asyncio
import re
import subprocess
import sys

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import vaedge
from vaedge.server import create_app
from vaedge.server.limits import Limits
from vaedge.server.metrics import FOLDER_VARIABLE

PATH = "/v2/models/mnist.decode/infer"
Z = np.zeros((1, 40), np.float32)


def test_metadata_describes_server_and_models(app, client, mnist):
    assert client.ask(app, "GET", "/v2").json == {
        "name": "vaedge",
        "version": vaedge.__version__,
        "extensions": ["binary_tensor_data"],
    }
    metadata = client.ask(app, "GET", "/v2/models/mnist.encode/versions/1").json
    assert metadata == client.ask(app, "GET", "/v2/models/mnist.encode").json
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 1, 28, 28]}]
    assert metadata["outputs"] == [
        {"name": name, "datatype": "FP32", "shape": [-1, 40]} for name in ("mean", "log_var")
    ]
    assert (metadata["parameters"]["sha256"], metadata["parameters"]["variant"]) == (mnist.sha256, "fp32")
    names = [entry["name"] for entry in client.ask(app, "POST", "/v2/repository/index").json]
    operations = ("encode", "decode", "sample", "reconstruct", "log_prob")
    assert names == [f"{name}.{operation}" for name in ("mnist", "table") for operation in operations]
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/mnist.decode/ready"):
        assert client.ask(app, "GET", path).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v2/models/other", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("POST", "/v2/models/mnist.decode/versions/2/infer", 404),
        ("GET", "/v2/models/../../etc/passwd", 404),
        ("POST", "/v2", 405),
        ("GET", PATH, 405),
    ],
)
def test_unknown_paths_and_methods_are_errors(app, client, method, path, status):
    answer = client.ask(app, method, path)
    assert answer.status == status
    assert set(answer.json) == {"error"}


def test_token_is_required(mnist, client):
    app = create_app([mnist], token="secret")
    for headers in ([], [(b"authorization", b"Bearer wrong")], [(b"authorization", b"secret")]):
        for method, path in (("GET", "/v2"), ("POST", PATH), ("GET", "/metrics"), ("GET", "/other")):
            answer = client.ask(app, method, path, headers=headers)
            assert (answer.status, answer.headers[b"www-authenticate"]) == (401, b"Bearer")
            assert "token" in answer.json["error"]
    assert client.ask(app, "GET", "/v2/health/live").status == 200
    for value in (b"Bearer secret", b"bearer secret"):
        assert client.ask(app, "GET", "/v2", headers=[(b"authorization", value)]).status == 200


@pytest.mark.parametrize("token", ["", " ", "secret\n", "two words", "gehe\u00efm"])
def test_token_that_no_header_can_hold_is_refused(mnist, token):
    with pytest.raises(vaedge.InputError, match="the token is empty, or it has spaces"):
        create_app([mnist], token=token)


def test_error_for_an_unknown_model_lists_the_known_models(app, client):
    answer = client.ask(app, "POST", "/v2/models/mnist.draw/infer")
    assert answer.json["error"].startswith("unknown model 'mnist.draw'; this server has mnist.decode, mnist.encode,")
    answer = client.ask(app, "GET", "/v2/models/mnist.decode/config")
    assert answer.json["error"].startswith("unknown path; ")


def test_large_bodies_are_refused(mnist, client):
    app = create_app([mnist], limits=Limits(body_bytes=100))
    for headers in ([], [(b"content-length", b"0")]):  # like chunks, a length of 0 passes the check of the header
        answer = client.ask(app, "POST", PATH, bytes(101), headers)
        assert (answer.status, answer.json["error"]) == (413, "the body has more than 100 bytes; send fewer rows")
    assert client.ask(app, "POST", PATH, bytes(100)).status == 400
    assert app._memory._held == 0


def refuse(app, receive, *headers):
    """Send a request whose body comes from `receive`, and return the status of the response."""
    messages = []

    async def send(message):
        messages.append(message)

    asyncio.run(app({"type": "http", "method": "POST", "path": PATH, "headers": headers}, receive, send))
    return messages[0]["status"]


@pytest.mark.parametrize("size", [0, 101, 400])  # the announced size; 0 stands for a body in chunks
def test_large_bodies_are_discarded_up_to_a_limit(mnist, size):
    app = create_app([mnist], limits=Limits(body_bytes=100))
    held = []

    async def receive():
        held.append(app._memory._held)
        return {"type": "http.request", "body": bytes(50), "more_body": True}  # a body without an end

    assert refuse(app, receive, (b"content-length", b"%d" % size)) == 413
    assert len(held) == 9
    assert held[-1] == 0


@pytest.mark.parametrize("headers", [[(b"content-length", b"401")], [(b"content-length", b"101"), (b"expect", b"x")]])
def test_bodies_that_need_not_be_discarded_are_refused_at_once(mnist, headers):
    async def receive():
        pytest.fail("a part of the body was received")

    assert refuse(create_app([mnist], limits=Limits(body_bytes=100)), receive, *headers) == 413


def test_bodies_that_are_discarded_have_a_deadline(mnist):
    app = create_app([mnist], limits=Limits(body_bytes=100, body_seconds=0.01))
    assert refuse(app, asyncio.Event().wait, (b"content-length", b"101")) == 413


def test_refused_bodies_leave_no_timer(mnist, client, caplog):
    app = create_app([mnist], limits=Limits(body_bytes=100))

    async def main():
        await client.ask_async(app, "POST", PATH, bytes(101), [(b"content-length", b"0")])
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert caplog.text == ""


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"br"])
def test_compressed_bodies_are_refused(app, client, encoding):
    answer = client.ask(app, "POST", PATH, b"{}", [(b"content-encoding", encoding)])
    assert answer.status == 415
    assert answer.json == {"error": "the body is compressed; send it without Content-Encoding"}


def test_bodies_with_the_encoding_identity_are_accepted(app, client):
    plain = client.ask(app, "POST", PATH, b"{}")
    answer = client.ask(app, "POST", PATH, b"{}", [(b"content-encoding", b"identity")])
    assert answer.status == plain.status != 415
    assert answer.json == plain.json


def test_slow_bodies_are_refused(mnist):
    app = create_app([mnist], limits=Limits(body_seconds=0.01))
    messages = []

    async def send(message):
        messages.append(message)

    async def main():
        scope = {"type": "http", "method": "POST", "path": PATH, "headers": []}
        await app(scope, asyncio.Event().wait, send)

    asyncio.run(main())
    assert messages[0]["status"] == 408
    assert (b"connection", b"close") in messages[0]["headers"]


def test_error_while_a_body_arrives_counts_as_a_client_that_went_away(app, caplog):
    async def receive():
        raise RuntimeError("the task was canceled")  # as Ray Serve may do

    async def send(message):
        pytest.fail("nobody waits for a response")

    scope = {"type": "http", "method": "POST", "path": PATH, "headers": []}
    asyncio.run(app(scope, receive, send))
    assert 'status="499"} 1.0' in app._metrics.response().body.decode()
    assert caplog.records == []


def test_application_can_be_mounted(app, client, mnist):
    parent = Starlette(routes=[Mount("/models", app)])
    assert client.ask(parent, "GET", "/models/v2/models/mnist.decode").json["name"] == "mnist.decode"
    assert client.ask(parent, "GET", "/models/v3").status == 404


def test_metrics_count_requests_and_batches(mnist, client):
    app = create_app([mnist])
    client.infer(app, "mnist.decode", {"z": Z})
    client.infer(app, "mnist.decode", {"z": Z[:, :3]})
    text = client.ask(app, "GET", "/metrics").body.decode()
    for line in (
        'vaedge_requests_total{model="mnist.decode",status="200"} 1.0',
        'vaedge_requests_total{model="mnist.decode",status="400"} 1.0',
        'vaedge_request_seconds_count{model="mnist.decode"} 2.0',
        "vaedge_batch_rows_sum 1.0",
        "vaedge_requests_in_progress 0.0",
    ):
        assert re.search(f"^{re.escape(line)}$", text, re.MULTILINE), line


def test_metrics_skip_the_files_of_a_worker_that_starts(app, client, monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "counter_1.db").touch()  # prometheus_client creates an empty file, and then enlarges it
    assert client.ask(app, "GET", "/metrics").status == 200


def test_missing_package_of_the_extra_is_named():
    code = "import sys; sys.modules['orjson'] = None; import vaedge.server"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert re.search(r"DependencyError: vaedge.server needs orjson: .*serve", ended.stderr)
