"""Draw measurements with matplotlib."""

import io
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vaedge.benchmark.report import MeasuredCandidate, Report

Point = tuple[float, float]


def draw_throughput(report: Report, suffix: str) -> bytes:
    """Plot examples per second against the batch size: one panel per operation, and one line per candidate.

    Args:
        report: The report.
        suffix: Format of the image: ".png" or ".svg".
    """
    from matplotlib.figure import Figure

    operations = list(dict.fromkeys(row.operation for row in report.rows))
    figure = Figure(figsize=(4 * len(operations), 4), layout="constrained")
    for axes, operation in zip(figure.subplots(1, len(operations), squeeze=False)[0], operations, strict=True):
        for name in dict.fromkeys(row.candidate for row in report.rows):
            line = [row for row in report.rows if (row.operation, row.candidate) == (operation, name)]
            axes.loglog(
                [row.batch_size for row in line], [row.examples_per_second for row in line], marker="o", label=name
            )
        axes.set(title=operation, xlabel="batch size", ylabel="examples per second")
        _number_plainly(axes.xaxis)
        _number_plainly(axes.yaxis)
    axes.legend()
    figure.suptitle(f"Throughput of {report.bundles[0].name}, computed from the median time of a call")
    return _image(figure, suffix)


def draw_quality(report: Report, suffix: str) -> bytes:
    """Draw the negative ELBO of each variant against its time and its size, with the Pareto front.

    The times are those of `reconstruct`, or of the report's first operation if `reconstruct` was not measured. They are
    shown for the smallest and for the largest batch size.
    Each likelihood has a separate row of panels, because nats of different likelihoods cannot be compared. Baselines
    are left out, and so are variants whose manifest states no ELBO.

    Args:
        report: The report.
        suffix: Format of the image: ".png" or ".svg".
    """
    from matplotlib.figure import Figure

    operations = {row.operation for row in report.rows}
    operation = "reconstruct" if "reconstruct" in operations else report.rows[0].operation
    sizes = [row.batch_size for row in report.rows]
    times = {(row.candidate, row.batch_size): row.p50 for row in report.rows if row.operation == operation}
    panels: dict[str, Callable[[MeasuredCandidate], float]] = {
        f"microseconds to {operation} a batch of {size}": lambda entry, size=size: times[entry.name, size]  # type: ignore[misc]
        for size in dict.fromkeys((min(sizes), max(sizes)))
    }
    panels["size in MB"] = lambda entry: entry.bytes / 1e6
    shown = [entry for entry in report.candidates if entry.kind == "vaedge" and entry.nats is not None]
    likelihood_of = {bundle.name: bundle.likelihood for bundle in report.bundles}
    likelihoods = list(dict.fromkeys(likelihood_of[entry.bundle] for entry in shown))
    figure = Figure(figsize=(4 * len(panels) + 2, 3.2 * len(likelihoods)), layout="constrained")
    grid = figure.subplots(len(likelihoods), len(panels), squeeze=False)
    for likelihood, row in zip(likelihoods, grid, strict=True):
        entries = [entry for entry in shown if likelihood_of[entry.bundle] == likelihood]
        for axes, (label, value) in zip(row, panels.items(), strict=True):
            _draw_front(axes, {entry.name: (value(entry), entry.nats or 0.0) for entry in entries})
            axes.set_xlabel(label)
        row[0].set_ylabel(f"negative ELBO ({likelihood})\nin nats per example")
        row[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(
        "Smaller is better on each axis. In each plot, the line connects the candidates that no other candidate beats "
        "on both axes."
    )
    return _image(figure, suffix)


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """Return the sorted Pareto front: the points for which no other point is smaller or equal in both coordinates."""
    front: list[Point] = []
    for point in sorted(set(points)):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def _draw_front(axes: Any, points: Mapping[str, Point]) -> None:
    """Draw named points over a logarithmic axis, and the Pareto front as a line with the names of its points."""
    front = pareto_front(points.values())
    axes.step(
        [x for x, _ in front], [y for _, y in front], where="post", color="gray", linewidth=1, label="Pareto front"
    )
    for name, point in points.items():
        axes.plot(*point, "o", label=name)
        if point in front:
            axes.annotate(name, point, (4, 3), textcoords="offset points", fontsize="small")
    axes.set_xscale("log")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.margins(0.1, 0.2)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * math.sqrt(high / low))  # space for the names, which are to the right of their points
    _number_plainly(axes.xaxis)


def _number_plainly(axis: Any) -> None:
    """Label a logarithmic axis with numbers such as 5 and 20,000, and not with powers of 10."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    low, high = axis.get_view_interval()
    ratio = high / low
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 20 else (1, 3) if ratio < 100 else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:,.12g}"))


def _image(figure: Any, suffix: str) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=suffix[1:], metadata={"Date": None} if suffix == ".svg" else None)
    return content.getvalue()
