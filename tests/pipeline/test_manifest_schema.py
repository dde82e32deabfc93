"""`docs/manifest.schema.json` accepts valid manifests of format 2.

It rejects all invalid manifests except for a few.
"""

import copy
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from hostile.manifests import MANIFESTS

import vaedge
from vaedge_export import export_vae
from vaedge_train import TrainConfig
from vaedge_train.build import build_vae

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "manifest.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SHIPPED = sorted(ROOT.glob("models/*/manifest.json"))


def test_schema_is_valid():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_shipped_manifests_are_valid(path):
    VALIDATOR.validate(json.loads(path.read_text()))


@pytest.mark.parametrize("conditional", [False, True])
def test_exported_manifest_is_valid(tmp_path, conditional):
    torch.manual_seed(0)
    config = TrainConfig(hidden=(8,), latent=3, likelihood="gaussian", condition="label" if conditional else "none")
    vae = build_vae(config, (4,), 2 if conditional else 0).eval()
    examples = {"x": np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)}
    conditions = {}
    if conditional:
        conditions = {"y": vaedge.Condition("int64", (), ("no", "yes"))}
        examples["y"] = np.arange(64) % 2
    export_vae(
        vae.encoder,
        vae.decoder,
        tmp_path / "bundle",
        input_shape=(4,),
        latent_shape=(3,),
        likelihood="gaussian",
        conditions=conditions,
        examples=examples,
        variants=["int8"],
        allow_loss=10,
    )
    VALIDATOR.validate(json.loads((tmp_path / "bundle" / "manifest.json").read_text()))
    assert vaedge.check(tmp_path / "bundle").passed


# Hostile manifests that the schema accepts, because JSON Schema cannot express the broken rules. Such rules concern
# products of numbers, the order of numbers, printable text, and names that must match other names or files.
BEYOND_THE_SCHEMA = {
    "reference that is not listed",
    "calibration that is not listed",
    "calibration that is a graph",
    "terminal escape sequence",
    "unpaired surrogate",
    "example of a petabyte",
    "latent of a petabyte",
    "infinite range",
    "range with a number too large for float",
    "reversed range",
    "condition with a reserved name",
    "condition with the name of a parameter",
    "condition that the graphs do not have",
    "prior without its file",
    "prior that is the encoder",
    "file size that overflows",
    "another SHA-256",
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_schema_rejects_hostile_manifests(name):
    tree = copy.deepcopy(json.loads(SHIPPED[0].read_text()))
    MANIFESTS[name](tree)
    assert VALIDATOR.is_valid(tree) == (name in BEYOND_THE_SCHEMA)
