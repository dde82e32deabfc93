"""Configurations: refused when they make no sense, and printed as the command that repeats them."""

import argparse
import shlex

import pytest

from vaedge_train import ConfigError, TrainConfig
from vaedge_train.command import add_arguments


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"latent": 0}, "latent is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"samples": 0}, "samples is 0"),
        ({"hidden": ()}, "hidden is"),
        ({"hidden": (8, 0)}, "hidden is"),
        ({"image_size": (8,)}, "image_size.*height and a width"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"activation": "sine"}, "activation is 'sine'; expected one of relu"),
        ({"likelihood": "poisson"}, "likelihood is 'poisson'; expected one of bernoulli"),
    ],
)
def test_values_that_make_no_sense(values, says):
    with pytest.raises(ConfigError, match=says):
        TrainConfig(**values)


def test_unknown_fields():
    with pytest.raises(ConfigError, match="unknown fields: widht"):
        TrainConfig.from_dict({"widht": 3})


def test_the_command_repeats_the_run():
    config = TrainConfig(dataset="mnist", hidden=(400, 200), latent=8, learning_rate=5e-4, seed=3)
    words = shlex.split(config.command("mine"))
    assert words[:2] == ["vaedge", "train"]
    assert words[-2:] == ["--out", "runs/mine"]
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    fields = TrainConfig.__dataclass_fields__
    parsed = {name: value for name, value in vars(parser.parse_args(words[2:])).items() if name in fields}
    assert TrainConfig.from_dict(parsed) == config


def test_the_command_names_no_place_on_this_machine():
    config = TrainConfig(dataset="/home/somebody/pictures", data_dir="/mnt/disk", image_size=(8, 8))
    assert config.command("a") == "vaedge train --dataset pictures --image-size 8 8 --out runs/a"
