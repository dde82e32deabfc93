"""The public API consists of exactly the names that this module lists. All other names are internal."""

import inspect
from dataclasses import FrozenInstanceError, fields

import pytest

import vaedge
from vaedge.detection import Calibration, Detection

EXPORTED = [
    "VAE",
    "Batch",
    "BundleError",
    "BundleNotFoundError",
    "CheckReport",
    "ClosedError",
    "Condition",
    "DependencyError",
    "DeviceError",
    "InferenceError",
    "InputError",
    "Manifest",
    "Posterior",
    "VaedgeError",
    "__version__",
    "check",
    "load",
]
METHODS = [
    "bounds",
    "calibrate",
    "close",
    "decode",
    "detect",
    "encode",
    "input_shape",
    "interpolate",
    "latent_shape",
    "log_prob",
    "parameters",
    "reconstruct",
    "sample",
]


def test_exported_members():
    assert vaedge.__all__ == EXPORTED
    assert all(hasattr(vaedge, name) for name in EXPORTED)


def test_public_members_of_the_vae():
    assert [name for name in sorted(vars(vaedge.VAE)) if not name.startswith("_")] == METHODS


def test_every_exported_member_is_documented():
    for name in EXPORTED:
        if name != "__version__":
            assert inspect.getdoc(getattr(vaedge, name)), name


@pytest.mark.parametrize(
    "kind", [vaedge.CheckReport, vaedge.Condition, vaedge.Manifest, vaedge.Posterior, Calibration, Detection]
)
def test_records_cannot_be_changed(kind):
    record = object.__new__(kind)
    with pytest.raises(FrozenInstanceError):
        setattr(record, fields(kind)[0].name, None)


def test_public_names_of_detection():
    assert vaedge.detection.__all__ == ["Calibration", "Detection"]
