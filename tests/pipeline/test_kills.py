"""If an export or a bulk job is killed, either nothing has changed, or the new result is complete."""

import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from killing import moments, serving

import vaedge

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "article"

# The first export of a process is slow. Therefore, the server forks each child just before the first export writes its
# bundle. The child writes that bundle, or runs another export.
_EXPORTS = """
import contextlib, pathlib
import torch
from killing import children
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
new_folder = export.new_folder
class Done(Exception):
    pass
@contextlib.contextmanager
def forked(destination):
    for operation, folder in children("vaedge_export"):
        if operation == "write":
            with new_folder(pathlib.Path(folder)) as written:
                yield written
        else:
            export.new_folder = new_folder
            export_vae(encoder, decoder, folder, **shapes)
    raise Done
export.new_folder = forked
with contextlib.suppress(Done):
    export_vae(encoder, decoder, "never-written", **shapes)
"""


@pytest.fixture(scope="module")
def exporter(tmp_path_factory):
    with serving(_EXPORTS, tmp_path_factory.mktemp("exporter") / "stderr") as server:
        yield server


def kill_exports(server, operation, tmp_path, kills):
    """Start exports and kill them. Verify after each kill that the bundle is absent or complete.

    Each export writes to a new folder.

    Returns:
        The number of kills that left a complete bundle, and the number of kills that left a hidden folder.
    """
    lines = server.kill(operation, tmp_path / "complete")
    assert lines > 20
    assert vaedge.check(tmp_path / "complete").passed
    whole = 1
    for index, moment in enumerate(moments(kills - 1, lines)):
        folder = tmp_path / str(index)
        server.kill(operation, folder, **moment)
        if folder.exists():
            assert vaedge.check(folder).passed
            whole += 1
    left = {path.name for path in tmp_path.iterdir()} - {str(index) for index in range(kills)} - {"complete"}
    assert all(re.fullmatch(r"\.\d+\.[0-9a-f]+\.tmp", name) for name in left)
    print(f"{kills} kills at {lines} lines, {whole} complete bundles, {len(left)} hidden folders")
    return whole, len(left)


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_export_leaves_nothing_or_a_complete_bundle(exporter, tmp_path, kills):
    kill_exports(exporter, "export", tmp_path, kills)


def test_export_killed_while_writing_leaves_nothing_or_a_complete_bundle(exporter, tmp_path):
    whole, left = kill_exports(exporter, "write", tmp_path, 100)
    assert whole > 1  # some kills came after the renaming
    assert left > 0  # some kills came during the writing


def test_export_to_an_existing_bundle_changes_nothing(exporter, tmp_path):
    folder = tmp_path / "bundle"
    assert exporter.run(["export", folder]) == [0]
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert exporter.run(["export", folder]) == [1]
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


def test_second_of_two_exports_to_the_same_folder_fails(exporter, tmp_path):
    folder = tmp_path / "bundle"
    assert sorted(exporter.run(["export", folder], ["export", folder])) == [0, 1]
    assert re.search(rf"ExportError: .*{re.escape(str(folder))}", exporter.errors.read_text())
    assert vaedge.check(folder).passed
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


# The shards are small, so that the job has many shards.
_COMMANDS = """
import os
from killing import children
from vaedge.cli.main import main
from vaedge.files import shards
shards._SHARD_BYTES = 2**21
for words in children("vaedge.files"):
    if main(words):
        os._exit(1)
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    with serving(_COMMANDS, tmp_path_factory.mktemp("commands") / "stderr") as server:
        yield server


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    path = tmp_path_factory.mktemp("examples") / "x.npy"
    rows = np.random.default_rng(0).random((512 * 60, 1, 28, 28), np.float32)
    np.save(path, rows)
    return path


def read_means(folder):
    parts = []
    for path in sorted(folder.glob("[0-9]*.npz")):
        with np.load(path) as archive:
            parts.append(archive["mean"])
    return np.concatenate(parts)


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_bulk_encode_resumes_after_every_kill(commands, examples, tmp_path, kills):
    """A job that is killed and restarted writes the same result as a job without kills."""
    expected = vaedge.load(MODEL).encode(np.load(examples)).mean
    words = "encode", MODEL, examples, "--out"
    lines = commands.kill(*words, tmp_path / "complete")
    np.testing.assert_array_equal(read_means(tmp_path / "complete"), expected)
    folder, rng, finished, partial = tmp_path / "shards", random.Random(1), 0, 0
    for index in range(kills):
        commands.kill(*words, folder, at=rng.randrange(1, lines // 2), delay=rng.uniform(0, 0.1) if index % 2 else None)
        found = list(folder.glob("[0-9]*.npz"))
        partial += 0 < len(found) < 60
        for path in found:  # each file is complete
            with np.load(path) as archive:
                start = int(path.stem) * 512
                assert start < len(expected)
                assert all(np.isfinite(archive[name]).all() for name in ("mean", "log_var"))
        if len(found) == 60:
            np.testing.assert_array_equal(read_means(folder), expected)
            shutil.rmtree(folder)
            finished += 1
    assert partial > 0  # some kills came between two shards
    assert commands.run([*words, folder]) == [0]
    np.testing.assert_array_equal(read_means(folder), expected)
    print(f"{kills} kills, {finished} after the last shard")


def test_killed_command_leaves_the_old_file_or_the_complete_new_one(commands, tmp_path):
    complete, out = tmp_path / "complete.npy", tmp_path / "x.npy"
    words = "sample", MODEL, "-n", "20000", "--seed", "0", "--out"
    lines = commands.kill(*words, complete)
    contents = [b"old", complete.read_bytes()]
    outcomes = set()
    for moment in moments(12, lines):
        out.write_bytes(b"old")
        commands.kill(*words, out, **moment)
        assert out.read_bytes() in contents
        partial = list(tmp_path.glob(".x.npy.*.tmp"))
        outcomes.add((out.read_bytes() == b"old", len(partial)))
        for path in partial:
            path.unlink()
    assert {(True, 0), (True, 1), (False, 0)} <= outcomes  # kills before, during and after the writing


def command(*words):
    # Handle SIGINT: the test process may ignore it, and child processes inherit this setting.
    code = """
import signal
from vaedge.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
exit(main())
"""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_the_command_and_removes_its_file(tmp_path, sent, status):
    out = tmp_path / "x.npy"
    process = command(
        "sample", MODEL, "-n", "20000000", "--seed", "0", "--out", out
    )  # too many examples to write before the signal
    while not list(tmp_path.iterdir()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(sent)
    assert process.wait() == status
    assert list(tmp_path.iterdir()) == []
