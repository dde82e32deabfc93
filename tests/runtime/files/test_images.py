"""Grids of images, and overlays of anomaly maps."""

import io

import numpy as np
import pytest

pytest.importorskip("PIL.Image")

from PIL import Image

from vaedge.files.images import grid_png, overlay_png

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


def test_overlay_shows_the_image_and_the_distortion_in_red():
    image = np.array([[[0, 0.5, 1, 1]]], np.float32)
    distortion = np.array([[-5, 2, 3, 99]], np.float32)
    overlay = pixels(overlay_png(image, distortion, (1, 3)))
    assert overlay.shape == (1, 4 + 2 + 4, 3)
    np.testing.assert_array_equal(overlay[0, :4], [[0] * 3, [128] * 3, [255] * 3, [255] * 3])
    # Up to 1 nat, there is no red. At 2 nats, red is half. From 3 nats, red is full.
    np.testing.assert_array_equal(overlay[0, 6:], [[0] * 3, [192, 64, 64], [255, 0, 0], [255, 0, 0]])


def test_overlay_of_a_color_image_is_gray_and_red():
    image = np.zeros((3, 2, 5), np.float32)
    image[0] = 1  # on a red image, the red overlay would not be visible
    overlay = pixels(overlay_png(image, np.array([[0, 0, 0, 1, np.nan]] * 2, np.float32), (0, 1)))
    assert overlay[:, :5].tolist() == [[[255, 0, 0]] * 5] * 2
    assert overlay[:, 7:].tolist() == [[[76] * 3] * 3 + [[255, 0, 0]] * 2] * 2
