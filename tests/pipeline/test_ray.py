"""`vaedge.Batch` runs in two workers of a local Ray cluster, and Ray Serve runs the application of the server."""

import http.client
import importlib.util
import json
import os
import secrets
import socket
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
from server_process import wait_for_metric
from tritonclient.utils import InferenceServerException

import vaedge

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "article"
SERVED = ROOT / "models" / "mnist"


@pytest.fixture(scope="module")
def ray():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # the processes of Ray inherit the variable
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))  # otherwise Ray writes a token to the home folder
        import ray
        import ray.data

        options = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
        ray.init(num_cpus=2, object_store_memory=100 * 2**20, _node_ip_address="127.0.0.1", **options)
        yield ray
        ray.shutdown()


@pytest.fixture(scope="module")
def served(ray):
    """Deploy examples/ray_serve.py, and return HOST:PORT."""
    from ray import serve

    spec = importlib.util.spec_from_file_location("ray_serve", ROOT / "examples" / "ray_serve.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serve.start(http_options={"port": port})
    serve.run(example.deploy(str(SERVED), max_replicas=1))
    yield f"127.0.0.1:{port}"
    serve.shutdown()


@pytest.fixture
def client(served):
    with triton.InferenceServerClient(served, network_timeout=120) as client:
        yield client


def tensor(name, array, *, binary=True):
    return [triton.InferInput(name, list(array.shape), "FP32").set_data_from_numpy(array, binary_data=binary)]


def test_workers_send_no_usage_statistics(ray):
    setting = ray.remote(lambda: os.environ["RAY_USAGE_STATS_ENABLED"])
    assert ray.get(setting.remote()) == "0"


def test_two_workers_give_the_results_of_one_call(ray):
    x = np.random.default_rng(0).random((600, 1, 28, 28), np.float32)
    dataset = ray.data.from_items([{"x": example, "id": index} for index, example in enumerate(x)]).repartition(4)
    encoded = dataset.map_batches(vaedge.Batch(MODEL, "encode"), batch_size=100, concurrency=2)
    rows = sorted(encoded.take_all(), key=lambda row: row["id"])
    assert [row["id"] for row in rows] == list(range(600))
    expected = vaedge.load(MODEL).encode(x)
    np.testing.assert_allclose(np.stack([row["mean"] for row in rows]), expected.mean, atol=1e-5)
    np.testing.assert_allclose(np.stack([row["log_var"] for row in rows]), expected.log_var, atol=1e-5)


@pytest.mark.parametrize("binary", [True, False])
def test_ray_serve_answers_requests_of_the_protocol(client, binary):
    vae = vaedge.load(SERVED, threads=1)
    z = np.random.default_rng(0).standard_normal((2, *vae.latent_shape)).astype(np.float32)
    outputs = [triton.InferRequestedOutput("x", binary_data=binary)]
    found = client.infer("mnist.decode", tensor("z", z, binary=binary), outputs=outputs, request_id="7")
    np.testing.assert_array_equal(found.as_numpy("x"), vae.decode(z))
    assert found.get_response()["id"] == "7"
    assert client.is_server_ready()
    assert client.get_model_metadata("mnist.decode")["parameters"]["sha256"] == vae.sha256


def test_ray_serve_shows_errors(client):
    with pytest.raises(InferenceServerException, match=r"z has shape \(1, 3\)") as error:
        client.infer("mnist.decode", tensor("z", np.zeros((1, 3), np.float32)))
    assert error.value.status() == "400"


def test_ray_serve_notices_a_client_that_goes_away(served):
    x = np.zeros((100, 1, 28, 28), np.float32)
    body = {"inputs": [tensor("x", x, binary=False)[0]._get_tensor()], "parameters": {"k": 10_000}}  # takes seconds
    request = http.client.HTTPConnection(served, timeout=60)
    request.request("POST", "/v2/models/mnist.log_prob/infer", json.dumps(body))
    wait_for_metric(f"http://{served}", "vaedge_requests_in_progress 1.0")
    request.close()
    wait_for_metric(f"http://{served}", 'vaedge_requests_total{model="mnist.log_prob",status="499"} 1.0')
    wait_for_metric(f"http://{served}", "vaedge_requests_in_progress 0.0")
