"""Time operations in rounds until the results are precise or the time is spent.

A round times every candidate of one operation and batch size in turn. All operations and batch sizes take turns, too.
The rounds of each row therefore spread over the whole measurement, so that a change of the machine's load widens the
interval instead of shifting it.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vaedge.benchmark.intervals import drift, median_interval, relative_width
from vaedge.benchmark.report import Row
from vaedge.benchmark.timing import Call, Timed, check_agreement
from vaedge.bundle.reference import Inputs

PRECISION, BUDGET, INTERRUPTED = "precision", "budget", "interrupted"
_MIN_PRECISE_ROUNDS = 10  # a short interval of fewer rounds can be chance
_ROUND_SECONDS = 0.05
_MIN_ROUNDS_OF_BUDGET = 20


@dataclass
class Group:
    """The candidates' calls for one operation and one batch size, and their rounds.

    Attributes:
        operation: "encode", "decode", "sample" or "reconstruct".
        batch_size: Number of examples per call.
        calls: Dict from the name of each candidate to its call.
        rounds: One dict per complete round, from the name of each candidate to its timed calls.
        spent: Wall time of all rounds, in seconds.
        stopped: Why the rounds ended: PRECISION, BUDGET or INTERRUPTED.
    """

    operation: str
    batch_size: int
    calls: Mapping[str, Call]
    rounds: list[Mapping[str, Timed]] = field(default_factory=list)
    spent: float = 0.0
    stopped: str = INTERRUPTED

    def add_round(self, seconds: float) -> None:
        """Time each candidate for some seconds. Every second round has the reverse order, so that trends cancel."""
        start = time.perf_counter()
        names = list(self.calls)
        order = reversed(names) if len(self.rounds) % 2 else names
        self.rounds.append({name: self.calls[name].timed(seconds) for name in order})
        self.spent += time.perf_counter() - start

    def medians(self, name: str) -> list[float]:
        """Return the median time of each round of a candidate, in microseconds."""
        return [float(np.median(part[name].durations)) / 1000 for part in self.rounds]

    def ratios(self, name: str) -> list[float]:
        """Return the median time of each round of a candidate, divided by that of the first candidate."""
        first = self.medians(next(iter(self.calls)))
        return [median / base for median, base in zip(self.medians(name), first, strict=True)]

    def width(self) -> float:
        """Return the relative width of the widest interval: of the ratios, or of the time of a single candidate."""
        first, *others = self.calls
        parts = [self.ratios(name) for name in others] or [self.medians(first)]
        return max(relative_width(median_interval(part)) for part in parts)

    def rows(self) -> list[Row]:
        """Summarize each candidate. Without a complete round, the list is empty."""
        return [self._row(name) for name in self.calls] if self.rounds else []

    def _row(self, name: str) -> Row:
        durations = np.concatenate([part[name].durations for part in self.rounds])
        p50, p90, p99 = (float(value) for value in np.percentile(durations, (50, 90, 99)) / 1000)
        medians, ratios = self.medians(name), self.ratios(name)
        return Row(
            candidate=name,
            operation=self.operation,
            batch_size=self.batch_size,
            calls=len(durations),
            p50=p50,
            p90=p90,
            p99=p99,
            examples_per_second=self.batch_size * 1e6 / p50,
            ratio=float(np.median(ratios)),
            ratio_interval=None if name == next(iter(self.calls)) else median_interval(ratios),
            cpus=float(np.median([part[name].cpus for part in self.rounds])),
            drift=drift(medians),
            stopped=self.stopped,
            rounds=tuple(medians),
        )


@dataclass(frozen=True)
class BundleCandidates:
    """Candidates that run the same bundle.

    Attributes:
        candidates: Dict from the name of each candidate to a function that takes the name of an operation and inputs,
            and returns the call.
        inputs: Examples to run, repeated to fill a batch. Use real examples, because the outputs of the candidates must
            agree, and variants with fewer bits are accurate only on real examples.
    """

    candidates: Mapping[str, Callable[[str, Inputs], Call]]
    inputs: Inputs


def groups_of(
    bundles: Sequence[BundleCandidates], batch_sizes: Iterable[int], operations: Iterable[str]
) -> list[Group]:
    """Return one group for each combination of batch size and operation, without rounds.

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
    groups: Sequence[Group], seconds: float, precision: float, advance: Callable[[float], object] = lambda _: None
) -> None:
    """Add rounds to each group in turn, until each group is precise or has spent its time. Each group gets a round.

    Args:
        groups: The groups. After an exception, such as KeyboardInterrupt, they keep all complete rounds.
        seconds: Time in seconds for each candidate of each group.
        precision: The rounds of a group end if the widest 99 % interval has at most this relative width.
        advance: Function that is called after each round with the seconds that need not be spent any more.
    """
    part = min(_ROUND_SECONDS, seconds / _MIN_ROUNDS_OF_BUDGET)
    running = list(groups)
    while running:
        for group in tuple(running):
            budget, before = seconds * len(group.calls), group.spent
            group.add_round(part)
            if len(group.rounds) >= _MIN_PRECISE_ROUNDS and group.width() <= precision:
                group.stopped = PRECISION
            elif group.spent >= budget:
                group.stopped = BUDGET
            if group.stopped != INTERRUPTED:
                running.remove(group)
            done = budget if group.stopped != INTERRUPTED else group.spent
            advance(max(0.0, done - before))
