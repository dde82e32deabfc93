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
    draw_throughput(SimpleNamespace(rows=rows), ".svg")
    assert lines == [([1, 8], [50.0, 90.0])]


def test_quality_of_one_bundle_is_drawn_against_each_time_and_the_size(monkeypatch):
    axes = pytest.importorskip("matplotlib.axes")
    labels = []
    monkeypatch.setattr(axes.Axes, "set_xlabel", lambda self, text: labels.append(text))
    candidate = SimpleNamespace(name="fp32", kind="vaedge", bundle="m", nats=80.0, bytes=1000)
    rows = [SimpleNamespace(operation="decode", candidate="fp32", batch_size=n, p50=9.0) for n in (1, 8)]
    bundle = SimpleNamespace(name="m", likelihood="bernoulli")
    draw_quality(SimpleNamespace(rows=rows, candidates=[candidate], bundles=[bundle]), ".svg")
    batches = [f"microseconds to decode a batch of {size}" for size in (1, 8)]
    assert labels == [*batches, "size in bytes"]
