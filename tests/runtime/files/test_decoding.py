"""Decoding of many images in several processes."""

import errno

import numpy as np
import pytest

pytest.importorskip("PIL.Image")

from PIL import Image

from vaedge import InferenceError
from vaedge.files import decoding
from vaedge.files.decoding import Failure, decode_images

COUNT = 300  # more than four jobs, so that other processes decode them


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Small color images, of which one is broken, one transparent, and one of another size."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    names = [folder / f"{index:03}.png" for index in range(COUNT)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8)).save(name)
    names[7].write_bytes(b"\x89PNG\r\n")
    Image.new("RGBA", (5, 4), (9, 9, 9, 50)).save(names[100])
    Image.new("RGB", (6, 4)).save(names[299])
    return names


def decode(paths, folder, shape=(3, 4, 5), **options):
    """Return the pixels and the failures."""
    file = folder / "pixels"
    file.write_bytes(b"head")
    options = {"resize": False, "background": None, **options}
    failures = [failure for _, found in decode_images(paths, file, 4, shape, **options) for failure in found]
    return np.frombuffer(file.read_bytes()[4:], np.uint8).reshape(len(paths), *shape), failures


def test_processes_give_the_pixels_of_pillow(paths, tmp_path):
    pixels, failures = decode(paths, tmp_path)
    assert [(failure.index, failure.kind) for failure in failures] == [
        (7, "broken"),
        (100, "transparent"),
        (299, "size"),
    ]
    assert str(paths[7]) in failures[0].message
    assert "has 6 x 4 pixels, but the first image has 5 x 4" in failures[2].message
    for index, path in enumerate(paths):
        expected = 0 if index in (7, 100, 299) else np.asarray(Image.open(path)).transpose(2, 0, 1)
        assert (pixels[index] == expected).all(), index


def test_few_images_give_the_same_without_other_processes(paths, tmp_path, monkeypatch):
    many, failures = decode(paths, tmp_path)
    monkeypatch.setattr(decoding, "_MIN_JOBS", 1000)
    alone, others = decode(paths, tmp_path)
    assert (alone == many).all()
    assert failures == others


def test_options_are_used_by_the_processes(paths, tmp_path):
    pixels, failures = decode(paths, tmp_path, (3, 2, 2), resize=True, background=(1, 2, 3))
    assert [failure.kind for failure in failures] == ["broken"]
    assert pixels[100].any()


def test_color_is_a_failure_where_gray_is_expected(paths, tmp_path):
    _, failures = decode(paths[10:20], tmp_path, (1, 4, 5))
    assert {failure.kind for failure in failures} == {"color"}
    assert len(failures) == 10


def test_full_disk_in_a_process_is_an_error_that_names_the_file(paths, tmp_path):
    """A process that cannot write answers with the error number."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder") as caught:
        list(decode_images(paths, tmp_path / "folder", 0, (3, 4, 5), resize=False, background=None))
    assert caught.value.errno == errno.EISDIR
    assert caught.value.filename == str(tmp_path / "folder")


def test_process_that_is_killed_is_an_error(paths, tmp_path, monkeypatch):
    started = decoding.subprocess.Popen

    def killed(*arguments, **options):
        process = started(*arguments, **options)
        process.kill()
        return process

    monkeypatch.setattr(decoding.subprocess, "Popen", killed)
    with pytest.raises(InferenceError, match="a process that decodes images ended unexpectedly"):
        decode(paths, tmp_path)


def test_failures_can_be_compared():
    assert Failure(1, "broken", "x") == Failure(1, "broken", "x") != Failure(2, "broken", "x")
