"""Two processes on half batches give what one gives on whole ones."""

import json
import os
import socket
import subprocess
import sys

import pytest

from vaedge_train import TrainConfig
from vaedge_train.loop.distributed import Workers


@pytest.mark.parametrize("items", [1, 2, 7, 8])
def test_shares_cover_the_batch_and_weigh_as_much(items):
    workers = [Workers(rank, 3) for rank in range(3)]
    shares = [list(range(items))[worker.share(items)] for worker in workers]
    if items >= 3:
        assert sorted(index for share in shares for index in share) == list(range(items))
    value = [float(index**2) for index in range(items)]
    means = [sum(value[index] for index in share) / len(share) for share in shares]
    weighted = sum(mean * worker.weight(items) for mean, worker in zip(means, workers, strict=True)) / 3
    assert weighted == pytest.approx(sum(value) / items)


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_two_gloo_processes(pictures, tmp_path):
    fields = {"hidden": (16,), "latent": 3, "epochs": 10, "batch_size": 7, "prior": "mixture", "components": 4}
    config = TrainConfig(dataset=str(pictures), path_gradient=True, average=0.9, clip=5.0, **fields)
    words = [sys.executable, "-m", "vaedge_train", "--dataset", config.dataset, *config.command("x").split()[4:-2]]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    together = [
        subprocess.Popen(
            [*words, "--out", str(tmp_path / "two")],
            env={**environment, "WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate()[0] for process in together]
    assert [process.returncode for process in together] == [0, 0], said
    subprocess.run([*words, "--out", str(tmp_path / "one")], check=True, capture_output=True)
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert len(one) == len(two) == 10  # 60 steps
    for alone, shared in zip(one, two, strict=True):
        for figure in ("train_elbo", "train_distortion", "train_rate", "test_elbo"):
            assert shared[figure] == pytest.approx(alone[figure], rel=1e-4), (alone["epoch"], figure)
