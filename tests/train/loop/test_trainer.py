"""Training runs: written files, learning, and repeatable results."""

import json
import re
import time

import numpy as np
import pytest
import torch
from PIL import Image

from vaedge_train import DataError, RunError, TrainConfig, train
from vaedge_train.data.examples import scale
from vaedge_train.dataset import load_dataset
from vaedge_train.loop.batches import Batch
from vaedge_train.loop.distributed import Workers
from vaedge_train.loop.state import TrainingState
from vaedge_train.loop.trainer import Trainer
from vaedge_train.loop.writer import SilentWriter


@pytest.fixture
def config(image_folder):
    return TrainConfig(dataset=str(image_folder), hidden=(16,), latent=2, epochs=3, batch_size=8)


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def changed(config, **fields):
    return TrainConfig.from_dict({**config.to_dict(), **fields})


def trainer(config):
    """Return a trainer that writes no files."""
    from vaedge_train.build import build_vae

    dataset = load_dataset(config)
    vae = build_vae(config, dataset.input_shape, len(dataset.classes), dataset.train)
    state = TrainingState(vae, config, dataset.train)
    return Trainer(state, dataset, Workers(), SilentWriter(), progress=False)


def test_run_folder_has_all_files_and_one_line_per_epoch(config, tmp_path, capsys):
    folder = tmp_path / "runs" / "first"
    run = train(config, folder)
    names = {
        *("checkpoint.pt", "config.json", "model.safetensors", "metrics.jsonl", "examples.npz"),
        *("samples.png", "reconstructions.png", "metrics.png", "events"),
    }
    assert {path.name for path in folder.iterdir()} == names
    metrics = rows(folder)
    assert [row["epoch"] for row in metrics] == [1, 2, 3]
    assert [row["step"] for row in metrics] == [5, 10, 15]
    for row in metrics:
        assert row["kept"]
        for part in ("train", "test"):
            assert row[f"{part}_elbo"] == pytest.approx(-row[f"{part}_distortion"] - row[f"{part}_rate"])
            assert row[f"{part}_rate"] >= 0
    assert run.metrics == metrics[-1]
    assert run.examples["x"].shape == (4, 1, 5, 6)
    assert not run.vae.training
    assert capsys.readouterr().out.count("nats") == 3


def test_piped_progress_shows_the_metrics(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vaedge.cli.progress._LINE_SECONDS", 1e-9)
    train(config, tmp_path / "run")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("training: ")]
    assert len(lines) == 15  # one line for each step
    number = r"-?[\d.]+"
    text = rf"epoch 2 of 3, ELBO {number}, distortion {number}, rate {number} nats"
    assert re.fullmatch(rf"training: 41%, 44 of 108 examples, .* examples/s, .* left, {text}", lines[5]), lines[5]


def test_seconds_of_an_epoch_are_those_since_the_start(config, tmp_path):
    began = time.perf_counter()
    train(config, tmp_path / "run", progress=False)
    seconds = [row["seconds"] for row in rows(tmp_path / "run")]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    assert seconds[-1] <= time.perf_counter() - began + 0.001  # metrics are rounded to milliseconds


def test_same_seed_gives_the_same_run(config, tmp_path):
    for name in "ab":
        train(config, tmp_path / name, progress=False)
    train(changed(config, seed=1), tmp_path / "c", progress=False)
    weights = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}
    assert weights["a"] == weights["b"] != weights["c"]
    without_time = [[{**row, "seconds": 0} for row in rows(tmp_path / name)] for name in "ab"]
    assert without_time[0] == without_time[1]


