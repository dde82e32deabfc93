"""Small data sets, and functions that write them to files and run commands on them."""

import csv

import numpy as np
from PIL import Image

from vaedge.cli.main import main

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 8, 8)).astype(np.uint8)
COLORS = RNG.integers(0, 256, (40, 3, 8, 8)).astype(np.uint8)
NUMBERS = RNG.standard_normal((40, 3)).astype(np.float32)
NAMES = ("height", "weight (kg)", "age")
SHAPES = [("circle", "square", "triangle")[index % 3] for index in range(40)]
SMALL = ("--epochs", "1", "--hidden", "8", "--latent", "2")


def vaedge_command(*words):
    assert main([str(word) for word in words]) == 0


def failure(capsys, *words):
    assert main([str(word) for word in words]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def write_csv(path, rows, header=NAMES):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read_csv(path):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


def save_images(folder, images):
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image if image.ndim == 2 else image.transpose(1, 2, 0)).save(folder / f"{index:02}.png")
    return folder


def labeled_rows():
    return [[*row, shape] for row, shape in zip(NUMBERS.tolist(), SHAPES, strict=True)]
