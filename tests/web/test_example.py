"""The example application in docs/guides/web.md shows the samples that Python draws with the same seeds."""

import json
import shutil
from pathlib import Path

import numpy as np

import vaedge

MODEL = Path(__file__).parents[2] / "models" / "mnist"
WEB = Path(__file__).parents[2] / "runtime" / "vaedge" / "web"
SCRIPT = """
import { readFileSync } from "node:fs";
import { load } from "vaedge";
const names = ["manifest.json", "encoder.onnx", "decoder.onnx", "prior.npz"];
const vae = await load(Object.fromEntries(names.map((name) => [name, readFileSync(`${process.argv[2]}/${name}`)])));
process.stdout.write(JSON.stringify([...(await vae.sample(1, { seed: 3 })).data]));
"""


def test_app_shows_the_samples_of_python(node, chromium):
    seeds = (7, 123456789012345678901234567890)
    found = np.array(json.loads(node("example.mjs", chromium, *seeds))).reshape(-1, 28, 28)
    vae = vaedge.load(MODEL, variant="int8")
    for pixels, seed in zip(found, seeds, strict=True):
        assert np.abs(pixels / 255 - vae.sample(1, seed=seed)[0, 0]).max() < 0.05


def test_installed_copy_of_the_package_runs_in_node(node, tmp_path):
    """The JavaScript package runs from node_modules, where npm installs it next to onnxruntime-web."""
    modules = tmp_path / "node_modules"
    shutil.copytree(WEB, modules / "vaedge", ignore=shutil.ignore_patterns("node_modules", "*.py"))
    for folder in (WEB / "node_modules").iterdir():
        (modules / folder.name).symlink_to(folder)
    (tmp_path / "app.mjs").write_text(SCRIPT)
    found = np.array(json.loads(node(tmp_path / "app.mjs", MODEL)))
    np.testing.assert_allclose(found, vaedge.load(MODEL).sample(1, seed=3).ravel(), atol=1e-5)
