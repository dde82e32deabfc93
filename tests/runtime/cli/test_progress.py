"""The progress of long operations on stderr: a bar in a terminal, and lines of text in a pipe."""

import sys
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("tqdm")

import vaedge.cli.progress
from vaedge.cli.progress import progress_bar


@pytest.fixture
def clock(monkeypatch):
    """A clock that changes only when a test sets its field `now`."""
    clock = SimpleNamespace(now=time.time())
    monkeypatch.setattr("tqdm.std.time", lambda: clock.now)
    monkeypatch.setattr(vaedge.cli.progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def work(clock, parts, seconds, **options):
    """Report progress on 2,000 examples in `parts` equal steps. All steps together take `seconds` of the fake clock.

    Return how often the progress bar asked for the text about the metrics.
    """
    described = []
    with progress_bar(2000, "training", "examples", **options) as advance:
        for part in range(parts):
            clock.now += seconds / parts
            advance(2000 // parts, lambda part=part: described.append(part) or f"ELBO -{part}.5 nats")
    return len(described)


def test_piped_output_has_a_line_every_ten_seconds(clock, capsys):
    assert work(clock, 100, 50) == 5
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"training: {percent}%" for percent in (20, 40, 60, 80, 100)]
    assert lines[1] == "training: 40%, 800 of 2,000 examples, 40.00 examples/s, 00:30 left, ELBO -39.5 nats"


def test_short_operations_are_silent_if_piped(clock, capsys):
    assert work(clock, 20, 9) == 0
    assert capsys.readouterr().err == ""


def test_terminal_shows_a_bar_with_the_metrics(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    work(clock, 20, 9)
    printed = capsys.readouterr().err
    assert "\r" in printed
    assert "ELBO -19.5 nats" in printed


@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_is_shown_on_demand(clock, capsys, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert work(clock, 100, 50, shown=False) == 0
    assert capsys.readouterr().err == ""


def test_resumed_work_counts_what_was_done_before(clock, capsys):
    with progress_bar(2000, "training", "examples", initial=1000) as advance:
        clock.now += 10
        advance(500)
    assert capsys.readouterr().err.startswith("training: 75%, 1,500 of 2,000 examples, 50.00 examples/s, 00:10 left")


@pytest.mark.parametrize("terminal", [False, True])
def test_times_have_no_rate(clock, capsys, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with progress_bar(90, "timing", "seconds", rate=False) as advance:
        clock.now += 18
        advance(18.2)
    printed = capsys.readouterr().err
    assert "timing:" in printed
    assert "20%" in printed
    assert printed.strip().endswith("18 of 90 seconds")


def test_error_inside_the_block_is_raised():
    with pytest.raises(KeyError), progress_bar(10, "reading", "images"):
        raise KeyError


def test_work_is_done_without_tqdm(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with progress_bar(10, "training", "examples") as advance:
        advance(10, lambda: "text")
    assert capsys.readouterr().err == ""
