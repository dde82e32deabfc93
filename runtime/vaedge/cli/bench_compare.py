"""The command `vaedge bench --compare OLD NEW`."""

import argparse

from vaedge import InputError
from vaedge.benchmark import tables
from vaedge.benchmark.compare import SLOWER, UNDECIDED, compare, conflicts
from vaedge.benchmark.intervals import MIN_VALUES
from vaedge.benchmark.report import read_report
from vaedge.benchmark.rounds import sufficient_seconds

_MEASURING = ("device", "batches", "threads", "variants", "operations", "against", "seconds", "precision")
_WRITING = ("json", "markdown", "plot")


def compare_reports(args: argparse.Namespace) -> int:
    """Print the comparison of two reports. Return 3 if a row became slower by more than --fail-above.

    Raises:
        InputError: The reports are not comparable, or --fail-above cannot be checked because a row has no interval.
    """
    _validate_call(args)
    old, new = map(read_report, args.compare)
    reasons = list(conflicts(old, new))
    if reasons and not args.force:
        raise InputError(
            f"{args.compare[0]} and {args.compare[1]} are not comparable: {'; '.join(reasons)}. Measure both on one "
            "machine with the same options, or add --force"
        )
    changes = compare(old, new)
    warnings = [f"warning: the reports are not comparable: {reason}" for reason in reasons]
    lines = [tables.changes_head(*map(str, args.compare)), *tables.changes(changes).text(), tables.summary(changes)]
    print(*warnings, *lines, sep="\n")
    if args.fail_above is None:
        return 0
    if any(change.verdict == SLOWER and change.relative > args.fail_above for change in changes):
        return 3
    if not changes:
        raise InputError(
            "--fail-above cannot be checked: the reports have no row in common; measure both with the same options"
        )
    if any(change.verdict == UNDECIDED for change in changes):
        fewest = min(len(row.rounds) for report in (old, new) for row in report.rows)
        seconds = max(map(sufficient_seconds, (old, new)))
        raise InputError(
            f"--fail-above cannot be checked: each row of both reports needs at least {MIN_VALUES} blocks of "
            f"measurements, but one row has only {fewest}; measure both again with --seconds {seconds:.0f} or more"
        )
    return 0


def _validate_call(args: argparse.Namespace) -> None:
    """End with the exit status 2 if BUNDLE or options of a measurement were given."""
    if args.bundles:
        args.wrong_call(
            f"both BUNDLE ({' '.join(args.bundles)}) and --compare were given: give only BUNDLE to measure, or only "
            "--compare OLD NEW to compare two reports"
        )
    given = [f"--{name}" for name in (*_MEASURING, *_WRITING) if getattr(args, name) is not None]
    if given:
        args.wrong_call(f"--compare does not measure, and it only prints a table: leave out {', '.join(given)}")
