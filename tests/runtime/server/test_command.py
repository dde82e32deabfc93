"""The command `vaedge serve`."""

import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from vaedge.cli.main import main

_SAMPLE = json.dumps({"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [1]}]}).encode()


def get(address, path, body=None, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(address + path, body, headers), timeout=60) as answer:
        return json.load(answer)


def command_of(pid):
    """Return the command line of a process; it is empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def workers(process, count, without=None):
    """Wait until the server has `count` workers, without an earlier one. Return their process numbers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lists = (path.read_text() for path in Path(f"/proc/{process.pid}/task").glob("*/children"))
        children = {int(pid) for text in lists for pid in text.split()} - {without}
        found = {pid for pid in children if b"spawn_main" in command_of(pid)}
        if len(found) == count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"the server has no {count} workers")


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
        text = urllib.request.urlopen(f"{address}/metrics", timeout=60).read().decode()
        assert 'vaedge_requests_total{model="article.sample",status="200"} 4.0' in text
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux to find the workers")
def test_a_killed_worker_is_replaced(serving, bundle):
    with serving(bundle, "--workers", "2") as (process, address):
        first = workers(process, 2)
        get(address, "/v2/models/article.sample/infer", _SAMPLE)
        os.kill(min(first), signal.SIGKILL)
        assert workers(process, 2, without=min(first)) > first - {min(first)}
        for _ in range(4):
            get(address, "/v2/models/article.sample/infer", _SAMPLE)
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
