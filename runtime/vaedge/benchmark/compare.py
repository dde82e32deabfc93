"""Compare two reports: which rows became slower or faster, and which cannot be distinguished."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vaedge.benchmark.intervals import Interval, quotient_interval
from vaedge.benchmark.report import Report

SLOWER, FASTER, EQUAL, UNDECIDED = "slower", "faster", "cannot be distinguished", "too few blocks"
_MIN_DIFFERENCE = 0.01
_MACHINE = ("cpu", "cores", "usable_cpus", "container_quota", "gpus")


@dataclass(frozen=True)
class Change:
    """The change of one row from an old to a new report.

    Attributes:
        candidate: Name of the candidate.
        operation: The operation.
        batch_size: Number of examples per call.
        old: Median of the blocks of the old report, in microseconds.
        new: Median of the blocks of the new report, in microseconds.
        interval: 99 % interval of new / old. None if one of the reports has fewer than 8 blocks.
    """

    candidate: str
    operation: str
    batch_size: int
    old: float
    new: float
    interval: Interval | None

    @property
    def relative(self) -> float:
        """The relative change: 0.05 means that the new report is 5 % slower."""
        return self.new / self.old - 1

    @property
    def verdict(self) -> str:
        """The verdict on the interval."""
        return verdict(self.interval)


def verdict(interval: Interval | None) -> str:
    """Return SLOWER or FASTER if the whole interval of new / old is above 1.01 or below 0.99, otherwise EQUAL.

    Without an interval, return UNDECIDED.
    """
    if interval is None:
        return UNDECIDED
    low, high = interval
    return SLOWER if low > 1 + _MIN_DIFFERENCE else FASTER if high < 1 - _MIN_DIFFERENCE else EQUAL


def compare(old: Report, new: Report) -> list[Change]:
    """Return the changes of the rows that both reports contain."""
    before = {row.key: row.block_medians for row in old.rows}
    return [
        Change(
            *row.key,
            float(np.median(before[row.key])),
            float(np.median(row.block_medians)),
            quotient_interval(row.block_medians, before[row.key]),
        )
        for row in new.rows
        if row.key in before
    ]


def conflicts(old: Report, new: Report) -> Iterator[str]:
    """Yield the reasons why reports cannot be compared: different machines, settings or rows, or partial reports."""
    for name in _MACHINE:
        values = (getattr(old.hardware, name), getattr(new.hardware, name))
        if values[0] != values[1]:
            yield f"hardware.{name} is {values[0]} and {values[1]}"
    if [entry.settings for entry in old.candidates] != [entry.settings for entry in new.candidates]:
        yield "the candidates or their settings differ"
    if old.int8_kernels != new.int8_kernels:
        yield f"int8_kernels is {old.int8_kernels} and {new.int8_kernels}"
    if {row.key for row in old.rows} != {row.key for row in new.rows}:
        yield "the candidates, the operations or the batch sizes of the rows differ"
    if old.partial or new.partial:
        yield "a measurement was interrupted, so its report is partial"
