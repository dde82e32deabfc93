"""Plots show the measured values, and the Pareto front holds the points that no other point beats."""

from types import SimpleNamespace

import numpy as np
import pytest

from vaedge.benchmark.plot import draw_quality, draw_throughput, pareto_front


@pytest.mark.parametrize("seed", range(5))
def test_pareto_front_holds_the_points_that_no_other_point_beats(seed):
    points = list(map(tuple, np.random.default_rng(seed).integers(0, 8, (12, 2)).tolist()))
    expected = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
    assert pareto_front(points) == sorted(expected)


def test_throughput_is_drawn_over_the_batch_size(monkeypatch):
    axes = pytest.importorskip("matplotlib.axes")
    lines = []
    loglog = axes.Axes.loglog
    monkeypatch.setattr(axes.Axes, "loglog", lambda self, *args, **kw: lines.append(args) or loglog(self, *args, **kw))
    rows = [
        SimpleNamespace(operation="decode", candidate="a", batch_size=n, examples_per_second=s)
        for n, s in ((1, 50.0), (8, 90.0))
    ]
    image = draw_throughput(SimpleNamespace(rows=rows, bundles=[SimpleNamespace(name="digits")]), ".svg").decode()
    assert lines == [([1, 8], [50.0, 90.0])]
    assert "<!-- Throughput of digits, computed from the median time of a call -->" in image


def test_quality_of_one_bundle_is_drawn_against_each_time_and_the_size(monkeypatch):
    axes = pytest.importorskip("matplotlib.axes")
    labels = []
    monkeypatch.setattr(axes.Axes, "set_xlabel", lambda self, text: labels.append(text))
    candidate = SimpleNamespace(name="fp32", kind="vaedge", bundle="m", nats=80.0, bytes=1000)
    rows = [SimpleNamespace(operation="decode", candidate="fp32", batch_size=n, p50=9.0) for n in (1, 8)]
    bundle = SimpleNamespace(name="m", likelihood="bernoulli")
    draw_quality(SimpleNamespace(rows=rows, candidates=[candidate], bundles=[bundle]), ".svg")
    batches = [f"microseconds to decode a batch of {size}" for size in (1, 8)]
    assert labels == [*batches, "size in MB"]


def test_front_is_labeled_and_axes_have_plain_numbers(monkeypatch):
    axes = pytest.importorskip("matplotlib.axes")
    names = []
    annotate = axes.Axes.annotate
    monkeypatch.setattr(
        axes.Axes, "annotate", lambda self, *args, **kw: names.append(args[:2]) or annotate(self, *args, **kw)
    )
    values = {"fast": (90.0, 3e5, 2e6), "good": (80.0, 6e6, 9e6), "worse": (91.0, 4e5, 3e6)}
    candidates = [
        SimpleNamespace(name=name, kind="vaedge", bundle="m", nats=nats, bytes=size)
        for name, (nats, _, size) in values.items()
    ]
    rows = [
        SimpleNamespace(operation="decode", candidate=name, batch_size=1, p50=time)
        for name, (_, time, _) in values.items()
    ]
    bundle = SimpleNamespace(name="m", likelihood="bernoulli")
    report = SimpleNamespace(rows=rows, candidates=candidates, bundles=[bundle])
    image = draw_quality(report, ".svg").decode()
    assert names == [("fast", (3e5, 90.0)), ("good", (6e6, 80.0)), ("fast", (2.0, 90.0)), ("good", (9.0, 80.0))]
    for text in ("Pareto front", "1,000,000", "Smaller is better on each axis."):
        assert f"<!-- {text}" in image
