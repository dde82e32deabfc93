"""The small app of the guide shows the samples that Python draws with the same seeds."""

import json
from pathlib import Path

import numpy as np

import vaedge

MODEL = Path(__file__).parents[2] / "models" / "mnist"


def test_app_shows_the_samples_of_python(node, chromium):
    seeds = (7, 123456789012345678901234567890)
    found = np.array(json.loads(node("example.mjs", chromium, *seeds))).reshape(-1, 28, 28)
    vae = vaedge.load(MODEL, variant="int8")
    for pixels, seed in zip(found, seeds, strict=True):
        assert np.abs(pixels / 255 - vae.sample(1, seed=seed)[0, 0]).max() < 0.05
