"""Exports of run folders of `vaedge train`."""

import dataclasses
import shlex
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import vaedge
from vaedge.cli.main import main
from vaedge_export import export_run, from_run
from vaedge_export.from_run import export_command
from vaedge_train import TrainConfig, train


def test_bundle_names_the_command_and_the_metrics_but_no_path(tmp_path):
    (tmp_path / "secret").mkdir()
    for index in range(12):
        Image.new("L", (4, 4), index * 20).save(tmp_path / "secret" / f"{index}.png")
    config = TrainConfig(dataset=str(tmp_path / "secret"), hidden=(8,), latent=2, epochs=2)
    run = train(config, tmp_path / "run", progress=False)
    bundle = export_run(tmp_path / "run", tmp_path / "bundle")
    manifest = vaedge.load(bundle).manifest
    command = "vaedge train --dataset secret --hidden 8 --latent 2 --epochs 2 --out runs/bundle"
    assert manifest.training["command"] == command
    assert manifest.training["export"] == "vaedge export runs/bundle --out models/bundle"
    assert manifest.metrics["test_elbo"] == run.metrics["test_elbo"]
    assert manifest.likelihood == "bce_surrogate"
    card = (bundle / "README.md").read_text()
    assert command in card
    assert "not a normalized likelihood" in card
    for path in bundle.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()
    x = run.examples["x"]
    expected = run.vae.reconstruct(torch.from_numpy(x))
    np.testing.assert_allclose(vaedge.load(bundle).reconstruct(x), expected, atol=1e-5)


@pytest.mark.parametrize("prior", ["mixture", "vamp"])
def test_runtime_samples_the_prior_that_was_trained(tmp_path, prior):
    data = np.random.default_rng(0).integers(0, 256, (60, 4, 4)).astype(np.uint8)
    np.save(tmp_path / "x.npy", data)
    config = TrainConfig(
        dataset=tmp_path / "x.npy", hidden=(8,), latent=2, epochs=2, prior=prior, components=5, average=0.9
    )
    run = train(config, tmp_path / "run", progress=False)
    bundle = export_run(tmp_path / "run", tmp_path / "bundle")
    vae = vaedge.load(bundle)
    assert vae.manifest.prior == "mixture"
    assert vae.manifest.prior_file == "prior.npz"
    assert "| all | `prior.npz` |" in (bundle / "README.md").read_text()
    trained = run.vae.prior.frozen(run.vae.inference)
    np.testing.assert_array_equal(vae.prior.mean, trained.mean)
    np.testing.assert_allclose(vae.prior.std, torch.exp(trained.log_var / 2), rtol=1e-6)
    weights = np.diff(vae.prior.cumulative, prepend=0) / 2**53
    np.testing.assert_allclose(weights, trained.log_weights.exp(), rtol=1e-5)
    drawn = run.vae.prior.sample(50_000, run.vae.inference, torch.Generator().manual_seed(0)).detach()
    z = vae.prior.sample(50_000, seed=0)
    np.testing.assert_allclose(z.mean(0), drawn.mean(0), atol=0.04)
    np.testing.assert_allclose(np.cov(z.T), np.cov(drawn.T), atol=0.06)


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ((["fp32"], None, None, None, False), "vaedge export runs/a --out models/a"),
        ((["int8", "fp32", "fp16", "int8"], None, None, None, False), "... --variants int8,fp16"),
        ((["fp32"], 0.0, None, None, False), "... --allow-loss 0"),
        ((["fp32"], 2.5, 4, None, False), "... --allow-loss 2.5 --fixed-batch 4"),
        ((["fp32"], None, None, "It's $5.", False), "... --note 'It'\"'\"'s $5.'"),
        ((["fp32"], None, None, "", False), "vaedge export runs/a --out models/a"),
        ((["fp32"], None, None, None, True), "... --calibration"),
    ],
)
def test_command_names_every_option_that_was_given(options, command):
    expected = command.replace("...", "vaedge export runs/a --out models/a")
    assert export_command("a", *options) == expected
    assert shlex.split(expected)[:3] == ["vaedge", "export", "runs/a"]


