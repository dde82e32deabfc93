"""Pictures as people have them: training and the runtime read the same thing, or refuse it with the same reason."""

import numpy as np
import pytest
from PIL import Image

import vaedge
from vaedge.files.images import read_picture
from vaedge_train import DataError, TrainConfig
from vaedge_train.data.examples import scale
from vaedge_train.dataset import load_dataset

GREY = np.linspace(0, 255, 48).astype(np.uint8).reshape(8, 6)


def opaque(alpha):
    colours = np.stack([GREY, GREY, GREY, np.full_like(GREY, alpha)], -1)
    return Image.fromarray(colours)


def turned():
    """A photograph stored on its side, with a note that says so."""
    picture = Image.fromarray(np.rot90(GREY).copy())
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture, exif


GOOD = {
    "grey.png": lambda path: Image.fromarray(GREY).save(path),
    "sixteen.png": lambda path: Image.fromarray(GREY.astype(np.uint16) * 257).save(path),
    "alpha.png": lambda path: Image.fromarray(np.stack([GREY, np.full_like(GREY, 255)], -1), "LA").save(path),
    "rgba.png": lambda path: opaque(255).save(path),
    "turned.png": lambda path: turned()[0].save(path, exif=turned()[1]),
}
BAD = {
    "clear.png": (lambda path: opaque(100).save(path), "transparent"),
    "float.tif": (lambda path: Image.fromarray(GREY.astype(np.float32) / 255).save(path), "range is unknown"),
    "broken.png": (lambda path: path.write_bytes(b"\x89PNG\r\n"), "cannot be read as a picture"),
}


@pytest.mark.parametrize("name", GOOD)
def test_both_read_the_same(tmp_path, name):
    for copy in ("a", "b"):
        GOOD[name](tmp_path / f"{copy}_{name}")
    expected = np.rot90(GREY, 0) if name != "turned.png" else np.rot90(np.rot90(GREY), -1)
    found = read_picture(tmp_path / f"a_{name}", (1, 8, 6))
    np.testing.assert_allclose(found[0], expected / 255, atol=1 / 255)
    dataset = load_dataset(TrainConfig(dataset=tmp_path))
    trained_on = scale(dataset.train.x).numpy()[0]
    np.testing.assert_allclose(trained_on.mean(0), expected / 255, atol=1 / 255)


@pytest.mark.parametrize("name", BAD)
def test_both_refuse_the_same(tmp_path, name):
    make, says = BAD[name]
    make(tmp_path / name)
    Image.fromarray(GREY).save(tmp_path / "good.png")
    with pytest.raises(vaedge.InputError, match=rf"{name}.*{says}"):
        read_picture(tmp_path / name, (1, 8, 6))
    with pytest.raises(DataError, match=rf"{name}.*{says}"):
        load_dataset(TrainConfig(dataset=tmp_path))


def test_a_picture_too_large_to_open(tmp_path, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(vaedge.InputError, match="cannot be read as a picture"):
        read_picture(tmp_path / "a.png", (1, 8, 6))


def test_resizing_is_asked_for(tmp_path):
    Image.new("L", (60, 80), 128).save(tmp_path / "large.png")
    with pytest.raises(vaedge.InputError, match="60 x 80 pixels; this model takes 6 x 8"):
        read_picture(tmp_path / "large.png", (1, 8, 6))
    np.testing.assert_allclose(read_picture(tmp_path / "large.png", (1, 8, 6), resize=True), 128 / 255)


def test_grey_folders_stay_grey_when_resized(tmp_path):
    for index, mode in enumerate(("1", "L", "LA")):
        Image.new("L", (20, 20), 200).convert(mode).save(tmp_path / f"{index}.png")
    assert load_dataset(TrainConfig(dataset=tmp_path, image_size=(8, 8))).item_shape == (1, 8, 8)


@pytest.mark.parametrize("content", [b"nothing", b"PK\x03\x04", b""])
@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_damaged_arrays(tmp_path, name, content):
    from vaedge.files.arrays import read_items

    (tmp_path / name).write_bytes(content)
    with pytest.raises(vaedge.InputError, match=f"{name} cannot be read"):
        read_items(tmp_path / name, (1, 8, 6))


def test_a_grid_of_too_many(tmp_path):
    from vaedge.files.images import grid_png

    with pytest.raises(vaedge.InputError, match=r"write a \.npy"):
        grid_png(np.zeros((10_001, 1, 2, 2), np.float32))
