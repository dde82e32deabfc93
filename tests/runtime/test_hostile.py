"""Hostile bundles are refused before ONNX Runtime gets a graph. The refusal takes little time and memory."""

import time

import memory
import pytest
from hostile.corpus import CORPUS, make_bundle

import vaedge

MEGABYTES = 200
SECONDS = 1  # limit of CPU time of the calling thread, which does not depend on other processes


@pytest.mark.parametrize("name", CORPUS)
def test_hostile_bundle_is_refused(bundle, tmp_path, monkeypatch, name):
    folder = make_bundle(bundle, tmp_path / "hostile", name)
    monkeypatch.setattr(
        vaedge.engine.device, "_session", lambda *_: pytest.fail("ONNX Runtime received a hostile bundle")
    )
    began = time.thread_time()
    with pytest.raises(vaedge.BundleError) as caught:
        vaedge.load(folder)
    assert time.thread_time() - began < SECONDS
    assert str(folder) in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


_ALL = """
import json, sys, vaedge
from memory import peak
vaedge.load(sys.argv[1]).sample(1)
idle, found = peak(), {}
for folder in sys.argv[2:]:
    try:
        vaedge.load(folder)
    except vaedge.BundleError as error:
        found[folder] = type(error).__name__
print(json.dumps([len(found), (peak() - idle) / 2**20]))
"""


@pytest.mark.skipif(not memory.AVAILABLE, reason="memory is read from /proc")
@pytest.mark.heavy
def test_refusals_need_little_memory(bundle, tmp_path):
    folders = [make_bundle(bundle, tmp_path / str(index), name) for index, name in enumerate(CORPUS)]
    refused, more = memory.measure(_ALL, bundle, *folders)
    assert refused == len(CORPUS) >= 100
    assert more < MEGABYTES


def test_links_to_files_of_a_bundle_are_followed(bundle, tmp_path):
    """The files of a bundle may be symbolic links, as in the cache of Hugging Face and in some package managers."""
    (tmp_path / "snapshot").mkdir()
    for file in bundle.iterdir():
        (tmp_path / "snapshot" / file.name).symlink_to(file)
    assert vaedge.check(tmp_path / "snapshot").passed
    (tmp_path / "link").symlink_to(tmp_path / "snapshot")
    assert vaedge.load(tmp_path / "link").manifest.name == "article"


def test_files_that_the_manifest_does_not_name_are_ignored(copied):
    (copied / "prior.npz").write_bytes(b"nothing")
    (copied / "custom_ops.so").write_bytes(b"nothing")
    assert vaedge.check(copied).passed
