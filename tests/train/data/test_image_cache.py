"""The cache of decoded images: when it is reused, and which files remain after an interruption."""

import errno
import os
import random
import re
import shutil

import numpy as np
import pytest
import torch
from killing import moments, serving
from PIL import Image

from vaedge.cli.main import main
from vaedge.files import decoding
from vaedge.files.decoding import Job
from vaedge_train import DataError
from vaedge_train.data import image_folder as image_folder_module
from vaedge_train.data.image_folder import load_folder


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch):
    """The list of the paths of all images that this process decodes."""
    paths, honest = [], Job.run
    monkeypatch.setattr(Job, "run", lambda job: paths.extend(job.paths) or honest(job))
    return paths


def everything(source):
    return torch.cat([source.train.x, source.test.x])


def same(first, second):
    """Return whether two data sets have the same examples in the same parts."""
    return all(torch.equal(a.x, b.x) for a, b in ((first.train, second.train), (first.test, second.test)))


def test_images_are_decoded_once(image_folder, cache, decoded):
    first = load_folder(image_folder, None, cache_dir=cache)
    assert len(decoded) == 40
    second = load_folder(image_folder, None, cache_dir=cache)
    assert len(decoded) == 40
    assert same(first, second)
    assert same(first, load_folder(image_folder, None))
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]


def test_cached_images_stay_in_the_file(image_folder, cache, monkeypatch):
    found, honest = [], image_folder_module.cached_images
    monkeypatch.setattr(
        image_folder_module, "cached_images", lambda *arguments: found.append(honest(*arguments)) or found[0]
    )
    source = load_folder(image_folder, None, cache_dir=cache)
    assert isinstance(found[0].pixels, np.memmap)
    for part in (source.train, source.test):
        assert np.shares_memory(part.stored.numpy(), found[0].pixels)


def test_images_without_a_cache_are_in_memory_and_leave_no_file(image_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    source = load_folder(image_folder, None)
    assert not list((tmp_path / "temporary").iterdir())
    assert everything(source).shape == (40, 1, 5, 6)


def modified(folder):
    os.utime(folder / "03.png", ns=(5, 5))


def replaced(folder):
    """Replace an image by another image with the same modification time."""
    found = (folder / "03.png").stat()
    Image.new("L", (6, 5)).save(folder / "03.png")
    os.utime(folder / "03.png", ns=(found.st_atime_ns, found.st_mtime_ns))


def renamed(folder):
    (folder / "03.png").rename(folder / "03a.png")


def removed(folder):
    (folder / "03.png").unlink()


def added(folder):
    Image.new("L", (6, 5), 77).save(folder / "zz.png")


@pytest.mark.parametrize("change", [modified, replaced, renamed, removed, added])
def test_images_are_decoded_again_after_a_change(image_folder, cache, decoded, change):
    load_folder(image_folder, None, cache_dir=cache)
    change(image_folder)
    decoded.clear()
    source = load_folder(image_folder, None, cache_dir=cache)
    assert len(decoded) == len(everything(source)) == len(list(image_folder.iterdir()))
    assert same(source, load_folder(image_folder, None))


def test_other_options_decode_again(image_folder, cache, decoded):
    Image.new("LA", (6, 5), (200, 0)).save(image_folder / "z.png")
    options = [(None, (0, 0, 0)), (None, (9, 9, 9)), ((8, 12), (9, 9, 9))]
    for repeated in (False, True):
        decoded.clear()
        for image_size, background in options:
            source = load_folder(image_folder, image_size, background=background, cache_dir=cache)
            assert same(source, load_folder(image_folder, image_size, background=background))
        assert len(decoded) == (3 if repeated else 6) * 41  # three times without the cache


def test_images_that_were_left_out_are_reported_again(image_folder, cache, decoded, capsys):
    (image_folder / "07.png").write_bytes(b"\x89PNG\r\n")
    Image.new("LA", (6, 5), (10, 100)).save(image_folder / "a.png")
    reports, sources = [], []
    for _ in range(2):
        sources.append(load_folder(image_folder, None, skip_broken=True, cache_dir=cache))
        reports.append(capsys.readouterr().err)
    assert len(decoded) == 41
    assert same(*sources)
    assert everything(sources[1]).shape == (39, 1, 5, 6)
    assert reports[0] == reports[1]
    assert "Left out 2 of 41 images: 1 broken, 1 transparent." in reports[1]
    with pytest.raises(DataError, match=r"07.png cannot be read.*--skip-broken"):
        load_folder(image_folder, None, cache_dir=cache)


def test_classes_fit_the_images_that_are_left(tmp_path):
    for name, level in (("dark", 10), ("bright", 240)):
        (tmp_path / name).mkdir()
        for index in range(10):
            Image.new("L", (4, 4), level).save(tmp_path / name / f"{index}.png")
    (tmp_path / "bright" / "00.png").write_bytes(b"")
    source = load_folder(tmp_path, None, skip_broken=True)
    assert len(everything(source)) == 20
    for part in (source.train, source.test):
        assert torch.equal(part.x[:, 0, 0, 0] > 100, part.y == 0)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder of 310 images, which several processes decode. Three images are broken, and the last image is red."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    for index in range(309):
        Image.fromarray(rng.integers(0, 256, (5, 4), np.uint8)).save(folder / f"{index:03}.png")
    for index in (2, 100, 308):
        (folder / f"{index:03}.png").write_bytes(b"\x89PNG\r\n")
    Image.new("RGB", (4, 5), (250, 10, 10)).save(folder / "red.png")
    return folder


def test_color_image_after_many_gray_ones_makes_all_images_color(many, cache, monkeypatch, capsys):
    source = load_folder(many, None, skip_broken=True, cache_dir=cache)
    report = capsys.readouterr().err
    assert report.count("skipped: ") == 3
    assert report.splitlines()[-1] == "Left out 3 of 310 images: 3 broken, 0 transparent."
    images = everything(source)
    assert images.shape == (307, 3, 5, 4)
    red = (images == torch.tensor([250, 10, 10], dtype=torch.uint8)[:, None, None]).all((1, 2, 3))
    assert red.sum() == 1
    assert (images[~red] == images[~red][:, :1]).all()
    monkeypatch.setattr(decoding, "_MIN_JOBS", 100)
    assert same(source, load_folder(many, None, skip_broken=True))
    assert capsys.readouterr().err == report


@pytest.mark.parametrize("change", [modified, removed])
def test_change_during_decoding_is_an_error(image_folder, cache, monkeypatch, change):
    honest = Job.run
    monkeypatch.setattr(Job, "run", lambda job: (honest(job), change(image_folder))[0])
    with pytest.raises(DataError, match="the folder changed while it was read|changed while they were read"):
        load_folder(image_folder, None, cache_dir=cache)
    assert not list(cache.iterdir())


def test_full_disk_is_one_error_that_names_the_file(image_folder, cache, tmp_path, monkeypatch, capsys):
    def full(job):
        with open(job.file, "r+b") as file:  # noqa: PTH123
            file.write(b"some pixels")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Job, "run", full)
    assert main(["train", "--dataset", str(image_folder), "--out", str(tmp_path / "run")]) == 1
    printed = capsys.readouterr().err
    assert re.search(rf"{re.escape(str(cache))}.images-[0-9a-f]+\.npy: No space left on device", printed)
    assert "Traceback" not in printed
    assert not list(cache.iterdir())  # the default cache is beside the run
    assert not (tmp_path / "run").exists()


