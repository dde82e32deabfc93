"""Anomaly detection on the command line: from a folder of images to a decision for each image."""

import csv

import numpy as np
from PIL import Image

from vaedge.cli.main import main

SHAPE = 8, 6, 3


def vaedge(*words, status=0):
    assert main([str(word) for word in words]) == status


def write_images(folder, images):
    folder.mkdir(parents=True)
    for index, pixels in enumerate(images):
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{index:03}.png")


def test_spots_are_found_and_shown_in_red(tmp_path):
    """Images of almost one color are normal. Images with a dark spot are anomalies."""
    rng = np.random.default_rng(0)
    images = rng.integers(120, 200, (300, 1, 1, 3)) + rng.integers(-5, 5, (300, *SHAPE))
    spotted = images[280:284].copy()
    spotted[:, 2:5, 1:4] = 0
    write_images(tmp_path / "train", images[:160])
    write_images(tmp_path / "normal", images[160:280])
    write_images(tmp_path / "x" / "good", images[280:])
    write_images(tmp_path / "x" / "spotted", spotted)
    bundle, calibration, out, maps = (tmp_path / name for name in ("bundle", "c.npz", "scores.csv", "maps"))
    options = ("--hidden", 32, "--latent", 3, "--epochs", 6, "--batch-size", 16, "--likelihood", "gaussian")
    vaedge("train", "--dataset", tmp_path / "train", *options, "--out", tmp_path / "run")
    vaedge("export", tmp_path / "run", "--out", bundle)
    vaedge("calibrate", bundle, tmp_path / "normal", "--out", calibration)
    words = ("--calibration", calibration, "--false-alarm-rate", 0.03, "--fail-on-anomaly")
    vaedge("detect", bundle, tmp_path / "x", *words, "--out", out, "--maps", maps, status=3)
    with out.open(newline="") as file:
        is_anomaly = {row["file"]: row["is_anomaly"] == "1" for row in csv.DictReader(file)}
    names = [f"spotted/{index:03}.png" for index in range(4)]
    assert all(is_anomaly[name] for name in names)
    assert sum(is_anomaly.values()) < 10
    for name in names:
        with Image.open(maps / name) as image:
            overlay = np.asarray(image).astype(int)[:, SHAPE[1] + 2 :]
        red = overlay[:, :, 0] - overlay[:, :, 1]
        assert red[2:5, 1:4].min() > 128
        red[2:5, 1:4] = 0
        assert red.mean() < 128
