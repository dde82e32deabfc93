"""Many images are decoded into one file, by this process or by several processes."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("PIL.Image")

from PIL import Image

from vaedge.errors import InferenceError
from vaedge.files import decoding
from vaedge.files.decoding import decode_images

COUNT = 4 * decoding._IMAGES_PER_JOB + 50  # five jobs, the last of which is smaller
GRAY = (1, 4, 3)  # channels, height, width


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (COUNT, *GRAY), np.uint8)


@pytest.fixture(scope="module")
def paths(pixels, tmp_path_factory):
    """Paths of gray images with the width 3 and the height 4."""
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{index:03}.png" for index in range(COUNT)]
    for path, values in zip(paths, pixels, strict=True):
        Image.fromarray(values[0]).save(path)
    return paths


@pytest.fixture
def file(tmp_path):
    """A file that starts with a header of seven bytes."""
    (tmp_path / "pixels").write_bytes(b"header:")
    return tmp_path / "pixels"


def decode(paths, file, shape=GRAY, *, resize=False, background=None):
    """Decode the images of a file.

    Return the number of images in each part of the file, the images that failed, and the decoded pixels.
    """
    parts = list(decode_images(paths, file, 7, shape, resize=resize, background=background, processes=2))
    content = file.read_bytes()
    assert content[:7] == b"header:"
    pixels = np.frombuffer(content, np.uint8, offset=7).reshape(len(paths), *shape)
    return [count for count, _ in parts], [failure for _, found in parts for failure in found], pixels


@pytest.fixture
def processes(monkeypatch):
    """The list of the processes that were started to decode images."""
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    return started


def test_processes_decode_every_image_in_order(paths, pixels, file, processes):
    counts, failures, found = decode(paths, file)
    assert counts == [64, 64, 64, 64, 50]
    assert failures == []
    assert np.array_equal(found, pixels)
    assert processes
    assert [process.returncode for process in processes] == [0] * len(processes)  # all have ended


def test_a_few_images_are_decoded_without_other_processes(paths, pixels, file, processes):
    _, failures, found = decode(paths[:130], file)
    assert failures == []
    assert np.array_equal(found, pixels[:130])
    assert not processes


def test_processes_find_the_same_as_this_process(paths, file, tmp_path, monkeypatch):
    """Broken, transparent, colored and larger images give the same failures in other processes as in this process."""
    mixed = list(paths)
    for index, image in ((3, None), (70, "LA"), (140, "RGB"), (200, "large"), (COUNT - 1, None)):
        mixed[index] = tmp_path / f"{index}.png"
        if image is None:
            mixed[index].write_bytes(paths[0].read_bytes()[:50])
        elif image == "large":
            Image.new("L", (9, 8), 7).save(mixed[index])
        else:
            Image.new(image, (3, 4), (90, 20) if image == "LA" else (90, 20, 7)).save(mixed[index])
    everything = []
    for minimum in (decoding._MIN_JOBS, 100):
        monkeypatch.setattr(decoding, "_MIN_JOBS", minimum)
        everything.append(decode(mixed, file))
    (_, failures, found), (_, expected_failures, expected) = everything
    assert failures == expected_failures
    assert np.array_equal(found, expected)
    kinds = [(failure.index, failure.kind) for failure in failures]
    assert kinds == [(3, "broken"), (70, "transparent"), (140, "color"), (200, "size"), (COUNT - 1, "broken")]
    assert not found[[index for index, _ in kinds]].any()
    assert all(str(mixed[failure.index]) in failure.message for failure in failures)
    assert failures[3].message.endswith("has 9 x 8 pixels, but the first image has 3 x 4")


def test_options_apply_in_other_processes(paths, file):
    paths = [*paths[:-1], paths[0].with_name("transparent.PNG")]
    Image.new("LA", (3, 4), (90, 0)).save(paths[-1], "png")
    _, failures, found = decode(paths, file, (3, 2, 5), resize=True, background=(1, 2, 3))
    assert failures == []
    small = Image.open(paths[0]).resize((5, 2), Image.Resampling.LANCZOS)
    assert (found[0] == np.asarray(small)).all()
    assert (found[-1] == np.array([1, 2, 3])[:, None, None]).all()


def test_process_that_is_killed_is_an_error(paths, file, processes, monkeypatch):
    honest = decoding._Process.run

    def run(self, job):
        if job.first == 2 * 64:
            self._process.kill()
        return honest(self, job)

    monkeypatch.setattr(decoding._Process, "run", run)
    with pytest.raises(InferenceError, match="a process that decodes images ended unexpectedly"):
        decode(paths, file)
    assert all(process.poll() is not None for process in processes)


def test_caller_that_stops_early_ends_the_processes(paths, file, processes):
    parts = decode_images(paths, file, 7, GRAY, resize=False, background=None, processes=2)
    next(parts)
    parts.close()
    assert [process.returncode for process in processes] == [0] * len(processes)


_INTERRUPTED = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background of a shell ignore the signal
from vaedge.files.decoding import decode_images
paths = sorted(Path(sys.argv[1]).glob("*.png"))
for _ in decode_images(paths, Path(sys.argv[2]), 7, (1, 4, 3), resize=False, background=None, processes=2):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the test uses POSIX signals")
def test_ctrl_c_interrupts_only_the_caller(paths, file):
    """At Ctrl-C, a terminal interrupts all processes of the group. The child processes must not print tracebacks."""
    process = subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED, paths[0].parent, file],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert errors.count("Traceback") == errors.count("KeyboardInterrupt") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="the test uses POSIX resource limits")
@pytest.mark.parametrize("count", [COUNT, 130], ids=["processes", "one process"])
def test_full_disk_is_an_error(paths, file, count):
    """The test limits the size of files. To the program, such a limit looks like a full disk."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (900, limits[1]))  # other processes inherit the limit
    try:
        with pytest.raises(OSError, match="File too large") as failure:
            decode(paths[:count], file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert count == 130 or failure.value.filename == str(file)
