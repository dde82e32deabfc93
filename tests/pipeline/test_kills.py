"""Killed at any moment, exports and bulk jobs leave nothing, what was there, or what is whole."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import vaedge

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "article"

# Imports, exports once, and says so; then, for every line that it reads, a forked child exports to that folder. With
# the argument "writing", the children begin where the bundle, which has been made and compared by then, is written.
_EXPORTER = """
import contextlib, os, pathlib, sys, tempfile
import torch
from vaedge_export import export, export_vae
torch.set_num_threads(1)
shapes = {"input_shape": (1, 8, 8), "latent_shape": (3,), "likelihood": "bernoulli"}
class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(64, 6)
    def forward(self, x):
        return self.linear(x.flatten(1)).chunk(2, 1)
encoder = Encoder().eval()
decoder = torch.nn.Sequential(torch.nn.Linear(3, 64), torch.nn.Unflatten(1, (1, 8, 8))).eval()
def children():
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            yield pathlib.Path(line.strip())
            os._exit(0)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)
new_folder = export.new_folder
@contextlib.contextmanager
def forked(destination):
    for folder in children():
        with new_folder(folder) as written:
            yield written
with tempfile.TemporaryDirectory() as scratch:
    if sys.argv[1:] == ["writing"]:
        export.new_folder = forked
        with contextlib.suppress(RuntimeError):  # in the end nobody has written anything
            export_vae(encoder, decoder, f"{scratch}/first", **shapes)
    else:  # the first export takes the longest, and is the children's, too
        export_vae(encoder, decoder, f"{scratch}/first", **shapes)
        for folder in children():
            export_vae(encoder, decoder, folder, **shapes)
"""


@contextlib.contextmanager
def exporting(*words):
    """Give a function that has a child export to a folder, kills it when it is told to, and returns its status."""
    with subprocess.Popen(
        [sys.executable, "-c", _EXPORTER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"

        def export(folder, kill_after=None):
            print(folder, file=process.stdin, flush=True)
            child = int(process.stdout.readline())
            if kill_after is not None:
                time.sleep(kill_after)
                with contextlib.suppress(ProcessLookupError):  # it had ended already
                    os.kill(child, signal.SIGKILL)
            return int(process.stdout.readline())

        yield export
        process.stdin.close()


@pytest.fixture(scope="module")
def exporter():
    with exporting() as export:
        yield export


def kill(export, tmp_path, kills, moments):
    """Export to a new folder each time, and look at what a kill has left, until there were enough of them."""
    began = time.perf_counter()
    assert export(tmp_path / "whole") == 0
    usual = time.perf_counter() - began
    rng, killed, whole = random.Random(0), 0, 0
    for index in range(10 * kills):
        folder = tmp_path / str(index)
        killed += export(folder, rng.uniform(*moments) * usual) == signal.SIGKILL
        if folder.exists():
            assert vaedge.check(folder).passed
            whole += 1
        if killed >= kills:
            break
    assert killed >= kills
    left = {path.name for path in tmp_path.iterdir()} - {str(index) for index in range(10 * kills)} - {"whole"}
    assert all(re.fullmatch(r"\.\d+\.[0-9a-f]+\.tmp", name) for name in left)
    print(f"{killed} kills, {whole} bundles whole, {len(left)} hidden leftovers")
    return whole, len(left)


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_export(exporter, tmp_path, kills):
    kill(exporter, tmp_path, kills, (0, 1))


def test_export_while_it_writes(tmp_path):
    with exporting("writing") as export:
        whole, left = kill(export, tmp_path, 100, (0, 1.3))
    assert whole > 0  # the kills came before the end of the writing, and after it
    assert left > 0


def test_an_export_to_what_is_there_changes_nothing(exporter, tmp_path):
    folder = tmp_path / "bundle"
    assert exporter(folder) == 0
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert exporter(folder) != 0
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


def test_two_exports_to_the_same_place(exporter, tmp_path):
    """One of them wins, and the other one says so."""
    code = _EXPORTER.replace("for folder in children():", "for folder in sys.stdin:").replace(
        "export_vae(encoder, decoder, folder,", "export_vae(encoder, decoder, folder.strip(),"
    )
    code = code.replace("    else:", "    else:\n        print('ready', flush=True)")
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        process.stdout.readline()
    with ThreadPoolExecutor(2) as pool:
        said = [out[1] for out in pool.map(lambda process: process.communicate(f"{tmp_path / 'bundle'}\n"), both)]
    assert sorted(process.returncode for process in both) == [0, 1]
    assert any(f"{tmp_path / 'bundle'}" in text and "ExportError" in text for text in said)
    assert vaedge.check(tmp_path / "bundle").passed
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    path = tmp_path_factory.mktemp("items") / "x.npy"
    rows = np.random.default_rng(0).random((512 * 60, 1, 28, 28), np.float32)
    np.save(path, rows)
    return path


def command(*words):
    # Small shards, so that there are many moments between two of them; and whoever runs the tests may ignore Ctrl-C.
    code = """
import signal
from vaedge import cli
from vaedge.files import bulk
signal.signal(signal.SIGINT, signal.default_int_handler)
bulk._SHARD_BYTES = 2**21
exit(cli.main())
"""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stdout=subprocess.DEVNULL)


def read(folder):
    parts = []
    for path in sorted(folder.glob("[0-9]*.npz")):
        with np.load(path) as archive:
            parts.append(archive["mean"])
    return np.concatenate(parts)


@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_bulk_encode(items, tmp_path, kills):
    """Killed again and again, the same command goes on, and ends in the rows that one call gives."""
    expected = vaedge.load(MODEL).encode(np.load(items)).mean
    words = "encode", MODEL, items, "--out"
    began = time.perf_counter()
    assert command(*words, tmp_path / "usual").wait() == 0
    usual = time.perf_counter() - began
    rng, killed, finished = random.Random(1), 0, 0
    folder = tmp_path / "shards"
    while killed < kills:
        process = command(*words, folder)
        time.sleep(rng.uniform(0.3 * usual, usual))
        process.kill()
        if process.wait() == -signal.SIGKILL:
            killed += 1
        for path in folder.glob("[0-9]*.npz"):  # each is there whole
            with np.load(path) as archive:
                start = int(path.stem) * 512
                assert start < len(expected)
                assert all(np.isfinite(archive[name]).all() for name in ("mean", "log_var"))
        if len(list(folder.glob("[0-9]*.npz"))) == 60:
            np.testing.assert_array_equal(read(folder), expected)
            shutil.rmtree(folder)
            finished += 1
    assert command(*words, folder).wait() == 0
    np.testing.assert_array_equal(read(folder), expected)
    print(f"{killed} kills, {finished} times at the end")


def test_a_killed_file_is_the_old_one(tmp_path):
    out = tmp_path / "x.npy"
    out.write_bytes(b"old")
    rng = random.Random(2)
    for _ in range(4):
        process = command("sample", MODEL, "-n", "2000000", "--seed", "0", "--out", out)
        time.sleep(rng.uniform(0.5, 3))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert out.read_bytes() == b"old"


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop(tmp_path, sent, status):
    out = tmp_path / "x.npy"
    process = command("sample", MODEL, "-n", "2000000", "--seed", "0", "--out", out)
    while not list(tmp_path.iterdir()):
        time.sleep(0.05)
    process.send_signal(sent)
    assert process.wait(30) == status
    assert list(tmp_path.iterdir()) == []
