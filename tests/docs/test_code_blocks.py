"""The code blocks of README.md and docs/ run without changes.

The blocks of a page run one after the other. They share the current folder and a Python namespace. The folder holds
the shipped bundles in `models/`, and a few small input files.
"""

import argparse
import importlib
import re
import shlex

import numpy as np
import pytest
import torch
from PIL import Image

from docs.blocks import LANGUAGES, PAGES, ROOT, read_blocks
from vaedge.cli.main import COMMANDS, main

# First words of commands that are not run, because they set up an environment or start a server.
NOT_VAEDGE = (
    *("pip ", "npm ", "old/bin/pip ", "python -m venv ", "git ", "cd ", "tritonserver ", "mkdocs ", "pre-commit "),
    "curl ",
)
MAKE_TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Create a folder with all files that the pages use but do not create, and make it the current folder."""
    rng = np.random.default_rng(0)
    digits = (rng.random((40, 1, 28, 28)) < 0.2).astype(np.float32)
    (tmp_path / "models").mkdir()
    for name in ("mnist", "article"):
        (tmp_path / "models" / name).symlink_to(ROOT / "models" / name)
    (tmp_path / "runs").mkdir()
    (tmp_path / "images").mkdir()
    for index, digit in enumerate(digits):
        Image.fromarray((digit[0] * 255).astype(np.uint8)).save(tmp_path / "images" / f"{index:02}.png")
    for name in "ab":
        Image.fromarray((digits[ord(name) - 97, 0] * 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    np.save(tmp_path / "digits.npy", digits)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two threads are slower while other tests run
    yield
    torch.set_num_threads(threads)


def page_name(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if page.exists()], ids=page_name)
def test_code_blocks_of_a_page_run(page, workspace):
    namespace = {"__name__": "__page__"}
    for block in read_blocks(page):
        place = f"{page_name(page)}:{block.line}"
        assert block.language in LANGUAGES, f"{place}: a block needs one of the languages {sorted(LANGUAGES)}"
        if block.language == "python":
            code = compile("\n" * (block.line - 1) + block.code, str(page), "exec")
            if block.reason is None:
                exec(code, namespace)
        elif block.language == "sh":
            for command in block.commands():
                run_command(command, block, place)


def test_readme_reports_about_the_stated_share_of_false_alarms(workspace):
    namespace = {}
    exec(next(block.code for block in read_blocks(ROOT / "README.md") if block.language == "python"), namespace)
    assert 0 < namespace["found"].is_anomaly.mean() < 0.1


def run_command(command, block, place):
    words = shlex.split(command)
    if command.startswith(NOT_VAEDGE):
        return
    if words[0] == "make":
        assert set(words[1:]) <= MAKE_TARGETS, f"{place}: the Makefile has no such target: {command}"
        return
    if words[0] == "torchrun":
        assert block.reason is not None, place
        words = ["vaedge", "train", *words[words.index("vaedge_train") + 1 :]]
    assert words[0] == "vaedge", f"{place}: no test knows the command {command!r}"
    if block.reason is None:
        try:
            status = main([*words[1:], *block.quick.get(words[1], [])])
        except SystemExit as stop:  # wrong arguments, or an option such as --list-recipes
            status = stop.code
        assert not status, f"{place}: {command}"
    else:
        parse(words[1:], place)


def parse(words, place):
    """Fail unless `words` are a command of vaedge and arguments that it accepts. Messages start with `place`."""
    assert words[0] in COMMANDS, f"{place}: vaedge has no command {words[0]!r}"
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(COMMANDS[words[0]][0]).add_arguments(parser)
    parser.parse_args(words[1:])


def test_blocks_that_are_not_run_state_a_reason():
    for page in PAGES:
        for block in read_blocks(page) if page.exists() else ():
            assert block.reason is None or len(block.reason.split()) >= 4, f"{page_name(page)}:{block.line}"
