"""`vaedge.Batch` applies a method of a VAE to one column of a batch, in this process or in worker processes."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import vaedge


def test_operations_add_their_columns(vae, bundle, digits):
    batch = {"x": digits, "id": np.arange(len(digits))}
    encoded = vaedge.Batch(bundle)(batch)
    assert list(encoded) == ["x", "id", "mean", "log_var"]
    np.testing.assert_array_equal(encoded["id"], batch["id"])
    np.testing.assert_allclose(encoded["mean"], vae.encode(digits).mean, atol=1e-6)
    np.testing.assert_allclose(encoded["log_var"], vae.encode(digits).log_var, atol=1e-6)
    decoded = vaedge.Batch(bundle, "decode")({"z": encoded["mean"]})
    assert list(decoded) == ["z", "x"]
    np.testing.assert_allclose(decoded["x"], vae.reconstruct(digits), atol=1e-5)
    reconstructed = vaedge.Batch(bundle, "reconstruct")(batch)
    assert list(reconstructed) == ["x", "id", "reconstruction"]
    np.testing.assert_allclose(reconstructed["reconstruction"], vae.reconstruct(digits), atol=1e-5)


def test_arguments_are_those_of_the_operation(bundle, digits):
    model, x = bundle.parent / "mnist", digits.round()
    nats = vaedge.Batch(model, "log_prob", k=3, seed=1)({"x": x})["log_prob"]
    np.testing.assert_allclose(nats, vaedge.load(model).log_prob(x, k=3, seed=1), rtol=1e-5)
    assert not np.array_equal(nats, vaedge.Batch(model, "log_prob", k=3, seed=2)({"x": x})["log_prob"])


def test_batch_is_pickled_before_and_after_its_first_call(bundle, digits):
    batch = vaedge.Batch(bundle, "reconstruct", variant="int8")
    before = pickle.loads(pickle.dumps(batch))({"x": digits})["reconstruction"]
    batch({"x": digits})
    after = pickle.loads(pickle.dumps(batch))
    assert len(pickle.dumps(after)) < 1000
    np.testing.assert_array_equal(before, after({"x": digits})["reconstruction"])


def test_bundle_is_loaded_by_the_first_call_with_one_thread(copied, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(copied.parent)
    batch = vaedge.Batch(copied.name)
    monkeypatch.chdir(copied)  # Batch has stored the absolute path
    assert batch._vae is None
    batch({"x": digits})
    assert batch._vae.threads == 1


def test_process_pool_runs_a_batch(bundle, digits):
    expected = vaedge.load(bundle, threads=1).encode(digits)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for found in pool.map(vaedge.Batch(bundle), [{"x": digits}] * 4):
            np.testing.assert_array_equal(found["mean"], expected.mean)


def test_unknown_operation_is_refused(bundle):
    with pytest.raises(vaedge.InputError, match="operation is 'sample'; expected one of encode, decode"):
        vaedge.Batch(bundle, "sample")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"image": np.zeros((1, 2))}, "has the columns image; encode needs the column 'x'"),
        ([np.zeros((1, 2))], "the batch is a list; expected a dict of arrays"),
        ({"x": np.zeros((1, 2), np.float32)}, r"x has shape \(1, 2\)"),
    ],
)
def test_invalid_batch_is_refused(bundle, batch, message):
    with pytest.raises(vaedge.InputError, match=message):
        vaedge.Batch(bundle)(batch)
