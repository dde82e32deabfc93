"""Grids of images."""

import io

import numpy as np
import pytest

pytest.importorskip("PIL.Image")

from PIL import Image

from vaedge.files.images import grid_png

IMAGES = np.ones((6, 1, 4, 5), np.float32)


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def test_grid_has_two_pixels_between_and_around_the_images():
    grid = pixels(grid_png(IMAGES, 3))
    assert grid.shape == (2 * (4 + 2) + 2, 3 * (5 + 2) + 2)
    white = grid == 255
    assert np.flatnonzero(white.any(1)).tolist() == [2, 3, 4, 5, 8, 9, 10, 11]
    assert white.sum() == 6 * 4 * 5


def test_captions_are_cut_to_24_characters():
    """A longer caption is shown as its first 21 characters and three dots."""
    long, cut, whole = "abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstu...", "abcdefghijklmnopqrstuvwx"
    assert grid_png(IMAGES, 3, [long] * 6) == grid_png(IMAGES, 3, [cut] * 6)
    assert grid_png(IMAGES, 3, [whole] * 6) != grid_png(IMAGES, 3, [cut] * 6)