def test_random_state_of_the_caller_is_unchanged(config, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(config, tmp_path / "run", progress=False)
    assert torch.equal(torch.rand(3), expected)


def test_training_beats_the_best_model_without_latents(tmp_path):
    """In the best model without latents, the probability of a pixel is the mean of this pixel in the training set."""
    run = train(TrainConfig(epochs=2, hidden=(200,)), tmp_path / "run", progress=False)
    dataset = load_dataset(run.config)
    mean = scale(dataset.train.x).mean(0).clamp(1e-3, 1 - 1e-3)
    baseline = torch.nn.functional.binary_cross_entropy(mean.expand(2000, 1, 28, 28), scale(dataset.test.x)) * 784
    assert -run.metrics["test_elbo"] < 0.8 * baseline.item()
    assert run.metrics["test_rate"] > 5


def test_table_trains_with_a_gaussian(tmp_path):
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((400, 2))
    table = factors @ rng.standard_normal((2, 6)) + 0.1 * rng.standard_normal((400, 6))
    np.save(tmp_path / "table.npy", table)
    config = TrainConfig(dataset=tmp_path / "table.npy", likelihood="gaussian", hidden=(32,), latent=2, epochs=60)
    run = train(config, tmp_path / "run", progress=False)
    assert run.input_shape == (6,)
    assert {path.name for path in (tmp_path / "run").glob("*.png")} <= {"metrics.png"}
    independent = -0.5 * np.log(2 * np.pi * np.e * table.var(0)).sum()
    assert run.metrics["test_elbo"] > independent + 1


def test_label_replaces_what_z_would_have_to_encode(tmp_path):
    """All examples of a class are equal, so a conditional model does not need z."""
    y = np.random.default_rng(0).integers(0, 4, 400)
    x = np.zeros((400, 8), np.uint8)
    x[np.arange(400), 2 * y] = x[np.arange(400), 2 * y + 1] = 255
    np.savez(tmp_path / "x.npz", x=x, y=y)
    fields = {"likelihood": "bernoulli", "hidden": (16,), "latent": 2, "epochs": 40, "batch_size": 50}
    runs = {
        condition: train(
            TrainConfig(dataset=tmp_path / "x.npz", **fields, learning_rate=0.01, condition=condition),
            tmp_path / condition,
            progress=False,
        )
        for condition in ("label", "none")
    }
    assert runs["label"].metrics["test_elbo"] > -0.2
    assert runs["none"].metrics["test_elbo"] < -1.0  # the best possible ELBO is -log 4 = -1.39
    assert runs["label"].classes == ("0", "1", "2", "3")
    assert runs["label"].examples["y"].shape == (40,)


def test_existing_folder_is_not_changed(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").write_text("work")
    with pytest.raises(RunError, match="run exists already"):
        train(config, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["precious"]


def test_data_that_does_not_fit_the_likelihood_creates_no_folder(config, tmp_path):
    with pytest.raises(DataError, match="use the likelihood bce_surrogate"):
        train(changed(config, likelihood="bernoulli"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "fields",
    [{"prior": "vamp", "components": 3, "path_gradient": True}, pytest.param({}, marks=pytest.mark.slow)],
    ids=["vamp", "default"],
)
def test_compiled_run_has_the_same_metrics(config, tmp_path, fields):
    plain = changed(config, **fields, epochs=2)
    compiled = changed(plain, compile=True)
    a, b = (train(config, tmp_path / name, progress=False).metrics for config, name in ((plain, "a"), (compiled, "b")))
    assert a["test_elbo"] == pytest.approx(b["test_elbo"], rel=1e-4)


@pytest.mark.parametrize("likelihood", ["bce_surrogate", "continuous_bernoulli", "gaussian", "discretized_logistic"])
def test_every_likelihood_trains_without_a_validation_part(config, tmp_path, likelihood):
    run = train(changed(config, likelihood=likelihood), tmp_path / "run", progress=False)
    assert run.metrics["test_rate"] >= 0


def test_test_examples_do_not_choose_the_weights(tmp_path):
    """Two runs store the same weights if only their test examples differ."""
    rng = np.random.default_rng(0)
    train_examples = rng.integers(0, 256, (60, 5)).astype(np.uint8)
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", train=train_examples, test=rng.integers(0, 256, (30, 5)).astype(np.uint8))
        config = TrainConfig(dataset=tmp_path / f"{name}.npz", hidden=(8,), epochs=3, validation=0.2)
        train(config, tmp_path / name, progress=False)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


def test_epoch_with_the_best_validation_elbo_is_kept(config, monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 1.0, 0.5])
    monkeypatch.setattr("vaedge_train.loop.trainer.mean_terms", lambda *_: torch.tensor([next(losses), 0.25]))
    with_validation = trainer(changed(config, validation=0.2))
    found = [with_validation.evaluate() for _ in range(5)]
    assert [row["kept"] for row in found] == [True, True, False, False, True]
    assert found[0] == {"validation_elbo": -3.25, "validation_distortion": 3.0, "validation_rate": 0.25, "kept": True}
    assert with_validation.state.best == -0.75


def test_every_epoch_is_kept_without_a_validation_part(config, monkeypatch):
    losses = iter([1.0, 2.0])
    monkeypatch.setattr("vaedge_train.loop.trainer.mean_terms", lambda *_: torch.tensor([next(losses), 0.0]))
    without = trainer(config)
    assert [without.evaluate()["kept"] for _ in range(2)] == [True, True]


def test_warm_up_does_not_change_the_reported_terms(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (60, 5)).astype(np.uint8))
    config = TrainConfig(dataset=tmp_path / "x.npy", hidden=(8,), epochs=2, warm_up=1000.0)
    metrics = train(config, tmp_path / "run", progress=False).metrics
    for part in ("train", "test"):
        assert metrics[f"{part}_elbo"] == pytest.approx(-metrics[f"{part}_distortion"] - metrics[f"{part}_rate"])
        assert metrics[f"{part}_rate"] > 0.01


def test_steps_follow_the_schedules(config, monkeypatch):
    """An epoch has 5 steps. beta rises during the first epoch. The learning rate falls during all three epochs."""
    run, betas, rates = trainer(changed(config, schedule="cosine", warm_up=1.0, beta=2.0)), [], []
    honest = run.objective.forward
    monkeypatch.setattr(run.objective, "forward", lambda x, eps, beta, y: betas.append(beta) or honest(x, eps, beta, y))
    step = run.state.optimizer.step
    monkeypatch.setattr(
        run.state.optimizer, "step", lambda: rates.append(run.state.optimizer.param_groups[0]["lr"]) or step()
    )
    run.fit()
    assert betas == pytest.approx([0.0, 0.4, 0.8, 1.2, 1.6] + [2.0] * 10)
    positions = np.arange(15) / 15
    assert rates == pytest.approx(1e-3 * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * positions))))


