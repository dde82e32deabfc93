"""If two processes each compute half of every batch, they train the same model as one process."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from vaedge_train import TrainConfig, train
from vaedge_train.loop.distributed import Workers


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 8])
def test_weighted_shares_average_to_the_mean_of_the_batch(batch_size):
    workers = [Workers(rank, 3) for rank in range(3)]
    shares = [list(range(batch_size))[worker.share(batch_size)] for worker in workers]
    if batch_size >= 3:
        assert sorted(index for share in shares for index in share) == list(range(batch_size))
    value = [float(index**2) for index in range(batch_size)]
    means = [sum(value[index] for index in share) / len(share) for share in shares]
    weighted = sum(mean * worker.weight(batch_size) for mean, worker in zip(means, workers, strict=True)) / 3
    assert weighted == pytest.approx(sum(value) / batch_size)


def test_one_process_computes_whole_batches():
    workers, values = Workers(), torch.ones(2)
    assert list(range(5))[workers.share(5)] == [0, 1, 2, 3, 4]
    assert workers.weight(5) == 1.0
    assert workers.total(values, 5) is values
    workers.wait()


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_train_like_one(image_folder, tmp_path):
    fields = {"hidden": (16,), "latent": 3, "epochs": 10, "batch_size": 7, "prior": "mixture", "components": 4}
    config = TrainConfig(dataset=str(image_folder), path_gradient=True, average=0.9, clip=5.0, **fields)
    words = [sys.executable, "-m", "vaedge_train", "--dataset", config.dataset, *config.command("x").split()[4:-2]]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    pair = [
        subprocess.Popen(
            [*words, "--out", str(tmp_path / "two")],
            env={**environment, "WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    printed = [process.communicate()[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], printed
    train(config, tmp_path / "one", progress=False)
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert len(one) == len(two) == 10  # 60 steps
    for alone, shared in zip(one, two, strict=True):
        for metric in ("train_elbo", "train_distortion", "train_rate", "test_elbo"):
            assert shared[metric] == pytest.approx(alone[metric], rel=1e-4), (alone["epoch"], metric)