def test_process_that_is_killed_leaves_no_file(many, cache, monkeypatch):
    honest = decoding._Process.run

    def run(self, job):
        self._process.kill()
        return honest(self, job)

    monkeypatch.setattr(decoding._Process, "run", run)
    with pytest.raises(decoding.InferenceError, match="ended unexpectedly"):
        load_folder(many, None, skip_broken=True, cache_dir=cache)
    assert not list(cache.iterdir())


# Each child starts processes that decode the images. The server imports the modules before it forks the children.
_DECODING = """
from pathlib import Path
from killing import children
from vaedge.files import decoding
from vaedge_train.data.image_folder import load_folder
decoding._IMAGES_PER_JOB, decoding._MIN_JOBS = 10, 2
for folder, cache in children("vaedge_train.data", "vaedge.files"):
    load_folder(Path(folder), None, cache_dir=Path(cache))
"""


def test_run_that_is_killed_leaves_no_incomplete_cache(image_folder, cache, tmp_path):
    expected = load_folder(image_folder, None)
    delays = random.Random(0)
    with serving(_DECODING, tmp_path / "stderr") as server:
        lines = server.kill(image_folder, tmp_path / "first")
        for moment in moments(8, lines):
            moment["delay"] = None if moment["delay"] is None else delays.uniform(0, 0.3)
            server.kill(image_folder, cache, **moment)
            assert same(load_folder(image_folder, None, cache_dir=cache), expected)
            shutil.rmtree(cache)


def test_damaged_cache_is_an_error_that_names_the_file(image_folder, cache):
    load_folder(image_folder, None, cache_dir=cache)
    (file,) = cache.glob("*.npy")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=rf"{file.name} is damaged: .*; remove this file, and start the command again"):
        load_folder(image_folder, None, cache_dir=cache)
    file.unlink()
    load_folder(image_folder, None, cache_dir=cache)


def test_cache_without_its_listing_is_written_again(image_folder, cache):
    load_folder(image_folder, None, cache_dir=cache)
    (listing,) = cache.glob("*.json")
    listing.unlink()
    load_folder(image_folder, None, cache_dir=cache)
    assert listing.exists()
