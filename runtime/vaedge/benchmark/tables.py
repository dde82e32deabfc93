"""Format measurements as lines of text."""

from collections.abc import Iterator, Sequence

from vaedge.benchmark.compare import Change
from vaedge.benchmark.report import MeasuredCandidate, Report, Row

NOT_AVAILABLE = "not available"
_MAX_DRIFT = 0.05
_STOPPED = {
    "precision": "{} rows reached the precision of {:.3g} %",
    "budget": "{} rows spent their time of {:.3g} seconds before they reached the precision of {:.3g} %",
    "interrupted": "{} rows were interrupted",
}


def head(report: Report) -> Iterator[str]:
    """Yield the lines about the machine and the candidates."""
    versions = ", ".join(f"{name} {version}" for name, version in report.software.items())
    hardware = report.hardware
    quota = "no container quota" if hardware.container_quota is None else f"quota {hardware.container_quota:.3g}"
    yield f"{report.bundle.name} on {hardware.cpu}, {hardware.usable_cpus} of {hardware.cores} CPUs, {quota}"
    yield from hardware.gpus
    yield versions
    yield f"8-bit kernels: {report.int8_kernels}; SHA-256 of the bundle: {report.bundle.sha256}"
    yield (
        f"{'':<16}{'device':<8}{'threads':>8}{'spinning':>10}{'cold start':>12}{'peak memory':>15}{'difference':>15}"
        f"{'nats lost':>15}"
    )
    yield from map(_candidate, report.candidates)


def rows(report: Report) -> Iterator[str]:
    """Yield the table of the times, and the lines about the end of the measurement."""
    yield f"times in microseconds; ratio: time divided by the time of {report.candidates[0].name}, with 99 % interval"
    yield (
        f"{'':<16}{'operation':<12}{'batch':>6}{'p50':>9}{'p90':>9}{'p99':>9}{'examples/s':>12}{'ratio':>7}"
        f"{'interval':>16}{'rounds':>7}"
    )
    yield from map(_row, report.rows)
    yield from _remarks(report)


def changes(found: Sequence[Change], reasons: Sequence[str]) -> Iterator[str]:
    """Yield the table of a comparison. Reasons why the reports are not comparable mark the table."""
    for reason in reasons:
        yield f"warning: the reports are not comparable: {reason}"
    yield f"{'':<16}{'operation':<12}{'batch':>6}{'old':>10}{'new':>10}{'change':>9}{'99 % interval':>18}  verdict"
    for change in found:
        interval = NOT_AVAILABLE
        if change.interval is not None:
            interval = " to ".join(f"{100 * (end - 1):+.1f} %" for end in change.interval)
        yield (
            f"{change.candidate:<16}{change.operation:<12}{change.batch_size:>6}{change.old:>10.1f}{change.new:>10.1f}"
            f"{100 * change.relative:>+7.1f} %{interval:>18}  {change.verdict}"
        )


def _candidate(candidate: MeasuredCandidate) -> str:
    peak = NOT_AVAILABLE if candidate.peak_bytes is None else f"{candidate.peak_bytes / 2**20:.0f} MiB"
    difference = NOT_AVAILABLE if candidate.difference is None else f"{candidate.difference:.3f}"
    lost = NOT_AVAILABLE if candidate.nats_lost is None else f"{candidate.nats_lost:.3f}"
    return (
        f"{candidate.name:<16}{candidate.device:<8}{candidate.threads:>8}{candidate.spinning:>10}"
        f"{1000 * candidate.cold_start_seconds:>9.0f} ms{peak:>15}{difference:>15}{lost:>15}"
    )


def _row(row: Row) -> str:
    percentiles = "".join(f"{value:>9.0f}" for value in (row.p50, row.p90, row.p99))
    interval = "" if row.ratio_interval is None else "{:.3f} - {:.3f}".format(*row.ratio_interval)
    return (
        f"{row.candidate:<16}{row.operation:<12}{row.batch_size:>6}{percentiles}{row.examples_per_second:>12,.0f}"
        f"{row.ratio:>7.2f}{interval:>16}{len(row.rounds):>7}"
    )


def _remarks(report: Report) -> Iterator[str]:
    """Yield why the rounds ended, and whether the first candidate drifted."""
    for reason, text in _STOPPED.items():
        if count := sum(row.stopped == reason for row in report.rows):
            numbers = [report.seconds] if reason == "budget" else []
            yield text.format(count, *numbers, 100 * report.precision)
    first = [row for row in report.rows if row.candidate == report.candidates[0].name and row.drift is not None]
    worst = max(first, key=lambda row: abs(row.drift or 0), default=None)
    if worst is not None and abs(worst.drift or 0) > _MAX_DRIFT:
        yield (
            f"The time of {worst.candidate} drifted by up to {100 * (worst.drift or 0):+.0f} % between the first and "
            f"the last rounds ({worst.operation}, batch size {worst.batch_size}): the machine was busy. Measure again."
        )
    if report.partial:
        yield "The measurement was interrupted: these results are partial."
