"""The commands `vaedge train` and `vaedge evaluate`."""

import json
import re

import numpy as np
import pytest

from vaedge.cli.main import main
from vaedge_train import ConfigError, TrainConfig
from vaedge_train.command import read_recipe, recipes


@pytest.fixture
def table(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (40, 5)).astype(np.uint8))
    return str(tmp_path / "x.npy")


def test_every_recipe_is_a_valid_configuration():
    assert recipes() == ["article", "best", "mnist-conv", "photo", "quick"]
    for name in recipes():
        purpose, fields = read_recipe(name)
        assert purpose
        TrainConfig.from_dict(fields)


def test_unknown_recipe_is_an_error():
    with pytest.raises(ConfigError, match="recipe is 'worst'; expected one of article, best, mnist-conv, photo, quick"):
        read_recipe("worst")


def test_list_recipes_prints_names_and_purposes(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "--list-recipes"])
    assert end.value.code == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == recipes()


def test_help_describes_every_field(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    for name in TrainConfig.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in text


def test_flags_replace_values_of_the_recipe(table, tmp_path):
    words = ["--recipe", "quick", "--hidden", "4", "--components", "3", "--epochs", "1", "--no-path-gradient"]
    assert main(["train", "--dataset", table, "--out", str(tmp_path / "run"), *words]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["hidden"], config["components"], config["path_gradient"]) == ([4], 3, False)
    assert config["schedule"] == "cosine"  # from the recipe


def test_unknown_choice_is_a_wrong_call(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "--prior", "flow"])
    assert end.value.code == 2
    assert "invalid choice: 'flow'" in capsys.readouterr().err


def test_missing_out_is_an_error(capsys):
    assert main(["train"]) == 1
    assert "--out is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [(["-k", "0"], "-k is 0"), (["--items", "0"], "--items is 0"), (["--seed", "-1"], "--seed is -1")],
)
def test_evaluate_rejects_invalid_options(tmp_path, capsys, words, message):
    assert main(["evaluate", str(tmp_path), *words]) == 1
    assert f"{message}; expected an integer of at least" in capsys.readouterr().err


def test_evaluate_replaces_the_result_of_the_same_draws_and_keeps_others(table, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", "--dataset", table, "--out", str(run), "--hidden", "4", "--epochs", "1"]) == 0
    for words in (["-k", "3"], ["-k", "3", "--seed", "1"], ["-k", "3"], ["-k", "3", "--items", "2"]):
        assert main(["evaluate", str(run), *words]) == 0
    rows = json.loads((run / "evaluation.json").read_text())
    assert [(row["items"], row["k"], row["seed"]) for row in rows] == [(4, 3, 1), (4, 3, 0), (2, 3, 0)]
    assert rows[0]["binarized"] == "as they are"
    assert "surrogate bound" in capsys.readouterr().out


def test_evaluate_shows_its_progress_when_piped(table, tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    assert main(["train", "--dataset", table, "--out", str(run), "--hidden", "4", "--epochs", "1"]) == 0
    monkeypatch.setattr("vaedge.cli.progress._LINE_SECONDS", 1e-9)
    capsys.readouterr()
    assert main(["evaluate", str(run), "-k", "3"]) == 0
    assert re.search(
        r"evaluating: 100%, .* left, bound \S+, ELBO \S+, distortion \S+, rate \S+ nats\n", capsys.readouterr().err
    )


def test_evaluate_rejects_a_data_set_that_has_changed(table, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", "--dataset", table, "--out", str(run), "--hidden", "4", "--epochs", "1"]) == 0
    np.save(table, np.zeros((40, 5), np.uint8))
    assert main(["evaluate", str(run)]) == 1
    assert "the test examples of" in capsys.readouterr().err