def test_evaluations_of_the_command_are_in_the_manifest_and_on_the_card(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (60, 4, 4)).astype(np.uint8))
    words = ["--dataset", str(tmp_path / "x.npy"), "--hidden", "8", "--latent", "2", "--epochs", "1"]
    words += ["--binarize", "dynamic", "--likelihood", "bernoulli", "--prior", "mixture", "--components", "3"]
    assert main(["train", *words, "--out", str(tmp_path / "run")]) == 0
    for words in (["-k", "20"], ["-k", "20", "--seed", "7"], ["-k", "2"], ["-k", "20"]):
        assert main(["evaluate", str(tmp_path / "run"), *words]) == 0
    bundle = export_run(tmp_path / "run", tmp_path / "bundle")
    metrics = vaedge.load(bundle).manifest.metrics
    assert metrics["test_bound"] >= metrics["test_elbo"]
    assert "k = 20 draws, seed 0" in metrics["measured_on"]
    assert metrics["test_bound_with_seed_7"] != metrics["test_bound"]
    assert len([name for name in metrics if name.startswith("test_bound_with")]) == 1
    assert "once, seed 123" in (bundle / "README.md").read_text()


def evaluation(seed, k, n, bound):
    names = ("bound_standard_error", "elbo", "elbo_standard_error", "distortion", "rate")
    texts = {"likelihood": "bernoulli", "binarized": "not binarized"}
    return {"seed": seed, "k": k, "items": n, "bound": bound, **dict.fromkeys(names, 1.0), **texts}


@pytest.fixture
def finished(run):
    return SimpleNamespace(
        config=run.config, classes=(), metrics={**run.metrics, "epoch": 2, "seconds": 3.0}, evaluations=[]
    )


def test_most_precise_evaluation_is_chosen_and_comparable_ones_are_listed(finished):
    finished.evaluations = [
        evaluation(seed=3, k=20, n=500, bound=-3.0),
        evaluation(seed=0, k=50, n=400, bound=-4.0),
        evaluation(seed=1, k=20, n=500, bound=-1.0),
        evaluation(seed=0, k=2, n=500, bound=-2.0),
    ]
    metrics = from_run._metrics(finished)
    assert metrics["test_bound"] == -1.0
    assert {name: value for name, value in metrics.items() if "seed" in name} == {"test_bound_with_seed_3": -3.0}
    assert metrics["measured_on"] == (
        "500 test examples of mnist-sample, p(x|z): bernoulli, not binarized, k = 20 draws, seed 1"
    )
    finished.classes = ("a", "b")
    assert "mnist-sample with their labels as conditions, p(x|z)" in from_run._metrics(finished)["measured_on"]


def test_metrics_of_the_epoch_are_those_of_the_validation_part_if_there_is_one(finished):
    finished.metrics = {"epoch": 2, "train_elbo": -9.0}
    finished.metrics |= {f"test_{name}": 1.0 for name in ("elbo", "distortion", "rate")}
    metrics = from_run._metrics(finished)
    assert set(metrics) == {"test_elbo", "test_distortion", "test_rate", "train_elbo", "measured_on"}
    assert metrics["measured_on"].endswith("one draw of z per example, after epoch 2")
    finished.metrics |= {f"validation_{name}": 2.0 for name in ("elbo", "distortion", "rate")}
    metrics = from_run._metrics(finished)
    assert metrics["validation_elbo"] == 2.0
    assert "test_elbo" not in metrics


def test_note_says_which_epoch_was_kept_if_it_is_not_the_last(finished):
    assert "note" not in from_run._training(finished, "a")
    finished.config = dataclasses.replace(finished.config, epochs=3)
    assert from_run._training(finished, "a")["note"] == "The weights are those of epoch 2 of 3."
