"""The command `vaedge serve`."""

import json
import signal
import socket
import threading
import urllib.error
import urllib.request

import pytest
from server_process import wait_for_metric

from vaedge.cli.main import main

_SAMPLE = json.dumps({"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [1]}]}).encode()


def get(address, path, body=None, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(address + path, body, headers), timeout=60) as answer:
        return json.load(answer)


def test_serve_answers_until_sigterm(serving, bundle):
    with serving(bundle, bundle.parent / "mnist") as (process, address):
        assert {entry["name"] for entry in get(address, "/v2/repository/index", b"")} >= {
            "article.decode",
            "mnist.decode",
        }
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


def test_serve_finishes_accepted_requests_after_sigterm(serving, bundle):
    name = "/v2/models/mnist.log_prob/infer"
    x = {"name": "x", "shape": [100, 1, 28, 28], "datatype": "FP32", "data": [0] * 78400}
    body = json.dumps({"inputs": [x], "parameters": {"k": 400, "seed": 0}}).encode()
    with serving(bundle.parent / "mnist") as (process, address):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(get(address, name, body)))
        thread.start()
        while b"vaedge_batch_rows_count 1.0" not in urllib.request.urlopen(f"{address}/metrics", timeout=60).read():
            assert thread.is_alive() or answers  # otherwise the request has failed
        process.send_signal(signal.SIGTERM)
        thread.join(60)
        assert answers[0]["outputs"][0]["shape"] == [100]
        assert process.wait(60) == 0


def test_serve_rejects_a_port_in_use(bundle, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(bundle), "--port", str(port)]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"vaedge: cannot listen on 127.0.0.1, port {port}: Address already in use; choose")


def test_serve_rejects_an_unknown_host(bundle, monkeypatch, capsys):
    def fail(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "create_server", fail)
    assert main(["serve", str(bundle), "--host", "nowhere"]) == 1
    assert "cannot listen on nowhere, port 8000: Name or service not known; choose" in capsys.readouterr().err


def test_serve_reads_the_token_from_the_environment(serving, bundle):
    with serving(bundle, VAEDGE_TOKEN="secret") as (_, address):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(address, "/v2")
        assert get(address, "/v2", token="secret")["name"] == "vaedge"


def test_serve_warns_about_other_addresses_without_a_token(serving, bundle):
    with serving(bundle, "--host", "0.0.0.0") as (process, address):
        get(address, "/v2")
        process.terminate()
        process.wait(60)
        assert "warning: everyone who can reach 0.0.0.0 can use this server" in process.stderr.read()


def test_workers_share_port_and_metrics(serving, bundle):
    with serving(bundle, "--workers", "2") as (process, address):
        for _ in range(4):
            assert get(address, "/v2/models/article.sample/infer", _SAMPLE)["outputs"][0]["shape"] == [1, 1, 28, 28]
        wait_for_metric(address, 'vaedge_requests_total{model="article.sample",status="200"} 4.0')
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["missing"], "missing"),
        (["{bundle}", "{bundle}"], "two bundles have the name 'article'"),
    ],
)
def test_serve_reports_errors(bundle, capsys, argv, message):
    assert main(["serve", *(word.format(bundle=bundle) for word in argv), "--port", "0"]) == 1
    assert message in capsys.readouterr().err


def test_serve_refuses_wrong_ports(bundle, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["serve", str(bundle), "--port", "65536"])
    assert "'65536' is not a port from 0 to 65535" in capsys.readouterr().err
