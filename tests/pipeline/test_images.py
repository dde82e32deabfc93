"""Training and the runtime read the same pixels from image files, and refuse the same files."""

import io

import numpy as np
import pytest
from PIL import Image

import vaedge
from vaedge.files.examples import read_examples
from vaedge.files.images import grid_png, read_image
from vaedge_train import DataError, TrainConfig
from vaedge_train.data.examples import scale
from vaedge_train.dataset import load_dataset

GRAY = np.linspace(0, 255, 48).astype(np.uint8).reshape(8, 6)


def with_alpha(alpha):
    return Image.fromarray(np.stack([GRAY, GRAY, GRAY, np.full_like(GRAY, alpha)], -1))


def save_rotated(path):
    """Save an image with an EXIF orientation, so that a reader must rotate the image."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(GRAY).copy()).save(path, exif=exif)


READABLE = {
    "gray.png": lambda path: Image.fromarray(GRAY).save(path),
    "sixteen.png": lambda path: Image.fromarray(GRAY.astype(np.uint16) * 257).save(path),
    "alpha.png": lambda path: Image.fromarray(np.stack([GRAY, np.full_like(GRAY, 255)], -1), "LA").save(path),
    "rgba.png": lambda path: with_alpha(255).save(path),
    "rotated.png": save_rotated,
}
UNREADABLE = {
    "clear.png": (lambda path: with_alpha(100).save(path), "transparent"),
    "float.tif": (lambda path: Image.fromarray(GRAY.astype(np.float32) / 255).save(path), "is unknown; save the image"),
    "broken.png": (lambda path: path.write_bytes(b"\x89PNG\r\n"), "cannot be read as an image"),
}


@pytest.mark.parametrize("name", READABLE)
def test_training_and_runtime_read_the_same_pixels(tmp_path, name):
    for copy in ("a", "b"):
        READABLE[name](tmp_path / f"{copy}_{name}")
    found = read_image(tmp_path / f"a_{name}", (1, 8, 6))
    np.testing.assert_allclose(found[0], GRAY / 255, atol=1 / 255)
    dataset = load_dataset(TrainConfig(dataset=tmp_path))
    trained_on = scale(dataset.train.x).numpy()[0]
    np.testing.assert_allclose(trained_on.mean(0), GRAY / 255, atol=1 / 255)


@pytest.mark.parametrize("name", UNREADABLE)
def test_training_and_runtime_reject_the_same_images(tmp_path, name):
    save, message = UNREADABLE[name]
    save(tmp_path / name)
    Image.fromarray(GRAY).save(tmp_path / "good.png")
    with pytest.raises(vaedge.InputError, match=rf"{name}.*{message}"):
        read_image(tmp_path / name, (1, 8, 6))
    with pytest.raises(DataError, match=rf"{name}.*{message}"):
        load_dataset(TrainConfig(dataset=tmp_path))


def test_read_image_rejects_an_image_that_is_too_large(tmp_path, monkeypatch):
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(vaedge.InputError, match="cannot be read as an image"):
        read_image(tmp_path / "a.png", (1, 8, 6))


def test_read_image_resizes_only_on_request(tmp_path):
    Image.new("L", (60, 80), 128).save(tmp_path / "large.png")
    with pytest.raises(vaedge.InputError, match="60 x 80 pixels; this model takes 6 x 8"):
        read_image(tmp_path / "large.png", (1, 8, 6))
    np.testing.assert_allclose(read_image(tmp_path / "large.png", (1, 8, 6), resize=True), 128 / 255)


def test_folder_of_gray_images_stays_gray_when_resized(tmp_path):
    for index, mode in enumerate(("1", "L", "LA")):
        Image.new("L", (20, 20), 200).convert(mode).save(tmp_path / f"{index}.png")
    assert load_dataset(TrainConfig(dataset=tmp_path, image_size=(8, 8))).input_shape == (1, 8, 8)


@pytest.mark.parametrize("content", [b"nothing", b"PK\x03\x04", b""])
@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_read_examples_rejects_damaged_arrays(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(vaedge.InputError, match=f"{name} cannot be read"):
        read_examples(tmp_path / name, (1, 8, 6))


def test_grid_png_rejects_too_many_images():
    with pytest.raises(vaedge.InputError, match=r"write a \.npy"):
        grid_png(np.zeros((10_001, 1, 2, 2), np.float32))


def test_grid_png_writes_captions_below_the_images():
    images = np.ones((4, 1, 8, 8), np.float32)
    with Image.open(io.BytesIO(grid_png(images, 2, ["circle", "square", "très", "日本"]))) as grid:
        pixels = np.asarray(grid)
    plain = np.asarray(Image.open(io.BytesIO(grid_png(images, 2))))
    assert pixels.shape[0] > plain.shape[0]
    assert pixels.shape[1] > plain.shape[1]
    assert (pixels == 255).sum() >= 4 * 64
    assert len(np.unique(pixels)) > 2  # the text is anti-aliased, so it has intermediate levels