def whole(examples):
    """Return a batch for the only process of a run. It consists of all given examples."""
    return Batch(examples.x, examples.y, len(examples))


def test_step_is_adam_on_the_loss(config):
    """One step equals a step of torch.optim.Adam on minus the ELBO, for the same batch and noise."""
    run, reference = trainer(config), trainer(config)
    rows = next(run.state.begin_epoch())
    reference.state.begin_epoch()
    batch = whole(run.dataset.train[rows])
    run.step(batch)
    vae = reference.state.vae
    optimizer = torch.optim.Adam(vae.parameters(), config.learning_rate)
    eps = torch.randn(1, len(rows), 2, generator=reference.state.generator)
    (-vae(scale(batch.x), eps).elbo.mean()).backward()
    optimizer.step()
    for name, weight in run.state.vae.state_dict().items():
        torch.testing.assert_close(weight, vae.state_dict()[name], rtol=1e-5, atol=1e-6)
    assert run.state.step == 1


def test_gradient_is_clipped_to_the_maximum_norm(config):
    run = trainer(changed(config, clip=0.5))
    run.step(whole(run.dataset.train[:8]))
    norm = torch.cat([parameter.grad.flatten() for parameter in run.state.vae.parameters()]).norm()
    assert norm.item() == pytest.approx(0.5, rel=1e-4)


