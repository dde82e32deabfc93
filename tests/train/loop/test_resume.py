"""An interrupted and resumed run ends with the same bits as a run without the interruption."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from killing import serving
from PIL import Image

import vaedge_train.loop.trainer
import vaedge_train.loop.writer
from vaedge.cli.main import main
from vaedge_train import ConfigError, DataError, NonFiniteError, RunError, TrainConfig, train
from vaedge_train.loop.trainer import Trainer

RICH = {
    "hidden": (16,),
    "latent": 3,
    "epochs": 3,
    "batch_size": 5,
    "binarize": "dynamic",
    "likelihood": "bernoulli",
    "prior": "vamp",
    "components": 4,
    "objective": "iwae",
    "samples": 3,
    "path_gradient": True,
    "warm_up": 2.0,
    "schedule": "cosine",
    "weight_decay": 0.01,
    "clip": 1.0,
    "average": 0.9,
    "validation": 0.2,
}


@pytest.fixture
def config(image_folder):
    return TrainConfig(dataset=str(image_folder), **RICH)


def outcome(folder):
    """Return the results that an interruption must not change: the weights, and the metrics without the time."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return (folder / "model.safetensors").read_bytes(), [{**row, "seconds": 0} for row in rows]


@pytest.fixture
def uninterrupted(config, tmp_path):
    train(config, tmp_path / "whole", progress=False)
    return outcome(tmp_path / "whole")


class KilledError(Exception):
    """An error that simulates a killed process: nothing is saved after the error."""


