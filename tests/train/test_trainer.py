"""The run that training leaves behind."""

import json

import numpy as np
import pytest
import torch

from vaedge_train import DataError, RunError, TrainConfig, load_run, train


@pytest.fixture
def config(pictures):
    return TrainConfig(dataset=str(pictures), hidden=(16,), latent=2, epochs=3, batch_size=8)


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_run_folder(config, tmp_path, capsys):
    folder = tmp_path / "runs" / "first"
    run = train(config, folder)
    names = {
        "checkpoint.pt",
        "config.json",
        "model.safetensors",
        "metrics.jsonl",
        "examples.npz",
        "samples.png",
        "reconstructions.png",
        "events",
    }
    assert {path.name for path in folder.iterdir()} == names
    figures = rows(folder)
    assert [row["epoch"] for row in figures] == [1, 2, 3]
    assert [row["step"] for row in figures] == [5, 10, 15]
    for row in figures:
        for part in ("train", "test"):
            assert row[f"{part}_elbo"] == pytest.approx(-row[f"{part}_distortion"] - row[f"{part}_rate"])
            assert row[f"{part}_rate"] >= 0
    assert run.metrics == figures[-1]
    assert run.examples["x"].shape == (4, 1, 5, 6)
    assert not run.vae.training
    assert capsys.readouterr().out.count("nats") == 3


def test_a_run_reads_back(config, tmp_path):
    run, again = train(config, tmp_path / "run", progress=False), load_run(tmp_path / "run")
    assert again.config == config
    for name, weight in run.vae.state_dict().items():
        assert torch.equal(weight, again.vae.state_dict()[name])


def test_the_same_seed_gives_the_same_run(config, tmp_path):
    for name in "ab":
        train(config, tmp_path / name, progress=False)
    train(TrainConfig.from_dict({**vars(config), "seed": 1}), tmp_path / "c", progress=False)
    weights = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}
    assert weights["a"] == weights["b"] != weights["c"]
    without_time = [[{**row, "seconds": 0} for row in rows(tmp_path / name)] for name in "ab"]
    assert without_time[0] == without_time[1]


def test_the_caller_s_random_state_is_left_alone(config, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(config, tmp_path / "run", progress=False)
    assert torch.equal(torch.rand(3), expected)


def test_training_beats_the_best_model_without_latents(tmp_path):
    """Independent pixels at the training set's mean are the optimum that ignores z."""
    run = train(TrainConfig(epochs=2, hidden=(200,)), tmp_path / "run", progress=False)
    from vaedge_train.data.examples import scale
    from vaedge_train.dataset import load_dataset

    dataset = load_dataset(run.config)
    mean = scale(dataset.train.x).mean(0).clamp(1e-3, 1 - 1e-3)
    baseline = torch.nn.functional.binary_cross_entropy(mean.expand(2000, 1, 28, 28), scale(dataset.test.x)) * 784
    assert -run.metrics["test_elbo"] < 0.8 * baseline.item()
    assert run.metrics["test_rate"] > 5


def test_an_untrained_decoder_starts_at_the_data_s_mean(pictures):
    from vaedge_train.build import build_vae
    from vaedge_train.data.examples import scale
    from vaedge_train.dataset import load_dataset

    config = TrainConfig(dataset=str(pictures), hidden=(4,), latent=1)
    x = scale(load_dataset(config).train.x)
    mean, vae = x.mean(0), build_vae(config, (1, 5, 6), items=x)
    assert torch.sigmoid(vae.decoder.output.bias).tolist() == pytest.approx(mean.flatten().tolist(), abs=1e-5)


def test_a_folder_that_exists_is_left_alone(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").write_text("work")
    with pytest.raises(RunError, match="run exists already"):
        train(config, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["precious"]


def test_data_that_does_not_fit_the_likelihood(config, tmp_path):
    grey = TrainConfig.from_dict({**vars(config), "likelihood": "bernoulli"})
    with pytest.raises(DataError, match="use likelihood bce_surrogate"):
        train(grey, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "metrics.jsonl", "examples.npz"])
def test_an_incomplete_run(config, tmp_path, name):
    train(config, tmp_path / "run", progress=False)
    (tmp_path / "run" / name).unlink()
    with pytest.raises(RunError, match=f"{name} is missing"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "metrics.jsonl", "examples.npz"])
def test_a_damaged_run(config, tmp_path, name):
    train(config, tmp_path / "run", progress=False)
    (tmp_path / "run" / name).write_bytes(b"nothing")
    with pytest.raises(RunError, match="damaged"):
        load_run(tmp_path / "run")


def test_pictures_of_a_run_are_pictures(config, tmp_path):
    from PIL import Image

    train(config, tmp_path / "run", progress=False)
    for name in ("samples.png", "reconstructions.png"):
        with Image.open(tmp_path / "run" / name) as picture:
            assert np.asarray(picture).std() > 1


def test_tensorboard_reads_the_events(config, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(config, tmp_path / "run", progress=False)
    events = EventAccumulator(str(tmp_path / "run" / "events")).Reload()
    for part in ("train", "test"):
        found = [(event.step, event.value) for event in events.Scalars(f"elbo/{part}")]
        expected = [(row["epoch"], row[f"{part}_elbo"]) for row in rows(tmp_path / "run")]
        assert [step for step, _ in found] == [step for step, _ in expected]
        assert [value for _, value in found] == pytest.approx([value for _, value in expected])


@pytest.mark.parametrize("fields", [{}, {"prior": "vamp", "components": 3, "path_gradient": True}])
def test_compiled_is_the_same_run(config, tmp_path, fields):
    plain = TrainConfig.from_dict({**vars(config), **fields, "epochs": 2})
    compiled = TrainConfig.from_dict({**vars(plain), "compile": True})
    a, b = (train(config, tmp_path / name, progress=False).metrics for config, name in ((plain, "a"), (compiled, "b")))
    assert a["test_elbo"] == pytest.approx(b["test_elbo"], rel=1e-4)


@pytest.mark.parametrize("likelihood", ["bce_surrogate", "continuous_bernoulli", "gaussian", "discretized_logistic"])
def test_every_likelihood_trains_without_a_validation_part(config, tmp_path, likelihood):
    run = train(TrainConfig.from_dict({**vars(config), "likelihood": likelihood}), tmp_path / "run", progress=False)
    assert run.metrics["test_rate"] >= 0
