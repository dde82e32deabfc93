"""Hostile bundle folders: a pipe, a link or a folder replaces a file, or a file is missing or too large."""

import os
from pathlib import Path


def replaced(create, name="encoder.onnx"):
    """Return a function that takes a folder, removes the file `name` in it, and calls `create` with the file's path."""

    def change(folder):
        (folder / name).unlink()
        create(folder / name)

    return change


def extended(folder):
    with (folder / "encoder.onnx").open("ab") as file:
        file.truncate(2**33)  # a sparse file takes no space on the disk


FOLDERS = {
    "no encoder": replaced(lambda path: None),
    "pipe": replaced(os.mkfifo),
    "folder": replaced(Path.mkdir),
    "link to a device": replaced(lambda path: path.symlink_to("/dev/zero")),
    "link to a secret": replaced(lambda path: path.symlink_to("/etc/passwd")),
    "hard link to a secret": replaced(lambda path: path.hardlink_to(path.parent / "secret")),
    "link to itself": replaced(lambda path: path.symlink_to(path)),
    "broken link": replaced(lambda path: path.symlink_to("nowhere")),
    "link to memory": replaced(lambda path: path.symlink_to("/proc/self/mem")),
    "eight gigabytes": extended,
    "manifest that is a pipe": replaced(os.mkfifo, "manifest.json"),
    "manifest that is a device": replaced(lambda path: path.symlink_to("/dev/zero"), "manifest.json"),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
}
