"""Time operations in rounds until the results are precise or the time is spent.

In a round, all candidates are timed in turn, for one operation and one batch size. The operations and batch sizes
take turns, too. Therefore a change of the machine's load affects all rows alike.

The place of a process in memory changes its speed by about 1 %, for as long as the process lives. Therefore the rounds
are divided into blocks, and each block runs in new processes. Each block gives one independent
value for the statistics.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vaedge.benchmark.intervals import (
    MIN_VALUES,
    drift,
    median_interval,
    ratio_estimate,
    ratio_interval,
    relative_width,
)
from vaedge.benchmark.report import Report, Row
from vaedge.benchmark.timing import Call, Timed, check_agreement
from vaedge.bundle.reference import Inputs

PRECISION, BUDGET, INTERRUPTED = "precision", "budget", "interrupted"
_MIN_PRECISE_BLOCKS = 10  # the interval of fewer blocks can be narrow by chance
_ROUND_SECONDS = 0.02
_MIN_ROUNDS_OF_BUDGET = 20
_MAX_BLOCKS = 20
_MAX_START_SHARE = 0.75  # part of the time of a block that the starts of its processes may take


@dataclass
class Group:
    """The calls of all candidates for one operation and one batch size, and the rounds that timed these calls.

    Attributes:
        operation: "encode", "decode", "sample" or "reconstruct".
        batch_size: Number of examples per call.
        calls: Dict from the name of each candidate to its call.
        blocks: One list per block, with one dict per complete round. The keys of the dict are the names of the
            candidates, and the values are their timed calls.
        stopped: Why the rounds ended: PRECISION, BUDGET or INTERRUPTED.
    """

    operation: str
    batch_size: int
    calls: Mapping[str, Call]
    blocks: list[list[Mapping[str, Timed]]] = field(default_factory=list)
    stopped: str = INTERRUPTED

    def add_block(self) -> None:
        """Begin a new block, without rounds."""
        self.blocks.append([])

    def add_round(self, seconds: float) -> None:
        """Time each candidate for some seconds. The order alternates between rounds, so that trends cancel."""
        names = list(self.calls)
        order = reversed(names) if len(self.blocks[-1]) % 2 else names
        self.blocks[-1].append({name: self.calls[name].timed(seconds) for name in order})

    def rounds(self, name: str) -> list[list[float]]:
        """Return the median time of each round of a candidate, in microseconds.

        The result has one list for each block. Blocks without a complete round are left out.
        """
        return [[float(np.median(part[name].durations)) / 1000 for part in block] for block in self.blocks if block]

    def medians(self, name: str) -> list[float]:
        """Return the median time of each block of a candidate, in microseconds."""
        return [float(np.median(block)) for block in self.rounds(name)]

    def ratios(self, name: str) -> list[float]:
        """Return one ratio per block.

        Each round gives a quotient: the candidate's time divided by the first candidate's time. The ratio is the median
        of the quotients.
        """
        first = self.rounds(next(iter(self.calls)))
        return [float(np.median(np.divide(block, base))) for block, base in zip(self.rounds(name), first, strict=True)]

    def is_precise(self, precision: float) -> bool:
        """Return whether there are enough blocks and no interval has a relative width above `precision`.

        A single candidate has no ratio. In this case, the interval of its median time is used.
        """
        first, *others = self.calls
        intervals = [ratio_interval(self.ratios(name)) for name in others] or [median_interval(self.medians(first))]
        return len(self.blocks) >= _MIN_PRECISE_BLOCKS and max(map(relative_width, intervals)) <= precision

    def rows(self) -> list[Row]:
        """Return a summary of each candidate. The list is empty if no round is complete."""
        return [self._row(name) for name in self.calls] if any(self.blocks) else []

    def _row(self, name: str) -> Row:
        parts = [part[name] for block in self.blocks for part in block]
        durations = np.concatenate([part.durations for part in parts])
        p50, p90, p99 = (float(value) for value in np.percentile(durations, (50, 90, 99)) / 1000)
        ratios = self.ratios(name)
        return Row(
            candidate=name,
            operation=self.operation,
            batch_size=self.batch_size,
            calls=len(durations),
            p50=p50,
            p90=p90,
            p99=p99,
            examples_per_second=self.batch_size * 1e6 / p50,
            cpus=float(np.median([part.cpus for part in parts])),
            ratio=ratio_estimate(ratios),
            ratio_interval=None if name == next(iter(self.calls)) else ratio_interval(ratios),
            drift=drift(self.medians(name)),
            stopped=self.stopped,
            rounds=tuple(map(tuple, self.rounds(name))),
        )


@dataclass(frozen=True)
class BundleCandidates:
    """Candidates that run the same bundle.

    Attributes:
        candidates: Dict from the name of each candidate to a function. The function takes the name of an operation and
            the inputs, and returns a function without arguments that runs the operation.
        inputs: Examples to run, repeated to fill a batch. Use real examples, because the outputs of the candidates must
            agree, and variants with fewer bits are accurate only on real examples.
    """

    candidates: Mapping[str, Callable[[str, Inputs], Call]]
    inputs: Inputs


def groups_of(
    bundles: Sequence[BundleCandidates], batch_sizes: Iterable[int], operations: Iterable[str]
) -> list[Group]:
    """Return one group for each combination of batch size and operation. The groups have no rounds yet.

    Args:
        bundles: The candidates of each bundle. Their names differ. The times of all candidates are compared with those
            of the first candidate of the first bundle.
        batch_sizes: Batch sizes to time.
        operations: Names of the operations to time, from OPERATIONS.

    Raises:
        InferenceError: The outputs of a candidate differ from those of the first candidate of the same bundle.
    """
    groups = []
    operations = tuple(operations)
    for batch_size in batch_sizes:
        inputs = [bundle.inputs.repeated(batch_size) for bundle in bundles]
        for operation in operations:
            calls: dict[str, Call] = {}
            for bundle, rows in zip(bundles, inputs, strict=True):
                found = {name: call_of(operation, rows) for name, call_of in bundle.candidates.items()}
                check_agreement(found, operation, batch_size)
                calls |= found
            groups.append(Group(operation, batch_size, calls))
    return groups


def run_rounds(
    groups: Sequence[Group],
    seconds: float,
    precision: float,
    restart: Callable[[], object],
    advance: Callable[[float], object] = lambda _: None,
) -> None:
    """Add blocks of rounds to all groups, until each group has the requested precision or the time is used up.

    At least one block is added.

    Args:
        groups: The groups. After an exception, such as KeyboardInterrupt, they keep all complete rounds.
        seconds: Time budget in seconds for each candidate of each group, including its share of the time of
            `restart`. The total budget is this value times the number of candidates in all groups.
        precision: A group gets no further blocks if the 99 % interval of each ratio has at most this relative width.
            For a single candidate, this applies to the interval of its median time.
        restart: Function that gives each candidate a new process. It is called before every block except the first.
        advance: Function that is called after each block. Its argument is the number of seconds of the total budget
            that the block used.
    """
    part = min(_ROUND_SECONDS, seconds / _MIN_ROUNDS_OF_BUDGET)
    running, budget = list(groups), seconds * sum(len(group.calls) for group in groups)
    block_seconds = budget / _MAX_BLOCKS
    begin = time.perf_counter()
    while running:
        start = time.perf_counter()
        if running[0].blocks:
            restart()
            start_seconds = time.perf_counter() - start
            # Fewer blocks would have no interval.
            block_seconds = min(max(budget / _MAX_BLOCKS, start_seconds / _MAX_START_SHARE), budget / MIN_VALUES)
        for group in running:
            group.add_block()
        while True:
            for group in running:
                group.add_round(part)
            if time.perf_counter() - start >= block_seconds:
                break
        is_spent = time.perf_counter() - begin + block_seconds / 2 > budget
        for group in tuple(running):
            is_precise = group.is_precise(precision)
            if is_precise or is_spent:
                group.stopped = PRECISION if is_precise else BUDGET
                running.remove(group)
        now = time.perf_counter()
        advance(max(0.0, min(now - begin, budget) - min(start - begin, budget)))


def sufficient_seconds(report: Report) -> float:
    """Return a time budget for each row, in seconds, that is enough for MIN_VALUES blocks if the user measures again.

    Each block starts new processes, so the budget grows with the start times. If the report has few blocks because its
    calls are long, the new budget is the report's budget times MIN_VALUES divided by the number of blocks.

    Args:
        report: A report with at least one row.
    """
    starts = sum(candidate.cold_start_seconds for candidate in report.candidates)
    budget = MIN_VALUES * starts / _MAX_START_SHARE
    fewest = min(len(row.rounds) for row in report.rows)
    return float(np.ceil(max(budget / len(report.rows), report.seconds * MIN_VALUES / fewest)))
