"""Describe measurements as tables and lines of text."""

from collections import Counter
from collections.abc import Iterator, Sequence

from vaedge.benchmark.compare import EQUAL, FASTER, SLOWER, UNDECIDED, Change, verdict
from vaedge.benchmark.intervals import MIN_VALUES
from vaedge.benchmark.report import MeasuredCandidate, Report, Row
from vaedge.benchmark.rounds import sufficient_seconds
from vaedge.benchmark.table import Table

NOT_AVAILABLE = "not available"
_MAX_DRIFT = 0.05
_STOPPED = {
    "precision": "{} reached the precision of {:.3g} %",
    "budget": "{} used the budget of {:.3g} seconds per row and did not reach the precision of {:.3g} %",
    "interrupted": "{} did not finish",
}
_CANDIDATE_COLUMNS = ("", "device", "threads", "spinning", "cold start", "peak memory", "bytes", "difference", "nats")
_ROW_COLUMNS = (
    "",
    "operation",
    "batch",
    "p50",
    "p90",
    "p99",
    "examples/s",
    "CPUs",
    "ratio",
    "interval",
    "verdict",
    "blocks",
)
_CHANGE_COLUMNS = ("", "operation", "batch", "old", "new", "change", "99 % interval", "verdict")


def head(report: Report) -> Iterator[str]:
    """Yield the lines about the machine, the software and the bundles."""
    hardware = report.hardware
    quota = "no container quota" if hardware.container_quota is None else f"quota {hardware.container_quota:.3g}"
    memory = "" if hardware.memory_bytes is None else f", {hardware.memory_bytes / 2**30:.0f} GiB of memory"
    yield f"{hardware.cpu}, {hardware.usable_cpus} of {hardware.cores} CPUs, {quota}{memory}"
    yield from hardware.gpus
    yield ", ".join(f"{name} {version}" for name, version in report.software.items())
    for candidate in report.candidates:
        if candidate.software:
            yield f"{candidate.name}: " + ", ".join(f"{name} {version}" for name, version in candidate.software.items())
    for bundle in report.bundles:
        yield f"{bundle.name}: SHA-256 {bundle.sha256}"
    yield f"8-bit kernels: {report.int8_kernels}"


def candidates(report: Report) -> Table:
    """Return the table of the candidates: settings, cold start, size and accuracy."""
    return Table(_CANDIDATE_COLUMNS, [_candidate(candidate) for candidate in report.candidates])


def rows(report: Report) -> Table:
    """Return the table of the times, in microseconds."""
    return Table(_ROW_COLUMNS, [_row(row) for row in report.rows])


def changes_head(old: str, new: str) -> str:
    """Return the line above the table of a comparison. The line names the files of the reports.

    Args:
        old: Name of the file of the old report.
        new: Name of the file of the new report.
    """
    return (
        f"The old report is {old}, and the new report is {new}. Times are medians of the blocks, in microseconds. The "
        "change is the ratio of these medians, new / old, minus 1, with its 99 % interval."
    )


def changes(found: Sequence[Change]) -> Table:
    """Return the table of a comparison."""
    return Table(_CHANGE_COLUMNS, [_change(change) for change in found])


def summary(found: Sequence[Change]) -> str:
    """Return the line below the table of a comparison. The line counts the verdicts."""
    counts = Counter(change.verdict for change in found)
    return (
        f"{_count_rows(len(found))}: {counts[SLOWER]} slower, {counts[FASTER]} faster, {counts[EQUAL]} cannot be "
        f"distinguished, {counts[UNDECIDED]} with too few blocks."
    )


def remarks(report: Report) -> Iterator[str]:
    """Yield lines that say how to read the times, why the rounds ended, and whether the machine was busy."""
    yield (
        "Times are in microseconds. The ratio is the time divided by the time of "
        f"{report.candidates[0].name}, with its 99 % interval."
    )
    for reason, text in _STOPPED.items():
        if count := sum(row.stopped == reason for row in report.rows):
            numbers = [report.seconds] if reason == "budget" else []
            yield text.format(_count_rows(count), *numbers, 100 * report.precision) + "."
    first = [row for row in report.rows if row.candidate == report.candidates[0].name]
    fewest = min((len(row.rounds) for row in first), default=MIN_VALUES)
    if fewest < MIN_VALUES:
        advice = "" if report.partial else f": measure with --seconds {sufficient_seconds(report):.0f} or more"
        yield (
            f"Rows with fewer than {MIN_VALUES} blocks have no interval, and their ratios are uncertain (the smallest "
            f"number of blocks here is {fewest}){advice}."
        )
    worst = max(first, key=lambda row: abs(row.drift or 0), default=None)
    if worst is not None and abs(worst.drift or 0) > _MAX_DRIFT:
        yield (
            f"The time of {worst.candidate} drifted by up to {100 * (worst.drift or 0):+.0f} % between the first and "
            f"the last rounds ({worst.operation}, batch size {worst.batch_size}): the machine was busy. Measure again."
        )
    if report.partial:
        yield "The measurement was interrupted: these results are partial."


def markdown(report: Report) -> str:
    """Return the whole report as Markdown."""
    lines = [f"- {line}" for line in head(report)]
    parts = (lines, candidates(report).markdown(), rows(report).markdown(), remarks(report))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _count_rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _candidate(candidate: MeasuredCandidate) -> Sequence[str]:
    nats = NOT_AVAILABLE
    if candidate.nats is not None and candidate.nats_lost is not None:
        nats = f"{candidate.nats:.2f} ({candidate.nats_lost:+.2f})"
    return (
        candidate.name,
        candidate.device,
        str(candidate.threads),
        candidate.spinning,
        f"{1000 * candidate.cold_start_seconds:.0f} ms",
        NOT_AVAILABLE if candidate.peak_bytes is None else f"{candidate.peak_bytes / 2**20:.0f} MiB",
        f"{candidate.bytes:,}",
        NOT_AVAILABLE if candidate.difference is None else f"{candidate.difference:.3f}",
        nats,
    )


def _row(row: Row) -> Sequence[str]:
    return (
        row.candidate,
        row.operation,
        str(row.batch_size),
        *(_microseconds(value) for value in (row.p50, row.p90, row.p99)),
        f"{row.examples_per_second:,.0f}",
        f"{row.cpus:.2f}",
        f"{row.ratio:.3f}",
        *_compared(row),
        str(len(row.rounds)),
    )


def _compared(row: Row) -> tuple[str, str]:
    """Return the interval of the ratio and the verdict on it."""
    if row.ratio_interval is None:
        return "", ""
    return "{:.3f} - {:.3f}".format(*row.ratio_interval), verdict(row.ratio_interval)


def _change(change: Change) -> Sequence[str]:
    return (
        change.candidate,
        change.operation,
        str(change.batch_size),
        _microseconds(change.old),
        _microseconds(change.new),
        f"{100 * change.relative:+.1f} %",
        NOT_AVAILABLE
        if change.interval is None
        else " to ".join(f"{100 * (end - 1):+.1f} %" for end in change.interval),
        change.verdict,
    )


def _microseconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
