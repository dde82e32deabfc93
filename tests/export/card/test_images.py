"""The images of the model card."""

import io

import numpy as np
import pytest
from PIL import Image

import vaedge
from vaedge.bundle.reference import Inputs
from vaedge_export.card import images
from vaedge_export.card.images import card_images


@pytest.fixture
def vae(bundle):
    return vaedge.load(bundle)


def inputs(n):
    rng = np.random.default_rng(0)
    return Inputs(rng.random((n, 1, 4, 4), np.float32), rng.standard_normal((n, 3)).astype(np.float32), {})


def size(content):
    return Image.open(io.BytesIO(content)).size


def side(count):
    """Return the pixels of a row of images of 4 pixels, with gaps of 2."""
    return 2 + count * 6


def test_random_examples_give_only_samples(vae):
    shown = card_images(vae, None, inputs(3))
    assert shown.keys() == {"samples.png"}
    assert size(shown["samples.png"]) == (side(8), side(8))


@pytest.mark.parametrize(("n", "rows"), [(5, 2), (63, 8), (64, 8), (65, 8)])
def test_at_most_64_examples_are_shown_above_their_reconstructions(vae, n, rows):
    shown = card_images(vae, inputs(n), inputs(3))
    assert shown.keys() == {"samples.png", "reconstructions.png", "traverse.png"}
    assert size(shown["reconstructions.png"]) == (side(min(n, 16)), side(rows))
    assert size(shown["traverse.png"]) == (side(13), side(3))


def test_traverse_varies_one_latent_per_row_and_the_most_active_first(vae, monkeypatch):
    grids = []
    monkeypatch.setattr(images, "grid_png", lambda batch, columns=None: grids.append((batch, columns)) or b"")
    real = inputs(20)
    card_images(vae, real, real)
    means = vae.encode(real.x).mean
    order = np.argsort(-means.var(0))
    expected = np.tile(means[0], (3, 13, 1))
    for row, latent in enumerate(order):
        expected[row, :, latent] = np.linspace(-3, 3, 13)
    batch, columns = grids[-1]
    assert columns == 13
    np.testing.assert_allclose(batch, vae.decode(expected.reshape(-1, 3).astype(np.float32)), atol=1e-6)
