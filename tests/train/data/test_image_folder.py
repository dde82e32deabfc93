"""Data sets from folders of images."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from vaedge_train import DataError
from vaedge_train.data.image_folder import load_folder


def everything(source):
    return torch.cat([source.train.x, source.test.x])


def test_folder_becomes_gray_images(image_folder):
    (image_folder / "notes.txt").write_text("not an image")
    source = load_folder(image_folder, None)
    assert source.train.x.shape == (36, 1, 5, 6)
    assert source.test.x.shape == (4, 1, 5, 6)
    files = {hashlib.sha256(np.asarray(Image.open(path)).tobytes()).digest() for path in image_folder.glob("*.png")}
    assert {hashlib.sha256(image.numpy().tobytes()).digest() for image in everything(source)} == files


def test_one_color_image_makes_all_images_color(image_folder):
    Image.new("RGB", (6, 5), (250, 10, 10)).save(image_folder / "red.png")
    images = everything(load_folder(image_folder, None))
    assert images.shape == (41, 3, 5, 6)
    assert (images == torch.tensor([250, 10, 10], dtype=torch.uint8)[:, None, None]).all((1, 2, 3)).sum() == 1


def test_different_sizes_are_an_error_unless_images_are_resized(image_folder):
    Image.new("L", (9, 8)).save(image_folder / "large.png")
    with pytest.raises(DataError, match=r"large.png has 9 x 8 pixels, but the first image has 6 x 5.*--image-size"):
        load_folder(image_folder, None)
    assert load_folder(image_folder, (8, 12)).train.x.shape[1:] == (1, 8, 12)


def test_broken_image_is_an_error_that_names_the_file(image_folder):
    (image_folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(DataError, match=r"broken.png cannot be read.*--skip-broken"):
        load_folder(image_folder, None)


def test_broken_images_are_skipped_and_named_on_demand(image_folder, capsys):
    whole = load_folder(image_folder, None)
    (image_folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    (image_folder / "cut.png").write_bytes((image_folder / "00.png").read_bytes()[:60])
    source = load_folder(image_folder, None, skip_broken=True)
    assert torch.equal(source.train.x, whole.train.x)
    printed = capsys.readouterr().err
    assert f"skipped: {image_folder / 'broken.png'}" in printed
    assert f"skipped: {image_folder / 'cut.png'}" in printed


def test_one_message_counts_all_transparent_images(image_folder, capsys):
    for name in ("a.png", "b.png"):
        Image.new("LA", (6, 5), (10, 100)).save(image_folder / name)
    first = (
        r"a\.png has transparent parts; .*--background.*It is the first of 2 such images among 42 in .*--skip-broken"
    )
    with pytest.raises(DataError, match=first):
        load_folder(image_folder, None)
    assert everything(load_folder(image_folder, None, skip_broken=True)).shape == (40, 1, 5, 6)
    assert capsys.readouterr().err.count("skipped: ") == 1
    assert everything(load_folder(image_folder, None, background=(9, 9, 9))).shape == (42, 1, 5, 6)
    assert everything(load_folder(image_folder, None, background=(9, 9, 8))).shape == (42, 3, 5, 6)


def test_total_of_images_that_are_left_out_is_printed_last(image_folder, capsys):
    (image_folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    for name in ("a.png", "b.png"):
        Image.new("LA", (6, 5), (10, 100)).save(image_folder / name)
    load_folder(image_folder, None, skip_broken=True)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "Left out 3 of 43 images: 1 broken, 2 transparent."
    load_folder(image_folder, None, skip_broken=True, background=(0, 0, 0))
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "Left out 1 of 43 images: 1 broken, 0 transparent."


def test_no_total_is_printed_if_every_image_is_used(image_folder, capsys):
    load_folder(image_folder, None, skip_broken=True)
    assert "Left out" not in capsys.readouterr().err


def test_only_unusable_images_are_an_error(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(b"\x89PNG\r\n")
    Image.new("LA", (6, 5), (10, 100)).save(tmp_path / "d.png")
    with pytest.raises(DataError, match="none of the 4 images .* can be used. The first error: .*a.png cannot be read"):
        load_folder(tmp_path, None, skip_broken=True)


def test_empty_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="holds 0 images .*expected at least 2"):
        load_folder(tmp_path, None)


def test_first_subfolders_are_classes(tmp_path):
    for name, level in (("dark", 10), ("bright", 240)):
        (tmp_path / name / "deeper").mkdir(parents=True)
        for index in range(10):
            Image.new("L", (4, 4), level).save(tmp_path / name / "deeper" / f"{index}.png")
    source = load_folder(tmp_path, None)
    assert source.classes == ("bright", "dark")
    for part in (source.train, source.test):
        assert torch.equal(part.x[:, 0, 0, 0] > 100, part.y == 0)
    Image.new("L", (4, 4)).save(tmp_path / "outside.png")
    outside = load_folder(tmp_path, None)
    assert outside.classes == ()
    assert outside.train.y is None
