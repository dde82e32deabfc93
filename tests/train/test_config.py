"""Configurations reject invalid values, and `command` returns the command that repeats a run."""

import argparse
import shlex

import pytest

from vaedge_train import ConfigError, TrainConfig
from vaedge_train.command import add_arguments


def test_optional_features_are_off_by_default():
    config = TrainConfig()
    assert {config.validation, config.warm_up, config.weight_decay, config.clip, config.average} == {0}
    assert not any((config.skip_broken, config.path_gradient, config.compile, config.patience))
    assert {config.condition, config.binarize} == {"none"}
    assert config.beta == config.samples == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"latent": 0}, "latent is 0; expected an integer of at least 1"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"samples": 0}, "samples is 0"),
        ({"components": 0}, "components is 0"),
        ({"channels": 0}, "channels is 0"),
        ({"hidden": ()}, r"hidden is \(\); expected one or more integers of at least 1"),
        ({"hidden": (8, 0)}, r"hidden is \(8, 0\)"),
        ({"hidden": 8}, "hidden is 8; expected a tuple of integers"),
        ({"hidden": (8.0,)}, r"hidden is \(8.0,\); expected a tuple of integers"),
        ({"image_size": (8, 8, 3)}, r"image_size is \(8, 8, 3\); expected one size, or a height and a width"),
        ({"image_size": (8, 0)}, r"image_size is \(8, 0\)"),
        ({"image_size": (0,)}, r"image_size is \(0,\)"),
        ({"background": "none"}, "background is 'none'; expected white, black, or R,G,B"),
        ({"background": "0,0,256"}, "background is '0,0,256'"),
        ({"label_column": 3}, "label_column is 3; expected a value of type str"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected a number greater than 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"learning_rate": float("inf")}, "learning_rate is inf"),
        ({"beta": -0.1}, "beta is -0.1; expected a number of at least 0"),
        ({"warm_up": -1}, "warm_up is -1.0"),
        ({"weight_decay": float("inf")}, "weight_decay is inf"),
        ({"clip": -1.0}, "clip is -1.0"),
        ({"validation": 1.0}, "validation is 1.0; expected a number of at least 0 and less than 1"),
        ({"average": 1.0}, "average is 1.0"),
        ({"average": -0.1}, "average is -0.1"),
        ({"seed": -1}, r"seed is -1; expected an integer from 0 to 2\^63 - 1"),
        ({"seed": 2**63}, "seed is 9223372036854775808"),
        ({"latent": 2.5}, "latent is 2.5; expected a value of type int"),
        ({"latent": True}, "latent is True; expected a value of type int"),
        ({"compile": 1}, "compile is 1; expected a value of type bool"),
        ({"activation": "sine"}, "activation is 'sine'; expected one of relu"),
        ({"likelihood": "poisson"}, "likelihood is 'poisson'; expected one of bernoulli"),
        ({"prior": "flow"}, "prior is 'flow'; expected one of standard_normal, mixture, vamp"),
        ({"network": "vit"}, "network is 'vit'; expected one of mlp, conv"),
        ({"objective": "vi"}, "objective is 'vi'; expected one of elbo, iwae"),
        ({"schedule": "step"}, "schedule is 'step'; expected one of constant, cosine"),
        ({"precision": "float16"}, "precision is 'float16'; expected one of float32, bfloat16"),
        ({"condition": "text"}, "condition is 'text'; expected one of none, label"),
        ({"binarize": "static"}, "binarize is 'static'; expected one of none, dynamic"),
        ({"condition": "label", "prior": "vamp"}, "prior 'vamp' does not support conditions"),
        ({"gaussian_scale": "shared"}, "gaussian_scale is 'shared', but likelihood is 'bce_surrogate'"),
    ],
)
def test_invalid_value_is_an_error_that_names_the_field(values, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**values)


@pytest.mark.parametrize("scale", ["0", "-1", "1e-9", "nan", "inf", "each", "0.0024", "22027"])
def test_invalid_gaussian_scale_is_an_error(scale):
    with pytest.raises(ConfigError, match=f"gaussian_scale is '{scale}'; expected 'element', 'shared', or a number"):
        TrainConfig(likelihood="gaussian", gaussian_scale=scale)


@pytest.mark.parametrize("scale", ["element", "shared", "0.0025", "1", "22026"])
def test_valid_gaussian_scale_is_accepted(scale):
    assert TrainConfig(likelihood="gaussian", gaussian_scale=scale).gaussian_scale == scale


@pytest.mark.parametrize(
    "values",
    [
        {"latent": 1, "samples": 1, "channels": 1, "components": 1, "batch_size": 1, "epochs": 1},
        {"beta": 0.0, "warm_up": 0.0, "weight_decay": 0.0, "clip": 0.0, "validation": 0.0, "average": 0.0},
        {"seed": 2**63 - 1, "hidden": (1,), "image_size": (1, 1)},
    ],
)
def test_smallest_and_largest_values_are_accepted(values):
    config = TrainConfig(**values)
    assert {name: getattr(config, name) for name in values} == values


def test_values_are_converted_where_that_loses_nothing(tmp_path):
    config = TrainConfig(dataset=tmp_path, beta=2, hidden=[3, 4])
    assert config.dataset == str(tmp_path)
    assert isinstance(config.beta, float)
    assert config.hidden == (3, 4)


def test_unknown_fields_are_an_error():
    with pytest.raises(ConfigError, match="unknown fields: widht"):
        TrainConfig.from_dict({"widht": 3})


def test_one_image_size_is_height_and_width():
    assert TrainConfig(image_size=(32,)) == TrainConfig(image_size=(32, 32))


def test_dict_and_back_is_the_same_configuration():
    config = TrainConfig(hidden=(4, 5), image_size=(8, 8), average=0.5)
    assert TrainConfig.from_dict(config.to_dict()) == config
    assert config.to_dict()["hidden"] == [4, 5]


def test_differences_ignore_the_directory_of_the_data():
    config = TrainConfig(latent=3, data_dir="here")
    assert config.differences(TrainConfig(latent=3, data_dir="there").to_dict()) == []
    assert config.differences(TrainConfig(latent=4, seed=2).to_dict()) == ["latent: 4 -> 3", "seed: 2 -> 0"]


def test_command_repeats_the_run():
    config = TrainConfig(dataset="mnist", hidden=(400, 200), latent=8, learning_rate=5e-4, seed=3, path_gradient=True)
    words = shlex.split(config.command("mine"))
    assert words[:2] == ["vaedge", "train"]
    assert words[-2:] == ["--out", "runs/mine"]
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    fields = TrainConfig.__dataclass_fields__
    parsed = {name: value for name, value in vars(parser.parse_args(words[2:])).items() if name in fields}
    assert TrainConfig.from_dict(parsed) == config


def test_command_contains_no_path_of_this_machine():
    config = TrainConfig(dataset="/home/somebody/images", data_dir="/mnt/disk", image_size=(8, 8))
    assert config.command("a") == "vaedge train --dataset images --image-size 8 8 --out runs/a"
