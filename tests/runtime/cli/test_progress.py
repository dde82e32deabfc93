"""The progress of long operations."""

import io
import sys

import pytest

pytest.importorskip("tqdm")

from vaedge.cli import progress
from vaedge.cli.progress import progress_bar


@pytest.fixture
def lines(monkeypatch, capsys):
    """Return a function that returns the lines on stderr, which is no terminal. There is a line for every call."""
    monkeypatch.setattr(progress, "_LINE_SECONDS", 1e-9)
    return lambda: capsys.readouterr().err.splitlines()


def test_piped_output_has_one_line_of_text_for_each_state(lines):
    with progress_bar(1000, "training", "examples", initial=200) as advance:
        for _ in range(2):
            advance(300, lambda: "ELBO -1.5")
    first, second = found = lines()
    assert first.startswith("training: 50%, 500 of 1,000 examples, ")
    assert second.startswith("training: 80%, 800 of 1,000 examples, ")
    for line in found:
        assert line.endswith(", ELBO -1.5")
        assert " examples/s, " in line
        assert " left, " in line


def test_short_operations_show_nothing(capsys):
    with progress_bar(10, "reading", "images") as advance:
        advance(10, lambda: pytest.fail("nothing is shown"))
    assert capsys.readouterr().err == ""


def test_progress_can_be_turned_off(lines):
    with progress_bar(10, "reading", "images", shown=False) as advance:
        advance(10, lambda: pytest.fail("nothing is shown"))
    assert lines() == []


def test_error_inside_the_block_is_raised(lines):
    with pytest.raises(KeyError), progress_bar(10, "reading", "images"):
        raise KeyError


def test_progress_needs_no_tqdm(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with progress_bar(10, "reading", "images") as advance:
        advance(5)
        advance(5, lambda: "text")
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_terminal_shows_a_bar(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "_DELAY", 1e-9)
    with progress_bar(10, "reading", "images") as advance:
        advance(5)
    assert "reading:  50%" in stream.getvalue()
