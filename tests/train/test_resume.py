"""A run that is stopped, however it is, ends in the bits of one that was not."""

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
from vaedge_train import ConfigError, DataError, NonFiniteError, RunError, TrainConfig, train

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
def config(pictures):
    return TrainConfig(dataset=str(pictures), **RICH)


def outcome(folder):
    """What must not depend on interruptions: the weights, and the figures but for the time they took."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return (folder / "model.safetensors").read_bytes(), [{**row, "seconds": 0} for row in rows]


@pytest.fixture
def uninterrupted(config, tmp_path):
    train(config, tmp_path / "whole", progress=False)
    return outcome(tmp_path / "whole")


class KilledError(Exception):
    """Stands for a kill: it comes out of a random step, and nothing is saved on its way."""


@pytest.mark.parametrize("stop", [1, 3, 7, 8, 17])
def test_stopped_at_any_step(config, uninterrupted, tmp_path, monkeypatch, stop):
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


def test_stopped_between_checkpoints(config, uninterrupted, tmp_path, monkeypatch):
    """The steps since the last checkpoint are done again, and the same."""
    honest = vaedge_train.loop.writer.evaluate

    def evaluate(*arguments):
        monkeypatch.setattr(vaedge_train.loop.writer, "evaluate", honest)
        raise KilledError

    monkeypatch.setattr(vaedge_train.loop.writer, "evaluate", evaluate)
    with pytest.raises(KilledError):
        train(config, tmp_path / "run", progress=False)
    train(config, tmp_path / "run", resume=True, progress=False)
    assert outcome(tmp_path / "run") == uninterrupted


def test_a_finished_run_resumes_to_itself(config, uninterrupted, tmp_path):
    train(config, tmp_path / "whole", resume=True, progress=False)
    assert outcome(tmp_path / "whole") == uninterrupted


def command(config):
    words = config.command("x").split()[2:-2]
    return ["--dataset", config.dataset, *words[2:]]


# Each child runs `vaedge train`, and checkpoints after every step. The server imports what they would import.
_TRAINING = """
import os, sys
import torch._dynamo
import vaedge_train.__main__, vaedge_train.loop.trainer
from killing import children
from vaedge_train.data.torchvision_data import import_torchvision
import_torchvision()
torch.set_num_threads(1)
vaedge_train.loop.trainer._CHECKPOINT_SECONDS = 0.0
for words in children(*(f"vaedge_train.{name}" for name in ("run_folder", "state", "trainer", "writer"))):
    sys.argv[1:] = words
    if vaedge_train.__main__.main():
        os._exit(1)
