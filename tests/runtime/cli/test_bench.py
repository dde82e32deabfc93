"""`vaedge bench` prints, compares and plots measurements."""

import contextlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import vaedge.benchmark.baselines
from vaedge.benchmark.report import Report
from vaedge.benchmark.timing import LocalCall, operation_call
from vaedge.cli import bench, bench_candidates
from vaedge.cli.main import main

ONE_ROUND = ("--seconds", "1e-9")


class LocalProcess:
    """A replacement of WorkerProcess that runs the candidate in this process, because processes take time to start."""

    has_one_thread = False

    def __init__(self, options, inputs, interpreter):
        assert interpreter is None
        self.options = bench_candidates.Options(**options)
        self.candidate = bench_candidates.load_candidate(self.options)
        self.start_seconds, self.peak_bytes = [0.5], None

    def request(self, fields):
        return bench_candidates.describe(self.candidate, self.options), {}

    def operation_call(self, operation, rows):
        return LocalCall(operation_call(self.candidate, operation, rows))

    def restart(self):
        self.start_seconds.append(0.7)


@pytest.fixture(autouse=True)
def local_processes(monkeypatch):
    monkeypatch.setattr(bench_candidates, "WorkerProcess", lambda *args: contextlib.nullcontext(LocalProcess(*args)))


def test_every_candidate_is_timed(bundle, capsys, monkeypatch):
    monkeypatch.setattr(bench, "usable_cpus", lambda: 2)
    argv = ["bench", str(bundle), "--batches", "1", "4", *ONE_ROUND, "--threads", "1", "2", "--json"]
    assert main(argv) == 0
    tree = json.loads(capsys.readouterr().out)
    candidates = ["fp32 x1", "int8 x1", "fp32 x2", "int8 x2"]
    assert [entry["name"] for entry in tree["candidates"]] == candidates
    assert [(row["candidate"], row["operation"], row["batch_size"]) for row in tree["rows"]] == [
        (candidate, operation, batch_size)
        for batch_size in (1, 4)
        for operation in ("encode", "decode", "sample", "reconstruct")
        for candidate in candidates
    ]
    assert [entry["name"] for entry in tree["bundles"]] == ["article"]
    assert main(argv[:-1]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("article: SHA-256 ") for line in lines)
    heading = next(index for index, line in enumerate(lines) if line.split()[:2] == ["operation", "batch"])
    assert lines[heading].split()[2:] == [
        "p50",
        "p90",
        "p99",
        "examples/s",
        "CPUs",
        "ratio",
        "interval",
        "verdict",
        "blocks",
    ]
    assert lines[heading + 1].split()[:4] == ["fp32", "x1", "encode", "1"]
    assert "32 rows used the budget of 1e-09 seconds per row and did not reach the precision of 2 %." in lines


@pytest.fixture
def decode(bundle):
    return [
        *("bench", str(bundle), "--batches", "2", *ONE_ROUND),
        *("--variants", "fp32", "--operations", "decode"),
    ]


def test_onnxruntime_is_a_baseline(decode, capsys):
    assert main([*decode, "--against", "onnxruntime", "--json"]) == 0
    names = [row["candidate"].split()[0] for row in json.loads(capsys.readouterr().out)["rows"]]
    assert names == ["fp32", "onnxruntime"]


@pytest.mark.parametrize("argv", [["onnxruntime,openvino"], ["onnxruntime", "openvino"], ["onnxruntime,", "openvino"]])
def test_baselines_are_separated_by_commas_or_spaces(decode, capsys, monkeypatch, argv):
    plain = vaedge.benchmark.baselines.BASELINES["onnxruntime"]
    monkeypatch.setitem(vaedge.benchmark.baselines.BASELINES, "openvino", plain)  # OpenVINO is an optional package
    assert main([*decode, "--threads", "1", "--against", *argv, "--json"]) == 0
    names = [row["candidate"] for row in json.loads(capsys.readouterr().out)["rows"]]
    assert names == ["fp32 x1", "onnxruntime x1", "openvino x1"]


def test_bundle_after_baselines_is_refused(bundle, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["bench", "--against", "onnxruntime", str(bundle)])
    assert "put it before options with several values" in capsys.readouterr().err
    assert main(["bench", str(bundle), "--against", "onnxruntime", str(bundle)]) == 1
    assert f"--against {bundle} is not a known baseline" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--threads", "--batches"])
def test_numbers_with_commas_are_a_wrong_call(bundle, capsys, option):
    with pytest.raises(SystemExit, match="2"):
        main(["bench", str(bundle), option, "1,2"])
    assert "'1,2' is not a positive integer; separate several numbers by spaces" in capsys.readouterr().err