@pytest.mark.parametrize("stop", [1, 3, 7, 8, 17])
def test_run_that_fails_in_a_step_is_resumed(config, uninterrupted, tmp_path, monkeypatch, stop):
    monkeypatch.setattr(vaedge_train.loop.trainer, "_CHECKPOINT_SECONDS", 0.0)
    steps, honest = iter(range(1, 1000)), torch.optim.AdamW.step

    def step(self, *arguments):
        if next(steps) == stop:
            raise KilledError
        return honest(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(KilledError):
        train(config, tmp_path / "run", progress=False)
    train(config, tmp_path / "run", resume=True, progress=False)
    assert outcome(tmp_path / "run") == uninterrupted


def test_run_that_fails_between_checkpoints_repeats_the_steps_since_the_last_one(
    config, uninterrupted, tmp_path, monkeypatch
):
    honest = Trainer.evaluate

    def evaluate(self):
        monkeypatch.setattr(Trainer, "evaluate", honest)
        raise KilledError

    monkeypatch.setattr(Trainer, "evaluate", evaluate)
    with pytest.raises(KilledError):
        train(config, tmp_path / "run", progress=False)
    train(config, tmp_path / "run", resume=True, progress=False)
    assert outcome(tmp_path / "run") == uninterrupted


def test_patience_counts_the_epochs_before_an_interruption(config, tmp_path, monkeypatch):
    """With a learning rate of almost zero, the first epoch is the best, and the run ends after the third epoch."""
    fields = {"patience": 2, "epochs": 9, "learning_rate": 1e-30, "average": 0.0}
    patient = TrainConfig.from_dict({**config.to_dict(), **fields})
    train(patient, tmp_path / "whole", progress=False)
    steps, honest = iter(range(1, 1000)), torch.optim.AdamW.step

    def step(self, *arguments):
        if next(steps) == 14:  # in the third epoch of six steps
            raise KilledError
        return honest(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(KilledError):
        train(patient, tmp_path / "run", progress=False)
    train(patient, tmp_path / "run", resume=True, progress=False)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    assert [row["kept"] for row in outcome(tmp_path / "run")[1]] == [True, False, False]


def test_finished_run_does_not_change_when_resumed(config, uninterrupted, tmp_path):
    train(config, tmp_path / "whole", resume=True, progress=False)
    assert outcome(tmp_path / "whole") == uninterrupted


def command(config):
    words = config.command("x").split()[2:-2]
    return ["--dataset", config.dataset, *words[2:]]


# Each child runs `vaedge train` and writes a checkpoint after every step. The server imports modules before the forks.
_TRAINING = """
import os
import torch._dynamo
import vaedge_train.command, vaedge_train.loop.trainer
from killing import children
from vaedge.cli.main import main
from vaedge_train.data.torchvision_data import import_torchvision
import_torchvision()
torch.set_num_threads(1)
vaedge_train.loop.trainer._CHECKPOINT_SECONDS = 0.0
for words in children("vaedge_train.run_folder", "vaedge_train.loop", "vaedge_train.data", "vaedge.files"):
    if main(["train", *words]):
        os._exit(1)
"""


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_run_that_is_killed_twenty_times_ends_in_the_same_bits(image_folder, tmp_path, seed):
    """Before every fourth kill, the test empties the cache, so that the kill may come while images are decoded."""
    config = TrainConfig(dataset=str(image_folder), **{**RICH, "epochs": 20})
    moments, resumed = random.Random(seed), 0
    with serving(_TRAINING, tmp_path / "stderr") as server:
        lines = server.kill("--out", tmp_path / "whole", *command(config))
        for index in range(20):
            words = ["--out", tmp_path / "run"]
            if (tmp_path / "run" / "checkpoint.pt").exists():
                words.append("--resume")
                resumed += 1
            else:
                shutil.rmtree(tmp_path / "run", ignore_errors=True)  # no checkpoint to resume from
                words += command(config)
            decodes = index % 4 == 0
            if decodes:
                shutil.rmtree(tmp_path / "cache", ignore_errors=True)
            at = moments.randrange(1, lines // (30 if decodes else 3))
            server.kill(*words, at=at, delay=moments.uniform(0, 0.1) if index % 2 else None)
        assert resumed >= 10
        assert server.run(["--out", tmp_path / "run", "--resume"]) == [0]
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1
    print(f"20 kills of a run of {lines} lines, {resumed} of them of a resumed run")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


@pytest.mark.skipif(os.name == "nt", reason="the test uses POSIX signals")
def test_ctrl_c_saves_and_prints_how_to_resume(image_folder, tmp_path):
    config = TrainConfig(dataset=str(image_folder), **{**RICH, "epochs": 100_000})
    words = [sys.executable, "-m", "vaedge_train", "--out", str(tmp_path / "run"), *command(config)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate()
    assert process.returncode == 130
    assert "resume with: vaedge train --resume" in printed
    assert "Traceback" not in errors
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_new_weights_remove_the_evaluation_of_earlier_ones(config, tmp_path, monkeypatch):
    monkeypatch.setattr(vaedge_train.loop.trainer, "_CHECKPOINT_SECONDS", 0.0)
    honest, calls = vaedge_train.loop.trainer.mean_terms, iter(range(10))

    def mean_terms(*arguments):
        if next(calls) == 1:
            raise KilledError
        return honest(*arguments)

    monkeypatch.setattr(vaedge_train.loop.trainer, "mean_terms", mean_terms)
    with pytest.raises(KilledError):
        train(config, tmp_path / "run", progress=False)
    (tmp_path / "run" / "evaluation.json").write_text("[]")
    monkeypatch.setattr(vaedge_train.loop.trainer, "mean_terms", lambda *_: torch.zeros(2))  # a new best epoch
    assert train(config, tmp_path / "run", resume=True, progress=False).evaluations == []


def test_resume_rejects_another_configuration(config, tmp_path):
    train(config, tmp_path / "run", progress=False)
    other = TrainConfig.from_dict({**config.to_dict(), "latent": 4, "seed": 1})
    with pytest.raises(ConfigError, match=r"another configuration \(latent: 3 -> 4, seed: 0 -> 1\)"):
        train(other, tmp_path / "run", resume=True)


@pytest.mark.parametrize("content", [None, b"", b"nothing", b"PK\x03\x04"])
def test_resume_rejects_a_missing_or_damaged_checkpoint(config, tmp_path, content):
    train(config, tmp_path / "run", progress=False)
    (tmp_path / "run" / "checkpoint.pt").unlink()
    if content is not None:
        (tmp_path / "run" / "checkpoint.pt").write_bytes(content)
    with pytest.raises(RunError, match=r"checkpoint.pt is (missing|damaged)"):
        train(config, tmp_path / "run", resume=True)


def test_resume_rejects_a_checkpoint_of_another_version(config, tmp_path):
    train(config, tmp_path / "run", progress=False)
    torch.save({"format": 99}, tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(RunError, match="another version"):
        train(config, tmp_path / "run", resume=True)


def test_resume_without_a_run_is_an_error(config, tmp_path):
    with pytest.raises(RunError, match=r"config.json is missing"):
        train(config, tmp_path / "run", resume=True)


def test_loss_that_is_not_finite_stops_the_run_and_names_the_step(config, tmp_path, monkeypatch):
    honest = vaedge_train.loop.trainer.Objective.forward

    def forward(self, *batch):
        loss, distortion, rate = honest(self, *batch)
        return (loss * torch.nan if next(calls) == 12 else loss), distortion, rate

    calls = iter(range(1000))
    monkeypatch.setattr(vaedge_train.loop.trainer.Objective, "forward", forward)
    with pytest.raises(NonFiniteError, match="step 12: the loss is nan"):
        train(config, tmp_path / "run", progress=False)
    monkeypatch.undo()
    train(config, tmp_path / "run", resume=True, progress=False)


def test_full_disk_ends_the_run_with_the_last_checkpoint_intact(config, tmp_path, monkeypatch):
    """For each file that an epoch writes, a write fails in the middle, as on a full disk."""
    train(config, tmp_path / "whole", progress=False)
    honest = Path.open
    for victim in ("checkpoint.pt", "model.safetensors", "samples.png"):
        folder, writes = tmp_path / victim, iter(range(100))

        def full(path, mode="r", *arguments, victim=victim, writes=writes, **options):
            file = honest(path, mode, *arguments, **options)
            if mode == "wb" and victim in path.name and next(writes) == 1:
                return FullDisk(file)
            return file

        monkeypatch.setattr(Path, "open", full)
        monkeypatch.setattr(vaedge_train.loop.writer, "_GRID_SECONDS", 0.0)
        with pytest.raises(OSError, match="No space left on device") as failure:
            train(config, folder, progress=False)
        assert failure.value.filename == str(folder / victim)
        assert not list(folder.glob(".*"))
        monkeypatch.setattr(Path, "open", honest)
        train(config, folder, resume=True, progress=False)
        assert outcome(folder) == outcome(tmp_path / "whole")


class FullDisk:
    """A file on a disk that becomes full in the middle of a write."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.file.write(bytes(content)[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")


def test_resume_rejects_a_recipe(config, tmp_path, capsys):
    train(config, tmp_path / "run", progress=False)
    assert main(["train", "--resume", "--recipe", "best", "--out", str(tmp_path / "run")]) == 1
    assert "--recipe best cannot be used with --resume" in capsys.readouterr().err


def test_resume_rejects_other_examples(config, tmp_path):
    train(config, tmp_path / "run", progress=False)
    for path in sorted(Path(config.dataset).glob("*.png"))[:30]:
        Image.open(path).rotate(180).save(path)
    with pytest.raises(DataError, match="was trained on examples that differ"):
        train(config, tmp_path / "run", resume=True, progress=False)