def test_weight_decay_shrinks_the_weights(config):
    plain, decayed = (trainer(changed(config, weight_decay=decay)) for decay in (0.0, 10.0))
    before = {name: weight.clone() for name, weight in plain.state.vae.named_parameters()}
    for run in (plain, decayed):
        run.step(whole(run.dataset.train[:8]))
    for (name, a), b in zip(plain.state.vae.named_parameters(), decayed.state.vae.parameters(), strict=True):
        torch.testing.assert_close(a - b, 1e-3 * 10.0 * before[name], rtol=1e-3, atol=1e-7)


def test_totals_are_sums_over_the_examples_of_an_epoch(config):
    run = trainer(config)
    expected = torch.zeros(2, dtype=torch.float64)
    for rows in run.state.begin_epoch():
        batch = whole(run.dataset.train[rows])
        generator = torch.Generator()
        generator.set_state(run.state.generator.get_state())
        terms = run.state.vae(scale(batch.x), torch.randn(1, len(rows), 2, generator=generator))
        expected += torch.stack([terms.distortion.sum(), terms.rate.sum()]).double()
        run.step(batch)
    torch.testing.assert_close(run.state.totals, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("prior", ["standard_normal", "vamp"])
def test_average_is_evaluated_and_kept(config, tmp_path, prior):
    averaged = train(changed(config, average=0.9, prior=prior, components=3), tmp_path / "a", progress=False)
    saved = torch.load(tmp_path / "a" / "checkpoint.pt", weights_only=True)
    for name, weight in averaged.vae.state_dict().items():
        assert torch.equal(weight, saved["average"][name])
        assert not torch.equal(weight, saved["vae"][name])


def test_half_precision_is_used_for_the_objective_only(config, monkeypatch):
    run, seen = trainer(changed(config, precision="bfloat16")), []
    run.state.vae.encoder.output.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    run.step(whole(run.dataset.train[:8]))
    run.evaluate()
    assert seen == [torch.bfloat16, torch.float32]
    assert {weight.dtype for weight in run.state.vae.parameters()} == {torch.float32}


def test_image_grids_show_images(config, tmp_path):
    train(config, tmp_path / "run", progress=False)
    with Image.open(tmp_path / "run" / "samples.png") as image:
        assert image.size == (8 * (6 + 2) + 2, 8 * (5 + 2) + 2)
        assert np.asarray(image).std() > 1
    with Image.open(tmp_path / "run" / "reconstructions.png") as image:
        assert image.size == (4 * (6 + 2) + 2, 2 * (5 + 2) + 2)  # four images above four reconstructions
        pixels = np.asarray(image)
    first = load_dataset(config).test.x[0, 0].numpy()
    assert np.array_equal(pixels[2:7, 2:8], first)


def test_samples_of_a_conditional_model_have_one_column_per_class(tmp_path):
    config = TrainConfig(condition="label", hidden=(4,), latent=2, epochs=1, batch_size=4000)
    train(config, tmp_path / "run", progress=False)
    with Image.open(tmp_path / "run" / "samples.png") as image:
        assert image.width == 10 * (28 + 2) + 2
        assert image.height > 8 * (28 + 2) + 2  # each image has a caption
        assert (image.height - 2) % 8 == 0


def test_tensorboard_reads_the_events(config, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(config, tmp_path / "run", progress=False)
    events = EventAccumulator(str(tmp_path / "run" / "events")).Reload()
    for part in ("train", "test"):
        found = [(event.step, event.value) for event in events.Scalars(f"elbo/{part}")]
        expected = [(row["epoch"], row[f"{part}_elbo"]) for row in rows(tmp_path / "run")]
        assert [step for step, _ in found] == [step for step, _ in expected]
        assert [value for _, value in found] == pytest.approx([value for _, value in expected])


def test_silent_writer_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = SilentWriter()
    writer.begin(False)
    writer.end_epoch({})
    writer.save()
    writer.finish()
    writer.close()
    assert not list(tmp_path.iterdir())