@pytest.mark.parametrize("operation", ["encode", "decode", "sample", "reconstruct"])
def test_baseline_computes_the_same(bundle, vae, digits, operation):
    files = vaedge.bundle.reader.read_bundle(bundle)
    run = vaedge.benchmark.baselines.onnxruntime_run(files, 1)
    baseline = vaedge.benchmark.baselines.Baseline(run, vae.prior, vae.manifest.parameters)
    arguments = {
        "encode": (digits,),
        "decode": (np.ones((3, 20), np.float32),),
        "sample": (4,),
        "reconstruct": (digits,),
    }
    options = {"seed": 5} if operation == "sample" else {}
    found, expected = (
        getattr(candidate, operation)(*arguments[operation], conditions={}, **options) for candidate in (baseline, vae)
    )
    if operation == "encode":
        np.testing.assert_allclose(found.log_var, expected.log_var, atol=1e-5)
        found, expected = found.mean, expected.mean
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_unknown_baseline_is_refused(decode, capsys):
    assert main([*decode, "--against", "tensorflow"]) == 1
    assert (
        "--against tensorflow is not a known baseline; expected onnxruntime, openvino or python=PATH"
        in capsys.readouterr().err
    )


def test_interpreter_without_a_path_is_refused(decode, capsys):
    assert main([*decode, "--against", "python="]) == 1
    assert "--against python= has no path; give the path of a Python interpreter" in capsys.readouterr().err


def test_baseline_that_computes_something_else_is_refused(decode, capsys, monkeypatch):
    monkeypatch.setattr(
        vaedge.benchmark.baselines.Baseline,
        "decode",
        lambda self, z, conditions: np.full((len(z), 1, 28, 28), -3, np.float32),
    )
    assert main([*decode, "--against", "onnxruntime"]) == 1
    assert "give different results: the outputs of decode at batch size 2" in capsys.readouterr().err


def test_plot_needs_matplotlib_before_anything_is_timed(decode, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([*decode, "--plot", str(tmp_path / "plot.png")]) == 1
    captured = capsys.readouterr()
    assert "--plot needs matplotlib, which is not installed: in a clone of vaedge, run: pip install" in captured.err
    assert "[plot]" in captured.err
    assert captured.out == ""
    assert main([*decode, "--plot", str(tmp_path / "plot.jpg")]) == 1
    assert "must end in .png or .svg" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_plot_is_drawn(decode, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    assert main([*decode, "--plot", str(tmp_path / f"plot.{suffix}")]) == 0
    assert (tmp_path / f"plot.{suffix}").read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon"])
@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--seconds", "is not a number of seconds; expected a number larger than 0"),
        ("--precision", "is not a precision; expected a percentage larger than 0, such as 2%"),
    ],
)
def test_invalid_numbers_are_a_wrong_call(bundle, capsys, option, text, expected):
    with pytest.raises(SystemExit) as stop:
        main(["bench", str(bundle), option, text])
    assert stop.value.code == 2
    assert f"{text!r} {expected}" in capsys.readouterr().err


def test_more_threads_than_cpus_are_refused(decode, capsys, monkeypatch):
    monkeypatch.setattr(bench, "usable_cpus", lambda: 4)
    assert main([*decode, "--threads", "1", "5"]) == 1
    error = capsys.readouterr().err
    assert "--threads 5 is larger than the number of CPUs that this process may use" in error
    assert "expected an integer from 1 to 4" in error


def test_bundle_after_json_is_a_wrong_call(bundle, capsys):
    """A word that follows --json is taken as its optional FILE. If this word is the bundle, the error explains this."""
    for argv in (["--json", str(bundle)], ["--json", str(bundle), str(bundle)]):
        with pytest.raises(SystemExit) as stop:
            main(["bench", *argv])
        assert stop.value.code == 2
        error = capsys.readouterr().err
        assert f"{bundle} was taken as the report FILE of --json: put BUNDLE first, or write --json=FILE" in error


def test_bundle_after_a_list_is_a_wrong_call(bundle, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["bench", "--variants", "fp32", str(bundle)])
    assert stop.value.code == 2
    assert (
        "if you gave BUNDLE, put it before options with several values, such as --variants" in capsys.readouterr().err
    )


