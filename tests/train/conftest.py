"""Fixtures of the trainer's tests."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pictures(tmp_path):
    """A folder of 40 grey pictures of 6 x 5 pixels: bright disks and dark ones."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(40):
        pixels = rng.integers(0, 60, (5, 6)) + (180 if index % 2 else 0)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:02}.png")
    return folder
