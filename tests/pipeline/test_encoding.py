"""If a model was trained on 8-bit data, its bundle takes uint8 arrays and scales them as training does."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

import vaedge
from vaedge.cli.main import main
from vaedge_export import export_run
from vaedge_train import TrainConfig, load_run, train
from vaedge_train.data.examples import scale

SCHEMA = Path(__file__).parents[2] / "docs" / "manifest.schema.json"
X = np.random.default_rng(0).integers(0, 256, (60, 1, 4, 4), np.uint8)


def trained(folder, x=X, **fields):
    np.save(folder / "x.npy", x)
    config = {"dataset": str(folder / "x.npy"), "hidden": (8,), "latent": 2, "epochs": 1, **fields}
    return train(TrainConfig(**config), folder / "run", progress=False)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"likelihood": "bernoulli", "binarize": "dynamic"},
        {"likelihood": "discretized_logistic"},
        {"likelihood": "gaussian"},
    ],
    ids=["surrogate", "binarized", "logistic", "gaussian"],
)
def test_bundle_of_8_bit_data_takes_uint8(tmp_path, fields):
    run = trained(tmp_path, **fields)
    assert run.encoding == "uint8"
    assert json.loads((run.path / "config.json").read_text())["encoding"] == "uint8"
    bundle = export_run(run.path, tmp_path / "bundle")
    tree = json.loads((bundle / "manifest.json").read_text())
    assert tree["input"]["encoding"] == {"dtype": "uint8", "scale": 255}
    assert tree["input"]["range"] == [0, 1]
    jsonschema.validate(tree, json.loads(SCHEMA.read_text()))
    vae = vaedge.load(bundle)
    as_trained = scale(torch.from_numpy(X)).numpy()
    np.testing.assert_array_equal(vae.encode(X).mean, vae.encode(as_trained).mean)
    if not fields:
        argv = ["encode", str(bundle), str(tmp_path / "x.npy"), "--out", str(tmp_path / "q.npz")]
        assert main(argv) == 0
        np.testing.assert_array_equal(np.load(tmp_path / "q.npz")["mean"], vae.encode(as_trained).mean)


def test_bundle_of_floating_point_data_refuses_uint8(tmp_path):
    run = trained(tmp_path, (X / 255).astype(np.float32))
    assert run.encoding is None
    bundle = export_run(run.path, tmp_path / "bundle")
    assert "encoding" not in json.loads((bundle / "manifest.json").read_text())["input"]
    with pytest.raises(vaedge.InputError, match=r"x is an array of uint8; expected float32; scale pixels of 0..255"):
        vaedge.load(bundle).encode(X)


def test_run_of_an_older_release_has_no_encoding(tmp_path):
    run = trained(tmp_path)
    tree = json.loads((run.path / "config.json").read_text())
    del tree["encoding"]
    (run.path / "config.json").write_text(json.dumps(tree))
    with np.load(run.path / "examples.npz") as archive:
        np.savez(run.path / "examples.npz", x=archive["x"])
    again = load_run(run.path)
    assert again.encoding is None
    assert again.labels == ()
    assert vaedge.load(export_run(run.path, tmp_path / "bundle")).manifest.encoding is None
