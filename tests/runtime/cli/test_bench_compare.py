"""`vaedge bench --compare` names slower and faster rows, and refuses reports that are not comparable."""

import json
import re
from dataclasses import replace

import pytest

from vaedge.benchmark.machine import Hardware
from vaedge.benchmark.report import MeasuredBundle, MeasuredCandidate, Report, Row
from vaedge.cli.main import main


def report(factor=1.0, cores=2, blocks=20, spinning="500 us"):
    """Return a report with one row. Its median time is about 100 microseconds times `factor`."""
    times = tuple((factor * (100 + (index % 3) / 10),) * 2 for index in range(blocks))
    row = {"candidate": "fp32 x1", "operation": "decode", "batch_size": 64, "calls": 99, "stopped": "budget"}
    row |= {
        "p50": 100.0,
        "p90": 100.0,
        "p99": 100.0,
        "examples_per_second": 1.0,
        "cpus": 1.0,
        "ratio": 1.0,
        "drift": None,
    }
    candidate = {
        "name": "fp32 x1",
        "bundle": "mnist",
        "software": {},
        "bytes": 9,
        "nats": 80.0,
        "kind": "vaedge",
        "variant": "fp32",
        "device": "cpu",
        "threads": 1,
    }
    candidate |= {"spinning": spinning, "graph_optimization": "enable_all", "cold_start_seconds": 0.2}
    candidate |= dict.fromkeys(("peak_bytes", "difference", "nats_lost", "nats_lost_standard_error"))
    return Report(
        partial=False,
        bundles=(MeasuredBundle(name="mnist", sha256="0" * 64, likelihood="bernoulli", graphs={}),),
        hardware=Hardware(cpu="a", cores=cores, usable_cpus=2, container_quota=None, memory_bytes=None, gpus=()),
        software={"onnxruntime": "1.24"},
        int8_kernels="default",
        seconds=1.0,
        precision=0.02,
        candidates=(MeasuredCandidate(**candidate),),
        rows=(Row(ratio_interval=None, rounds=times, **row),),
    )


@pytest.fixture
def run(tmp_path):
    """Return a function that compares two reports, and returns the exit status."""

    def compare(old, new, *options):
        paths = [tmp_path / "old.json", tmp_path / "new.json"]
        for path, content in zip(paths, (old, new), strict=True):
            path.write_text(content if isinstance(content, str) else content.to_json())
        return main(["bench", "--compare", *map(str, paths), *options])

    return compare


@pytest.mark.parametrize(
    ("factor", "verdict", "status"),
    [
        (1.1, "slower", 3),
        (1.03, "slower", 0),
        (1.005, "cannot be distinguished", 0),
        (0.995, "cannot be distinguished", 0),
        (0.9, "faster", 0),
    ],
)
def test_changes_are_named_and_slow_downs_fail(run, capsys, factor, verdict, status):
    assert run(report(), report(factor), "--fail-above", "5%") == status
    assert capsys.readouterr().out.splitlines()[2].endswith(f"  {verdict}")


def test_comparison_names_the_files_its_statistic_and_the_numbers_of_verdicts(run, capsys, tmp_path):
    assert run(report(), report(1.1)) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith(
        f"The old report is {tmp_path / 'old.json'}, and the new report is {tmp_path / 'new.json'}."
    )
    assert "The change is the ratio of these medians, new / old, minus 1, with its 99 % interval." in first
    assert last == "1 row: 1 slower, 0 faster, 0 cannot be distinguished, 0 with too few blocks."


def test_rows_without_an_interval_do_not_pass_a_limit(run, capsys):
    assert run(report(), report(2, blocks=7)) == 0
    assert run(report(), report(2, blocks=7), "--fail-above", "5%") == 1
    captured = capsys.readouterr()
    assert captured.out.count("not available  too few blocks") == 2
    assert (
        "each row of both reports needs at least 8 blocks of measurements, but one row has only 7; measure both again "
        "with --seconds 3 or more"  # 8 starts of 0.2 seconds take three quarters of 2.1 seconds
    ) in captured.err


def test_reports_without_a_common_row_do_not_pass_a_limit(run, capsys):
    other = replace(report(), rows=(replace(report().rows[0], operation="encode"),))
    assert run(report(), other, "--force", "--fail-above", "5%") == 1
    assert "the reports have no row in common; measure both with the same options" in capsys.readouterr().err


def test_partial_reports_need_force(run, capsys):
    assert run(report(), replace(report(), partial=True)) == 1
    assert "a measurement was interrupted, so its report is partial" in capsys.readouterr().err
    assert run(report(), replace(report(), partial=True), "--force") == 0


@pytest.mark.parametrize(
    "argv",
    [
        *(
            ["--json"],
            ["--json", "out.json"],
            ["--markdown", "out.md"],
            ["--plot", "out.svg"],
            ["--against", "openvino"],
        ),
        *(["--threads", "1"], ["--batches", "1"], ["--seconds", "2"], ["--precision", "2%"], ["--device", "cpu"]),
        *(["--operations", "encode"], ["--variants", "fp32", "int8"]),
    ],
    ids=" ".join,
)
def test_options_of_a_measurement_are_refused(run, capsys, argv):
    with pytest.raises(SystemExit, match="2"):
        run(report(), report(), *argv)
    assert f"--compare does not measure, and it only prints a table: leave out {argv[0]}\n" in capsys.readouterr().err


def test_all_refused_options_are_named(run, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(report(), report(), "--json", "out.json", "--seconds", "2", "--threads", "1")
    assert "leave out --threads, --seconds, --json\n" in capsys.readouterr().err


def test_a_bundle_and_reports_are_not_both_accepted(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["bench", "models/mnist", "--compare", "a", "b"])
    error = capsys.readouterr().err
    assert (
        "both BUNDLE (models/mnist) and --compare were given: give only BUNDLE to measure, or only --compare" in error
    )
    assert "--variants" not in error.splitlines()[-1]


@pytest.mark.parametrize(
    ("other", "reason"),
    [({"cores": 8}, "hardware.cores is 2 and 8"), ({"spinning": "off"}, "the candidates or their settings differ")],
)
def test_other_machines_and_settings_need_force(run, capsys, other, reason):
    assert run(report(), report(**other)) == 1
    assert f"not comparable: {reason}" in capsys.readouterr().err
    assert run(report(), report(**other), "--force") == 0
    assert f"warning: the reports are not comparable: {reason}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:300], "is not valid JSON"),
        (lambda _: "[]", "the whole file is not a JSON object"),
        (lambda _: '{"model": "mnist"}', "format is missing"),
        (lambda text: json.dumps({**json.loads(text), "extra": 1}), "is not a field of this format"),
        (lambda text: text.replace('"p50": 100.0', '"p50": -1'), r"rows[0].p50 is -1; expected a positive number"),
        (lambda text: text.replace('"candidate": "fp32 x1"', '"candidate": "int8"'), "must occur once"),
        (
            lambda text: re.sub(r'"rounds": .*', '"rounds": [[]]}]}', text, flags=re.DOTALL),
            "a list of lists of positive",
        ),
    ],
)
def test_foreign_files_are_one_clear_error(run, capsys, change, message):
    assert run(change(report().to_json()), report()) == 1
    error = capsys.readouterr().err
    assert "old.json" in error
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("argv", [[], ["models/mnist", "--compare", "a", "b"], ["models/mnist", "--force"]])
def test_wrong_call_prints_the_usage(capsys, argv):
    with pytest.raises(SystemExit) as stop:
        main(["bench", *argv])
    assert stop.value.code == 2
    assert "--compare OLD NEW" in capsys.readouterr().err