def test_report_is_read_again_and_fits_the_schema(decode, bundle, tmp_path, capsys):
    jsonschema = pytest.importorskip("jsonschema")
    file = tmp_path / "report.json"
    assert main([*decode, "--against", "onnxruntime", "--threads", "1", "--seconds", "1", "--json", str(file)]) == 0
    assert "fp32 x1" in capsys.readouterr().out
    schema = json.loads((bundle.parents[1] / "docs" / "bench.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads(file.read_text()))
    report = Report.from_json(file.read_text(), "report.json")
    assert report.to_json() == file.read_text()
    assert set(report.bundles[0].graphs) == {"encoder.onnx", "decoder.onnx"}
    first, baseline = report.candidates
    assert (first.kind, first.spinning, first.nats_lost) == ("vaedge", "500 us", 0)
    assert (baseline.kind, baseline.spinning, baseline.graph_optimization) == ("onnxruntime", "default", "enable_all")
    assert all(entry.difference is not None and entry.difference <= 1 for entry in report.candidates)
    assert [row.ratio_interval is None for row in report.rows] == [True, False]
    assert first.cold_start_seconds == 0.7  # the median


def test_ctrl_c_keeps_complete_rounds(decode, tmp_path, capsys, monkeypatch):
    def interrupted(groups, seconds, precision, restart, advance):
        groups[0].add_block()
        groups[0].add_round(0)
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "run_rounds", interrupted)
    file = tmp_path / "report.json"
    assert main([*decode, "--threads", "1", "--json", str(file)]) == 130
    lines = capsys.readouterr().out.splitlines()
    assert "1 row did not finish." in lines
    assert "The measurement was interrupted: these results are partial." in lines
    report = Report.from_json(file.read_text(), "report.json")
    assert report.partial
    assert [(row.stopped, len(row.rounds)) for row in report.rows] == [("interrupted", 1)]


def test_several_bundles_are_measured_in_turn(bundle, tmp_path, capsys):
    """All candidates are compared with the first one. The plot shows the quality of each bundle."""
    pytest.importorskip("matplotlib")
    argv = ["bench", str(bundle), str(bundle.parent / "mnist"), "--batches", "1", *ONE_ROUND, "--threads", "1"]
    assert main([*argv, "--operations", "reconstruct", "--plot", str(tmp_path / "plot.svg"), "--json"]) == 0
    report = Report.from_json(capsys.readouterr().out, "report.json")
    names = [f"{name} {variant} x1" for name in ("article", "mnist") for variant in ("fp32", "int8")]
    assert [row.candidate for row in report.rows] == names
    assert [entry.name for entry in report.bundles] == ["article", "mnist"]
    assert report.rows[2].ratio == pytest.approx(report.rows[2].rounds[0][0] / report.rows[0].rounds[0][0])
    plot = (tmp_path / "plot.svg").read_text()
    assert all(text in plot for text in ("negative ELBO (bce_surrogate)", "negative ELBO (bernoulli)", "mnist int8 x1"))


def test_bundles_with_equal_names_are_named_by_their_folders(bundle, tmp_path, capsys):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    argv = ["bench", str(bundle), str(copy), "--batches", "1", *ONE_ROUND, "--threads", "1", "--variants", "fp32"]
    assert main([*argv, "--operations", "decode", "--json"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in tree["bundles"]] == [str(bundle), str(copy)]


def test_plot_of_bundles_without_an_elbo_is_refused_before_anything_is_timed(bundle, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(bench_candidates, "nats", lambda *_: (None, None, None))
    argv = ["bench", str(bundle), str(bundle.parent / "mnist"), "--variants", "fp32"]
    assert main([*argv, "--plot", str(tmp_path / "plot.svg")]) == 1
    assert "none of these bundles states a `test_elbo`" in capsys.readouterr().err


def test_variants_without_a_reference_are_measured(capsys):
    """Bundles of format 1 have a reference only for fp32. Its inputs are used for all variants."""
    bundle = Path(__file__).parents[2] / "data" / "format-1"
    argv = ["bench", str(bundle), "--batches", "1", *ONE_ROUND, "--threads", "1", "--operations", "decode"]
    assert main([*argv, "--json"]) == 0
    report = Report.from_json(capsys.readouterr().out, "report.json")
    assert [entry.difference for entry in report.candidates] == [None] * len(report.rows)
    assert {"fp32", "int8"} == {entry.variant for entry in report.candidates}


def test_markdown_holds_the_tables(decode, tmp_path):
    file = tmp_path / "report.md"
    assert main([*decode, "--against", "onnxruntime", "--threads", "1", "--markdown", str(file)]) == 0
    lines = file.read_text().splitlines()
    assert "2 rows used the budget of 1e-09 seconds per row and did not reach the precision of 2 %." in lines
    assert "- article: SHA-256 " in "\n".join(lines)
    assert (
        "Rows with fewer than 8 blocks have no interval, and their ratios are uncertain (the smallest number of blocks "
        "here is 1): measure with --seconds 6 or more."  # 8 starts of 1 second take three quarters of 2 x 5.3 seconds
    ) in lines
    tables = [line for line in lines if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in tables] == ["", "---", "fp32 x1", "onnxruntime x1"] * 2
    assert len({line.count("|") for line in tables[:4]}) == len({line.count("|") for line in tables[4:]}) == 1


def test_accuracy_is_that_of_the_stored_reference(decode, bundle, capsys):
    assert main([*decode, "--threads", "1", "--json"]) == 0
    (candidate,) = Report.from_json(capsys.readouterr().out, "report.json").candidates
    assert candidate.difference == pytest.approx(max(vaedge.check(bundle, variant="fp32").differences["fp32"].values()))
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert candidate.nats == -manifest["metrics"]["test_elbo"]
    assert candidate.bytes == sum(manifest["files"][name]["bytes"] for name in ("encoder.onnx", "decoder.onnx"))
