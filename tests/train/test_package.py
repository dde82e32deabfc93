"""The public names and the errors of the package."""

import os
import subprocess
import sys

import pytest

import vaedge
import vaedge_train


def test_public_names():
    assert sorted(vaedge_train.__all__) == [
        "ConfigError",
        "DataError",
        "Evaluation",
        "NonFiniteError",
        "OutOfMemoryError",
        "Run",
        "RunError",
        "Terms",
        "TrainConfig",
        "TrainError",
        "VAE",
        "evaluate",
        "load_run",
        "train",
    ]
    for name in vaedge_train.__all__:
        assert getattr(vaedge_train, name).__doc__, name


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (vaedge_train.ConfigError, ValueError),
        (vaedge_train.DataError, ValueError),
        (vaedge_train.RunError, ValueError),
        (vaedge_train.NonFiniteError, ArithmeticError),
        (vaedge_train.OutOfMemoryError, MemoryError),
    ],
)
def test_errors_inherit_from_the_base_and_a_builtin(error, builtin):
    assert issubclass(error, (vaedge_train.TrainError,))
    assert issubclass(error, vaedge.VaedgeError)
    assert issubclass(error, builtin)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "10000 None"),
        ({"GOMP_SPINCOUNT": "7"}, "7 None"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "None ACTIVE"),
    ],
)
def test_import_limits_active_waiting_unless_the_user_sets_it(given, expected):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    code = f"import os, vaedge_train; print(*map(os.environ.get, {names}))"
    found = subprocess.check_output([sys.executable, "-c", code], text=True, env={**environment, **given})
    assert found.strip() == expected
