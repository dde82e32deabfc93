"""At the start, `vaedge train` prints a note if the model will not be able to score examples."""

import numpy as np
import pytest

import vaedge_train.command
from vaedge.cli.main import main


@pytest.fixture
def argv(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 2, (40, 5)).astype(np.float32))
    return [
        "train",
        "--dataset",
        str(tmp_path / "x.npy"),
        "--hidden",
        "4",
        "--epochs",
        "1",
        "--out",
        str(tmp_path / "run"),
    ]


def test_surrogate_is_announced_before_training_starts(argv, monkeypatch, capsys):
    monkeypatch.setattr(vaedge_train.command, "train", lambda *_, **__: print("training starts"))
    assert main(argv) == 0
    note, start = capsys.readouterr().out.splitlines()[:2]
    assert start == "training starts"
    assert "`vaedge score`" in note
    assert "unavailable with bce_surrogate" in note
    assert "use another --likelihood: bernoulli" in note


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian", "discretized_logistic"])
def test_other_likelihoods_are_not_announced(argv, likelihood, capsys):
    assert main([*argv, "--likelihood", likelihood]) == 0
    assert "unavailable" not in capsys.readouterr().out
