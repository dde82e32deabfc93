"""Standardization: which runs use it, the warning for a run that should use it, and how the run folder stores it."""

import json
import warnings

import numpy as np
import pytest
import safetensors.torch
import torch

from vaedge_train import ConfigError, RunError, TrainConfig, load_run, train
from vaedge_train.data.examples import Examples
from vaedge_train.data.standardize import moments_of


def config(**fields):
    return TrainConfig(**{"likelihood": "gaussian", "hidden": (8,), "latent": 2, "epochs": 2, **fields})


@pytest.fixture
def table():
    """60 rows of four columns on different scales. The third column is constant."""
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 12791, 0, 0.006])
    return x + torch.tensor([1.0, 5, 7, 0])


@pytest.fixture
def saved(table, tmp_path):
    np.save(tmp_path / "table.npy", table.numpy())
    return tmp_path / "table.npy"


@pytest.fixture
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.usefixtures("no_warnings")
def test_auto_standardizes_floats_outside_of_0_to_1(table):
    moments = moments_of(Examples(table), config())
    torch.testing.assert_close(moments.std[:2], table.std(0, correction=0)[:2])
    assert moments.std[2] == 1


@pytest.mark.usefixtures("no_warnings")
@pytest.mark.parametrize("x", [torch.rand(9, 3), torch.randint(0, 256, (9, 3), dtype=torch.uint8)])
@pytest.mark.parametrize("standardize", ["auto", "off"])
def test_data_in_0_to_1_and_8_bit_data_keep_their_units(x, standardize):
    assert moments_of(Examples(x), config(standardize=standardize)) is None


@pytest.mark.usefixtures("no_warnings")
@pytest.mark.parametrize("likelihood", ["bernoulli", "bce_surrogate", "continuous_bernoulli", "discretized_logistic"])
def test_likelihoods_with_a_range_keep_their_units(likelihood):
    assert moments_of(Examples(torch.rand(9, 3)), config(likelihood=likelihood)) is None
    with pytest.raises(
        ConfigError, match=f"standardize is 'on', but the likelihood '{likelihood}' takes only values from 0"
    ):
        config(likelihood=likelihood, standardize="on")


def test_on_standardizes_data_in_0_to_1_and_refuses_8_bit_data():
    x = torch.rand(9, 3)
    assert moments_of(Examples(x), config(standardize="on")) is not None
    with pytest.raises(ConfigError, match="standardize is 'on', but x.npy is 8-bit data.*use standardize 'auto'"):
        moments_of(Examples((x * 255).byte()), config(standardize="on", dataset="x.npy"))


def test_other_values_of_standardize_are_refused():
    with pytest.raises(ConfigError, match="standardize is 'yes'; expected one of auto, on, off"):
        config(standardize="yes")


@pytest.mark.parametrize(("features", "named"), [((), ("1", "3")), (("a", "income", "c", "rate"), ("income", "rate"))])
def test_off_warns_once_about_columns_on_extreme_scales(table, features, named):
    with pytest.warns(UserWarning, match="use --standardize on") as caught:
        assert moments_of(Examples(table), config(standardize="off"), features) is None
    assert len(caught) == 1
    message = str(caught[0].message)
    assert f"{named[0]} (1" in message
    assert f"{named[1]} (0.00" in message
    assert message.count("(") == 2


def test_warning_about_scales_counts_many_columns():
    x = torch.randn(60, 1205, generator=torch.Generator().manual_seed(0)) * 1000
    with pytest.warns(UserWarning, match=r"above 100 or below 0.01: 0 \(.*4 \(\S+\) and 1,200 more; the model"):
        moments_of(Examples(x), config(standardize="off"))


@pytest.mark.parametrize("scale", [101.0, 0.0099])
def test_off_warns_just_beyond_the_limits(scale):
    x = torch.tensor([[-1.0], [1.0]]).repeat(50, 1) * scale
    with pytest.warns(UserWarning, match="use --standardize on"):
        moments_of(Examples(x), config(standardize="off"))


@pytest.mark.usefixtures("no_warnings")
def test_off_is_silent_about_moderate_scales():
    x = torch.tensor([[-99.0, -0.011], [99, 0.011]]).repeat(50, 1)
    assert moments_of(Examples(x), config(standardize="off")) is None


def test_moments_are_those_of_the_training_part_alone(saved, tmp_path):
    run = train(config(dataset=saved, validation=0.25), tmp_path / "run", progress=False)
    x = torch.from_numpy(np.load(saved))
    held_out = run.examples["x"]
    assert not torch.allclose(run.vae.standardization.mean[0], x.mean(0)[0])
    assert len(held_out) == 6


def test_run_folder_keeps_the_moments(saved, tmp_path):
    run = train(config(dataset=saved, average=0.9), tmp_path / "run", progress=False)
    loaded = load_run(tmp_path / "run").vae
    weights = safetensors.torch.load_file(tmp_path / "run" / "model.safetensors")
    assert torch.equal(weights["standardization.std"], run.vae.standardization.std)
    x = torch.from_numpy(run.examples["x"])
    assert torch.equal(loaded.reconstruct(x), run.vae.reconstruct(x))
    assert run.config.standardize == "auto"


