"""The cache of decoded images."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from vaedge_train import DataError
from vaedge_train.data import image_cache
from vaedge_train.data.image_folder import load_folder


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch):
    """The number of images of each decoding."""
    counts, honest = [], image_cache.decode_images

    def counted(paths, *arguments, **options):
        counts.append(len(paths))
        return honest(paths, *arguments, **options)

    monkeypatch.setattr(image_cache, "decode_images", counted)
    return counts


def everything(source):
    return torch.cat([source.train.x, source.test.x])


def test_images_are_decoded_once(image_folder, cache, decoded):
    first, again, memory = (load_folder(image_folder, None, cache_dir=place) for place in (cache, cache, None))
    assert decoded == [40, 40]
    assert torch.equal(everything(first), everything(again))
    assert torch.equal(everything(first), everything(memory))
    assert {path.suffix for path in cache.iterdir()} == {".npy", ".json"}
    assert first.train.stored.data_ptr() == first.test.stored.data_ptr()


@pytest.mark.parametrize("change", ["content", "time", "name", "new", "options"])
def test_changed_images_are_decoded_again(image_folder, cache, decoded, change):
    load_folder(image_folder, None, cache_dir=cache)
    path, size = image_folder / "00.png", None
    if change == "content":
        Image.new("L", (6, 5), 77).save(path)
    elif change == "time":
        os.utime(path, ns=(0, 0))
    elif change == "name":
        path.rename(image_folder / "zz.png")
    elif change == "new":
        Image.new("L", (6, 5), 77).save(image_folder / "zz.png")
    else:
        size = (3, 3)
    load_folder(image_folder, size, cache_dir=cache)
    assert len(decoded) == 2


def test_images_that_are_left_out_are_remembered(image_folder, cache, decoded, capsys):
    (image_folder / "00.png").write_bytes(b"\x89PNG\r\n")
    sources = [load_folder(image_folder, None, skip_broken=True, cache_dir=cache) for _ in range(2)]
    assert decoded == [40]
    assert capsys.readouterr().err.count("Left out 1 of 40 images: 1 broken, 0 transparent.") == 2
    assert torch.equal(everything(sources[0]), everything(sources[1]))
    assert len(everything(sources[0])) == 39
    with pytest.raises(DataError, match="--skip-broken"):
        load_folder(image_folder, None, cache_dir=cache)


def test_color_image_after_many_gray_ones_makes_all_images_color(image_folder, cache, decoded):
    for index in range(300):
        Image.new("L", (6, 5), index % 256).save(image_folder / f"gray{index:03}.png")
    Image.new("RGB", (6, 5), (250, 10, 10)).save(image_folder / "red.png")
    images = everything(load_folder(image_folder, None, cache_dir=cache))
    assert images.shape == (341, 3, 5, 6)
    assert (images == torch.tensor([250, 10, 10], dtype=torch.uint8)[:, None, None]).all((1, 2, 3)).sum() == 1
    assert decoded == [341, 341]


def test_labels_follow_the_images_that_are_left(tmp_path, cache):
    for name, level in (("dark", 10), ("bright", 240)):
        (tmp_path / "x" / name).mkdir(parents=True)
        for index in range(10):
            Image.new("L", (4, 4), level).save(tmp_path / "x" / name / f"{index}.png")
    (tmp_path / "x" / "bright" / "0.png").write_bytes(b"")
    source = load_folder(tmp_path / "x", None, skip_broken=True, cache_dir=cache)
    assert source.classes == ("bright", "dark")
    for part in (source.train, source.test):
        assert torch.equal(part.x[:, 0, 0, 0] > 100, part.y == 0)


def test_folder_that_changes_during_decoding_is_an_error(image_folder, cache, monkeypatch):
    honest = image_cache.decode_images

    def changing(*arguments, **options):
        yield from honest(*arguments, **options)
        Image.new("L", (6, 5), 77).save(image_folder / "00.png")

    monkeypatch.setattr(image_cache, "decode_images", changing)
    with pytest.raises(DataError, match="changed while they were read"):
        load_folder(image_folder, None, cache_dir=cache)
    assert not list(cache.iterdir())


def test_image_that_vanishes_is_an_error(image_folder, cache, monkeypatch):
    honest = image_cache.decode_images

    def changing(*arguments, **options):
        yield from honest(*arguments, **options)
        (image_folder / "00.png").unlink()

    monkeypatch.setattr(image_cache, "decode_images", changing)
    with pytest.raises(DataError, match=r"00\.png cannot be read.*the folder changed"):
        load_folder(image_folder, None, cache_dir=cache)
    assert not list(cache.iterdir())


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from vaedge.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(main(["train", "--dataset", sys.argv[1], "--out", sys.argv[2], "--epochs", "1", "--hidden", "4"]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_full_disk_is_one_clear_error_and_leaves_no_file(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(40):
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (30, 30), np.uint8)).save(folder / f"{index}.png")
    words = [sys.executable, "-c", _FULL_DISK, str(folder), str(tmp_path / "run")]
    found = subprocess.run(words, capture_output=True, text=True)
    assert found.returncode == 1
    assert "Traceback" not in found.stderr
    assert "cache" in found.stderr
    assert "File too large" in found.stderr
    assert not list((tmp_path / "cache").iterdir())
    assert not (tmp_path / "run").exists()
