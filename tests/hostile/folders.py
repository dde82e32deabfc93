"""Hostile folders: what can stand in the place of a file."""

import os
from pathlib import Path


def replaced(make_it, name="encoder.onnx"):
    """Put something else in the place of a file."""

    def change(folder):
        (folder / name).unlink()
        make_it(folder / name)

    return change


def extended(folder):
    with (folder / "encoder.onnx").open("ab") as file:
        file.truncate(2**33)  # sparse: it takes no room


FOLDERS = {
    "no encoder": replaced(lambda path: None),
    "a pipe": replaced(os.mkfifo),
    "a folder": replaced(Path.mkdir),
    "a link to a device": replaced(lambda path: path.symlink_to("/dev/zero")),
    "a link to a secret": replaced(lambda path: path.symlink_to("/etc/passwd")),
    "a hard link to a secret": replaced(lambda path: path.hardlink_to(path.parent / "secret")),
    "a link to itself": replaced(lambda path: path.symlink_to(path)),
    "a link to nothing": replaced(lambda path: path.symlink_to("nowhere")),
    "a link to memory": replaced(lambda path: path.symlink_to("/proc/self/mem")),
    "eight gigabytes": extended,
    "a manifest that is a pipe": replaced(os.mkfifo, "manifest.json"),
    "a manifest that is a device": replaced(lambda path: path.symlink_to("/dev/zero"), "manifest.json"),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
}
