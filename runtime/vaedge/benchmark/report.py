"""The report of `vaedge bench --json`: a frozen dataclass, its JSON form, and a strict reader."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from vaedge.benchmark.fields import ReportFields, read_by, read_record
from vaedge.benchmark.machine import Hardware
from vaedge.bundle.json_reader import parse_json
from vaedge.errors import BundleError, InputError

FORMAT, FORMAT_VERSION = "vaedge-bench", 1
MAX_REPORT_BYTES = 2**26


@dataclass(frozen=True, kw_only=True)
class MeasuredBundle:
    """A bundle that was measured.

    Attributes:
        name: Name of the bundle, or its folder if several bundles have the same name.
        sha256: SHA-256 of `manifest.json`.
        likelihood: Name of the likelihood p(x|z). Nats of different likelihoods cannot be compared.
        graphs: Dict from the file name of each graph to its SHA-256.
    """

    name: str = read_by(ReportFields.text)
    sha256: str = read_by(ReportFields.text)
    likelihood: str = read_by(ReportFields.text)
    graphs: Mapping[str, str] = read_by(ReportFields.text_by_name)


@dataclass(frozen=True, kw_only=True)
class MeasuredCandidate:
    """A variant or a baseline, with its settings and the results that do not depend on the batch size.

    Attributes:
        name: Name of the candidate in the rows.
        bundle: Name of the bundle whose graphs are run.
        kind: "vaedge", "python", or the name of another baseline. "python" is vaedge in another interpreter.
        variant: Name of the variant whose graphs are run.
        software: Dict from the name to the version of each software component; empty if these are the same as those of
            the report.
        device: Device that runs the graphs.
        threads: Number of CPU threads.
        spinning: How long idle threads wait actively for work.
        graph_optimization: Level of the graph optimization.
        cold_start_seconds: Time from the start of a new process until it has loaded the bundle and reconstructed one
            example: the median over the first three processes.
        peak_bytes: Peak memory of the first process until it has reconstructed the example; None if the system does
            not report it.
        difference: Maximum of |found - reference| / tolerance over the outputs; None if the bundle has no tolerances.
        bytes: Size of the two graphs and of the prior's file.
        nats: Negative ELBO of the variant on test data, in nats per example; None if the manifest does not state it.
        nats_lost: Decrease of the ELBO compared with fp32, in nats per example; None if the manifest does not state it.
        nats_lost_standard_error: Standard error of `nats_lost`.
    """

    name: str = read_by(ReportFields.text)
    bundle: str = read_by(ReportFields.text)
    kind: str = read_by(ReportFields.text)
    variant: str = read_by(ReportFields.text)
    device: str = read_by(ReportFields.text)
    threads: int = read_by(ReportFields.integer)
    spinning: str = read_by(ReportFields.text)
    graph_optimization: str = read_by(ReportFields.text)
    software: Mapping[str, str] = read_by(ReportFields.text_by_name)
    cold_start_seconds: float = read_by(ReportFields.positive)
    peak_bytes: int | None = read_by(ReportFields.integer, null=True)
    difference: float | None = read_by(ReportFields.number, null=True)
    bytes: int = read_by(ReportFields.integer)
    nats: float | None = read_by(ReportFields.number, null=True)
    nats_lost: float | None = read_by(ReportFields.number, null=True)
    nats_lost_standard_error: float | None = read_by(ReportFields.number, null=True)

    @property
    def settings(self) -> tuple[object, ...]:
        """The values that must be equal so that the times of two reports can be compared."""
        names = ("name", "bundle", "kind", "variant", "device", "threads", "spinning", "graph_optimization")
        return tuple(getattr(self, name) for name in names)


@dataclass(frozen=True, kw_only=True)
class Row:
    """The timing of one operation of one candidate at one batch size.

    Attributes:
        candidate: Name of the candidate.
        operation: "encode", "decode", "sample" or "reconstruct".
        batch_size: Number of examples per call.
        calls: Number of timed calls.
        p50: Median of the wall time of a call, in microseconds.
        p90: 90th percentile of the wall time, in microseconds.
        p99: 99th percentile of the wall time, in microseconds.
        examples_per_second: Batch size divided by the median time in seconds.
        cpus: CPU time of all threads of the process divided by the wall time: the number of CPUs that were in use.
        ratio: In each round, the median time is divided by the median time of the first candidate. The ratio of a block
            is the median over its rounds. `ratio` is the Hodges-Lehmann estimate over the blocks: 2 means twice as long
            as a call of the first candidate.
        ratio_interval: 99 % interval of `ratio`. None for the first candidate, and for fewer than 8 blocks.
        drift: Relative difference between the times in the last third and in the first third of the blocks. None for
            fewer than 8 blocks.
        stopped: Why the rounds ended: "precision", "budget" or "interrupted".
        rounds: Median time of each round, in microseconds, one tuple per block. Each block has new processes.
    """

    candidate: str = read_by(ReportFields.text)
    operation: str = read_by(ReportFields.text)
    batch_size: int = read_by(ReportFields.integer)
    calls: int = read_by(ReportFields.integer)
    p50: float = read_by(ReportFields.positive)
    p90: float = read_by(ReportFields.positive)
    p99: float = read_by(ReportFields.positive)
    examples_per_second: float = read_by(ReportFields.positive)
    cpus: float = read_by(ReportFields.number)
    ratio: float = read_by(ReportFields.positive)
    ratio_interval: tuple[float, float] | None = read_by(ReportFields.interval, null=True)
    drift: float | None = read_by(ReportFields.number, null=True)
    stopped: str = read_by(ReportFields.text)
    rounds: tuple[tuple[float, ...], ...] = read_by(ReportFields.lists_of_positives)

    @property
    def block_medians(self) -> list[float]:
        """The median time of each block, in microseconds."""
        return [float(np.median(block)) for block in self.rounds]

    @property
    def key(self) -> tuple[str, str, int]:
        """The candidate, the operation and the batch size, which identify a row."""
        return self.candidate, self.operation, self.batch_size


@dataclass(frozen=True, kw_only=True)
class Report:
    """All measurements of one run of `vaedge bench`.

    Attributes:
        partial: Whether the measurement was interrupted.
        bundles: The measured bundles.
        hardware: The machine.
        software: Dict from the name of each software component to its version.
        int8_kernels: The 8-bit kernels: "default" or "x64quantprecision".
        seconds: Time budget for each row, in seconds.
        precision: The measurement of a row ends when the 99 % confidence interval of its ratio has at most this
            relative width.
        candidates: The variants and baselines. All ratios are relative to the first candidate.
        rows: The timings.
    """

    partial: bool = read_by(ReportFields.boolean)
    bundles: tuple[MeasuredBundle, ...] = read_by(lambda entry, key: entry.records(key, MeasuredBundle))
    hardware: Hardware = read_by(lambda entry, key: entry.record(key, Hardware))  # noqa: RUF009 (a field)
    software: Mapping[str, str] = read_by(ReportFields.text_by_name)
    int8_kernels: str = read_by(ReportFields.text)
    seconds: float = read_by(ReportFields.number)
    precision: float = read_by(ReportFields.number)
    candidates: tuple[MeasuredCandidate, ...] = read_by(lambda entry, key: entry.records(key, MeasuredCandidate))
    rows: tuple[Row, ...] = read_by(lambda entry, key: entry.records(key, Row))

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps({"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, file: str) -> Self:
        """Parse a report.

        Args:
            text: The content of the file.
            file: Name of the file, for errors.

        Raises:
            InputError: The text is not a report of `vaedge bench --json`. The message names the file and the field.
        """
        try:
            top = ReportFields(parse_json(text, file), "", file)
            if top.text("format") != FORMAT:
                raise top.error("format", f"{FORMAT!r}")
            if top.integer("format_version") != FORMAT_VERSION:
                raise top.error("format_version", str(FORMAT_VERSION))
            report: Self = read_record(top, cls)
        except BundleError as error:
            raise InputError(f"{error}; expected a file that `vaedge bench --json FILE` wrote") from error
        report._validate_names(file)
        return report

    def _validate_names(self, file: str) -> None:
        bundles = [bundle.name for bundle in self.bundles]
        names = [candidate.name for candidate in self.candidates]
        keys = [row.key for row in self.rows]
        unknown = {candidate.bundle for candidate in self.candidates} - set(bundles)
        unknown |= {row.candidate for row in self.rows} - set(names)
        if unknown or any(len(set(found)) < len(found) for found in (bundles, names, keys)):
            raise InputError(
                f"{file}: each bundle, candidate and row must occur once; run `vaedge bench --json FILE` again"
            )


def read_report(path: Path) -> Report:
    """Read a report.

    Raises:
        InputError: The file is not a report of `vaedge bench --json`.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(MAX_REPORT_BYTES + 1)
    if len(content) > MAX_REPORT_BYTES:
        raise InputError(f"{path} is larger than {MAX_REPORT_BYTES:,} bytes, so it is not a report of `vaedge bench`")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text, so it is not a report of `vaedge bench --json`") from error
    return Report.from_json(text, str(path))
