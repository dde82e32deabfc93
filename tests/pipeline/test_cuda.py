"""Inference and training on a real GPU. `make test-gpu` runs these tests; CI has no GPU."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import vaedge
from vaedge.server import create_app
from vaedge_export import export_run
from vaedge_train import OutOfMemoryError, TrainConfig, evaluate, train
from vaedge_train.dataset import load_dataset
from vaedge_train.loop.trainer import Trainer

MODELS = Path(__file__).parents[2] / "models"
FIELDS = {"hidden": (64,), "latent": 8, "epochs": 3, "binarize": "dynamic", "likelihood": "bernoulli"}
CODE = """
import sys, vaedge
vae = vaedge.load(sys.argv[1], device="cuda")
print(vae.device, vae.sample(3, seed=0).shape)
"""

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", params=["article", "mnist", "mnist-conv"])
def pair(request):
    """Return (cpu, gpu, x): a bundle on the CPU, the same bundle on the GPU, and examples."""
    folder = MODELS / request.param
    with np.load(folder / "reference.npz") as archive:
        x = archive["x"]
    return vaedge.load(folder), vaedge.load(folder, device="cuda"), x


@pytest.mark.parametrize("name", ["article", "mnist", "mnist-conv"])
def test_every_variant_passes_its_check(name):
    report = vaedge.check(MODELS / name, device="cuda")
    assert report.device == "cuda:0"
    assert report.passed, report.differences


def test_results_equal_those_of_the_cpu(pair):
    cpu, gpu, x = pair
    assert gpu.device == "cuda:0"
    mean = cpu.encode(x).mean
    np.testing.assert_allclose(gpu.encode(x).mean, mean, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gpu.decode(mean), cpu.decode(mean), atol=1e-4)
    np.testing.assert_allclose(gpu.reconstruct(x), cpu.reconstruct(x), atol=1e-4)
    np.testing.assert_allclose(gpu.sample(700, seed=3), cpu.sample(700, seed=3), atol=1e-4)


def test_bounds_and_draws_equal_those_of_the_cpu():
    with np.load(MODELS / "mnist" / "reference.npz") as archive:
        x = (archive["x"] > 0.5).astype(np.float32)
    cpu, gpu = (vaedge.load(MODELS / "mnist", device=device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(gpu.log_prob(x, k=500, seed=1), cpu.log_prob(x, k=500, seed=1), atol=5e-3)
    drawn = gpu.sample(9, seed=3, draw=True) != cpu.sample(9, seed=3, draw=True)
    assert drawn.mean() < 1e-3  # rounding changes the draws of a few pixels


def test_the_first_rows_do_not_depend_on_the_number_of_rows(pair):
    _, gpu, _ = pair
    np.testing.assert_allclose(gpu.sample(1000, seed=5)[:10], gpu.sample(10, seed=5), atol=1e-5)


def test_threads_share_a_gpu(pair):
    _, gpu, x = pair
    expected, results = gpu.reconstruct(x), {}
    threads = [
        threading.Thread(target=lambda index=index: results.update({index: [gpu.reconstruct(x) for _ in range(20)]}))
        for index in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in itertools.chain(*results.values()):
        np.testing.assert_allclose(result, expected, atol=1e-5)


async def infer(app, model, name, array):
    """Send a request to an ASGI application, and return its first output."""
    entry = {"name": name, "shape": array.shape, "datatype": "FP32", "data": array.ravel().tolist()}
    body = json.dumps({"inputs": [entry]}).encode()
    requests, messages = [{"type": "http.request", "body": body}], []

    async def receive():
        return requests.pop() if requests else await asyncio.Future()

    async def send(message):
        messages.append(message)

    await app({"type": "http", "method": "POST", "path": f"/v2/models/{model}/infer", "headers": []}, receive, send)
    content = b"".join(message["body"] for message in messages[1:])
    assert messages[0]["status"] == 200, content
    output = json.loads(content)["outputs"][0]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def test_server_returns_the_bits_of_lone_calls(pair):
    """Results of a GPU depend on the batch, so the server must not join the requests."""
    _, gpu, x = pair
    app, name = create_app([gpu]), gpu.manifest.name
    z = np.random.default_rng(0).standard_normal((40, *gpu.latent_shape)).astype(np.float32)
    requests = [("decode", "z", z[start : start + 1 + start % 3]) for start in range(30)]
    requests += [("reconstruct", "x", x[: 1 + index % 4]) for index in range(30)]

    async def main():
        return await asyncio.gather(*(infer(app, f"{name}.{method}", *request) for method, *request in requests))

    for found, (method, _, array) in zip(asyncio.run(main()), requests, strict=True):
        np.testing.assert_array_equal(found, getattr(gpu, method)(array))


def test_auto_chooses_the_gpu_and_a_missing_gpu_is_an_error():
    assert vaedge.load(MODELS / "article", device="auto").device == "cuda:0"
    with pytest.raises(vaedge.DeviceError, match="cuda:99 is not available"):
        vaedge.load(MODELS / "article", device="cuda:99")


def test_loading_prints_nothing():
    ended = subprocess.run([sys.executable, "-c", CODE, MODELS / "article"], capture_output=True, text=True, check=True)
    assert ended.stdout == "cuda:0 (3, 1, 28, 28)\n"
    assert ended.stderr == ""


@pytest.mark.parametrize(
    "change", [{}, {"precision": "bfloat16"}, {"network": "conv", "channels": 4, "epochs": 1}, {"compile": True}]
)
def test_training_learns_like_the_cpu(change, tmp_path):
    config = TrainConfig(**{**FIELDS, **change})
    runs = [train(config, tmp_path / device, device=device, progress=False) for device in ("cuda", "cpu")]
    gpu, cpu = (run.metrics["test_elbo"] for run in runs)
    assert gpu == pytest.approx(cpu, abs=3)


@pytest.mark.parametrize("change", [{}, {"network": "conv", "channels": 4, "epochs": 1}])
def test_resumed_run_ends_with_the_same_bits(change, tmp_path, monkeypatch):
    config = TrainConfig(**{**FIELDS, **change})
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "evaluate", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "resumed", device="cuda", progress=False)
    resumed = train(config, tmp_path / "resumed", device="cuda", resume=True, progress=False)
    whole = train(config, tmp_path / "whole", device="cuda", progress=False)
    assert resumed.metrics["test_elbo"] == whole.metrics["test_elbo"]
    for first, second in zip(resumed.vae.state_dict().values(), whole.vae.state_dict().values(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("change", [{}, {"network": "conv", "channels": 4, "epochs": 1}, {"prior": "mixture"}])
def test_evaluation_equals_that_of_the_cpu(change, tmp_path):
    config = TrainConfig(**{**FIELDS, **change})
    run = train(config, tmp_path / "run", device="cuda", progress=False)
    test = load_dataset(config, tmp_path / "cache").test
    cpu, gpu = (evaluate(run.vae.to(device), test, 200) for device in ("cpu", "cuda"))
    assert gpu.bound == pytest.approx(cpu.bound, abs=0.3)
    assert gpu.rate == pytest.approx(cpu.rate, abs=0.3)


def test_run_of_a_gpu_is_exported_and_checked(tmp_path):
    train(TrainConfig(**FIELDS), tmp_path / "run", device="cuda", progress=False)
    export_run(tmp_path / "run", tmp_path / "bundle", variants=("fp32", "fp16"))
    for device in ("cpu", "cuda"):
        report = vaedge.check(tmp_path / "bundle", device=device)
        assert report.differences.keys() == {"fp32", "fp16"}
        assert report.passed, report.differences


def test_full_memory_names_the_settings_and_keeps_the_run(tmp_path):
    config = TrainConfig(**{**FIELDS, "hidden": (4000,), "samples": 400})
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.005)
    try:
        with pytest.raises(OutOfMemoryError, match=r"cuda:0 ran out of memory: .*Lower --batch-size, --samples or"):
            train(config, tmp_path / "run", device="cuda", progress=False)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_two_processes_share_a_gpu(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "2"}
    words = ["-m", "vaedge_train", "--hidden", "64", "--latent", "8", "--epochs", "3", "--device", "cuda"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    for name, command in (("one", [sys.executable]), ("two", launch)):
        command = [*command, *words, "--out", tmp_path / name]
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
        assert ended.returncode == 0, ended.stderr
    one, two = (
        [json.loads(line)["train_elbo"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert two == pytest.approx(one, abs=1)
