"""Bundles are written completely or not at all, also with a full disk or an existing destination."""

from pathlib import Path

import pytest

from vaedge_export import ExportError, export_vae
from vaedge_export.folder import new_folder


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_existing_destination_is_not_changed(vae, shapes, tmp_path, kind):
    out = tmp_path / "bundle"
    if kind == "folder":
        out.mkdir()
    elif kind == "file":
        out.write_text("precious")
    else:
        out.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ExportError, match="exists already"):
        export_vae(vae.encoder, vae.decoder, out, **shapes)
    assert kind != "file" or out.read_text() == "precious"


def create(destination, action):
    """Write a file into a new folder, and call a function before the folder is renamed to its destination."""
    with new_folder(destination) as folder:
        (folder / "ours").write_text("new")
        action()


def test_destination_that_appears_during_the_export_is_not_changed(tmp_path):
    out = tmp_path / "bundle"
    with pytest.raises(ExportError, match="exists already"):
        create(out, out.mkdir)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert not list(out.iterdir())


def test_folder_that_cannot_be_written_is_an_export_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot write"), new_folder(tmp_path / "file" / "bundle"):
        pass


def test_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def write_text(path, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write_text)
    message = "No space left on device; nothing was left behind"
    with pytest.raises(ExportError, match=message), new_folder(tmp_path / "bundle") as folder:
        (folder / "README.md").write_text("card")
    assert not list(tmp_path.iterdir())


def test_other_exceptions_pass_through_and_leave_nothing_behind(tmp_path):
    with pytest.raises(KeyError):
        create(tmp_path / "bundle", {}.popitem)
    assert not list(tmp_path.iterdir())


def test_folder_and_missing_parents_are_created(tmp_path):
    create(tmp_path / "a" / "bundle", list)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["bundle"]
    assert (tmp_path / "a" / "bundle" / "ours").read_text() == "new"


OPEN_FILES = Path("/proc/self/fd")


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="/proc lists the open files only on Linux")
def test_no_file_stays_open(tmp_path):
    create(tmp_path / "first", list)
    before = set(OPEN_FILES.iterdir())
    create(tmp_path / "second", list)
    assert set(OPEN_FILES.iterdir()) <= before
