"""`vaedge.Batch` runs in two workers of a local Ray cluster."""

import os
import secrets
from pathlib import Path

import numpy as np
import pytest

import vaedge

MODEL = Path(__file__).parents[2] / "models" / "article"


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