"""


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_run_that_is_killed_twenty_times_ends_in_the_same_bits(pictures, tmp_path, seed):
    config = TrainConfig(dataset=str(pictures), **{**RICH, "epochs": 20})
    moments, resumed = random.Random(seed), 0
    with serving(_TRAINING, tmp_path / "stderr") as server:
        lines = server.kill("--out", tmp_path / "whole", *command(config))
        for index in range(20):
            words = ["--out", tmp_path / "run"]
            if (tmp_path / "run" / "checkpoint.pt").exists():
                words.append("--resume")
                resumed += 1
            else:
                shutil.rmtree(tmp_path / "run", ignore_errors=True)  # there is nothing to resume
                words += command(config)
            at = moments.randrange(1, lines // 3)
            server.kill(*words, at=at, delay=moments.uniform(0, 0.1) if index % 2 else None)
        assert resumed >= 10
        assert server.run(["--out", tmp_path / "run", "--resume"]) == [0]
    print(f"20 kills of a run of {lines} lines, {resumed} of them of a resumed run")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_saves_and_says_how_to_go_on(pictures, tmp_path):
    config = TrainConfig(dataset=str(pictures), **{**RICH, "epochs": 100_000})
    words = [sys.executable, "-m", "vaedge_train", "--out", str(tmp_path / "run"), *command(config)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, complaints = process.communicate()
    assert process.returncode == 130
    assert "go on with: vaedge train --resume" in said
    assert "Traceback" not in complaints
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_more_training_drops_the_evaluation_of_other_weights(config, tmp_path, monkeypatch):
    monkeypatch.setattr(vaedge_train.loop.trainer, "_CHECKPOINT_SECONDS", 0.0)
    honest, calls = vaedge_train.loop.writer.evaluate, iter(range(10))

    def evaluate(*arguments):
        if next(calls) == 1:
            raise KilledError
        return honest(*arguments)

    monkeypatch.setattr(vaedge_train.loop.writer, "evaluate", evaluate)
    with pytest.raises(KilledError):
        train(config, tmp_path / "run", progress=False)
    (tmp_path / "run" / "evaluation.json").write_text("[]")
    monkeypatch.setattr(vaedge_train.loop.writer, "evaluate", lambda *_: torch.zeros(2))  # better than any before
    assert train(config, tmp_path / "run", resume=True, progress=False).evaluations == []


def test_another_configuration_cannot_be_resumed(config, tmp_path):
    train(config, tmp_path / "run", progress=False)
    other = TrainConfig.from_dict({**config.to_dict(), "latent": 4, "seed": 1})
    with pytest.raises(ConfigError, match=r"another configuration: latent: 3 -> 4, seed: 0 -> 1"):
        train(other, tmp_path / "run", resume=True)


@pytest.mark.parametrize("content", [None, b"", b"nothing", b"PK\x03\x04"])
def test_a_checkpoint_that_is_none(config, tmp_path, content):
    train(config, tmp_path / "run", progress=False)
    (tmp_path / "run" / "checkpoint.pt").unlink()
    if content is not None:
        (tmp_path / "run" / "checkpoint.pt").write_bytes(content)
    with pytest.raises(RunError, match=r"checkpoint.pt is (missing|damaged)"):
        train(config, tmp_path / "run", resume=True)


def test_a_checkpoint_of_another_version(config, tmp_path):
    train(config, tmp_path / "run", progress=False)
    torch.save({"format": 99}, tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(RunError, match="another version"):
        train(config, tmp_path / "run", resume=True)


def test_nothing_to_resume(config, tmp_path):
    with pytest.raises(RunError, match=r"config.json is missing"):
        train(config, tmp_path / "run", resume=True)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(config, tmp_path, monkeypatch):
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


def test_a_full_disk_ends_the_run_with_the_last_checkpoint_intact(config, tmp_path, monkeypatch):
    """A write that fails half-way, as on a full disk, of every file in turn that an epoch writes."""
    train(config, tmp_path / "whole", progress=False)
    honest = Path.write_bytes
    for victim in ("checkpoint.pt", "model.safetensors", "samples.png"):
        folder, writes = tmp_path / victim, iter(range(100))

        def write_bytes(path, content, victim=victim, writes=writes):
            if victim in path.name and next(writes) == 1:
                honest(path, content[: len(content) // 2])
                raise OSError(errno.ENOSPC, "No space left on device")
            return honest(path, content)

        monkeypatch.setattr(Path, "write_bytes", write_bytes)
        monkeypatch.setattr(vaedge_train.loop.writer, "_PICTURE_SECONDS", 0.0)
        with pytest.raises(OSError, match="No space left on device") as failure:
            train(config, folder, progress=False)
        assert failure.value.filename == str(folder / victim)
        assert not list(folder.glob(".*"))
        monkeypatch.setattr(Path, "write_bytes", honest)
        train(config, folder, resume=True, progress=False)
        assert outcome(folder) == outcome(tmp_path / "whole")


def test_a_recipe_does_not_change_a_run_that_is_resumed(config, tmp_path, capsys):
    from vaedge.cli.main import main

    train(config, tmp_path / "run", progress=False)
    assert main(["train", "--resume", "--recipe", "best", "--out", str(tmp_path / "run")]) == 1
    assert "--recipe best: a run that is resumed keeps the configuration" in capsys.readouterr().err


def test_a_run_is_not_resumed_on_other_items(config, tmp_path):
    train(config, tmp_path / "run", progress=False)
    for path in sorted(Path(config.dataset).glob("*.png"))[:30]:
        Image.open(path).rotate(180).save(path)
    with pytest.raises(DataError, match="was trained on other items"):
        train(config, tmp_path / "run", resume=True, progress=False)