def test_metrics_are_in_the_units_of_the_data(saved, tmp_path):
    """If three columns are ten times larger, the log-density is lower by log 10 for each of these columns."""
    np.save(tmp_path / "larger.npy", np.load(saved) * np.float32([10, 10, 1, 10]))
    runs = [
        train(config(dataset=path), tmp_path / path.stem, progress=False) for path in (saved, tmp_path / "larger.npy")
    ]
    small, large = (run.metrics["test_elbo"] for run in runs)
    assert small - large == pytest.approx(3 * np.log(10), abs=1e-2)


def test_vamp_prior_trains_on_standardized_data(saved, tmp_path):
    run = train(config(dataset=saved, prior="vamp", components=5), tmp_path / "run", progress=False)
    pseudo_inputs = run.vae.prior.pseudo_inputs
    assert pseudo_inputs.abs().max() < 6
    assert (pseudo_inputs < 0).any()
    assert run.vae.prior.value_range is None
    assert torch.isfinite(run.vae.frozen_prior().mean).all()


def test_vamp_prior_of_data_in_0_to_1_is_clamped_to_it(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((60, 4), np.float32))
    run = train(config(dataset=tmp_path / "x.npy", prior="vamp", components=5), tmp_path / "run", progress=False)
    assert run.vae.prior.value_range == (0, 1)


@pytest.mark.parametrize("kind", ["float", "uint8"])
def test_training_on_data_in_0_to_1_is_the_same_with_auto_and_off(tmp_path, kind):
    x = np.random.default_rng(0).integers(0, 256, (60, 4, 4)).astype(np.uint8)
    np.save(tmp_path / "x.npy", x if kind == "uint8" else x.astype(np.float32) / 255)
    runs = [
        train(config(dataset=tmp_path / "x.npy", standardize=value), tmp_path / value, progress=False)
        for value in ("auto", "off")
    ]
    rows = [
        [{**json.loads(line), "seconds": 0} for line in (run.path / "metrics.jsonl").read_text().splitlines()]
        for run in runs
    ]
    assert rows[0] == rows[1]
    assert not [name for name in runs[0].vae.state_dict() if "standardization" in name]


def test_run_without_the_field_and_the_buffers_loads_as_before(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32))
    run = train(config(dataset=tmp_path / "x.npy", standardize="off"), tmp_path / "run", progress=False)
    tree = json.loads((run.path / "config.json").read_text())
    del tree["standardize"]
    (run.path / "config.json").write_text(json.dumps(tree))
    old = load_run(run.path)
    assert old.vae.standardization is None
    x = torch.from_numpy(run.examples["x"])
    assert torch.equal(old.vae.reconstruct(x), run.vae.reconstruct(x))


def checkpoint_of_an_earlier_version(folder):
    path = folder / "checkpoint.pt"
    saved = torch.load(path, weights_only=True)
    del saved["config"]["standardize"]
    saved["vae"] = {name: value for name, value in saved["vae"].items() if "standardization" not in name}
    torch.save(saved, path)
    tree = json.loads((folder / "config.json").read_text())
    del tree["standardize"]
    (folder / "config.json").write_text(json.dumps(tree))


def test_run_of_an_earlier_version_resumes(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((60, 4), np.float32))
    done = train(config(dataset=tmp_path / "x.npy"), tmp_path / "run", progress=False)
    checkpoint_of_an_earlier_version(done.path)
    resumed = train(config(dataset=tmp_path / "x.npy"), done.path, resume=True, progress=False)
    assert resumed.metrics == done.metrics


def test_run_of_an_earlier_version_does_not_resume_in_other_units(saved, tmp_path):
    done = train(config(dataset=saved), tmp_path / "run", progress=False)
    checkpoint_of_an_earlier_version(done.path)
    with pytest.raises(RunError, match="a version of vaedge that does not standardize data; train again"):
        train(config(dataset=saved), done.path, resume=True, progress=False)


def test_standardized_run_resumes_in_the_same_bits(saved, tmp_path):
    whole = train(config(dataset=saved, epochs=4), tmp_path / "whole", progress=False)
    halves = tmp_path / "halves"
    with pytest.MonkeyPatch.context() as patch:
        from vaedge_train.loop.trainer import Trainer

        run_epoch = Trainer.run_epoch

        def stop(self, *arguments):
            if self.state.epoch == 2:
                raise KeyboardInterrupt
            run_epoch(self, *arguments)

        patch.setattr(Trainer, "run_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config(dataset=saved, epochs=4), halves, progress=False)
    resumed = train(config(dataset=saved, epochs=4), halves, resume=True, progress=False)
    for name, value in whole.vae.state_dict().items():
        assert torch.equal(value, resumed.vae.state_dict()[name])


def test_default_hidden_layer_of_a_narrow_standardized_table_has_128_units(saved, tmp_path):
    run = train(config(dataset=saved, hidden=None, epochs=1), tmp_path / "run", progress=False)
    assert run.vae.encoder.output.in_features == 128
    assert load_run(run.path).vae.decoder.output.in_features == 128
    with pytest.warns(UserWarning, match="use --standardize on"):
        run = train(config(dataset=saved, hidden=None, epochs=1, standardize="off"), tmp_path / "off", progress=False)
    assert run.vae.encoder.output.in_features == 4
