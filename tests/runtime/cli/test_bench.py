"""`vaedge bench` prints, compares and plots measurements."""

import json
import sys

import numpy as np
import pytest

import vaedge.benchmark.baselines
from vaedge.cli.main import main


def test_every_candidate_is_timed(bundle, capsys):
    argv = ["bench", str(bundle), "--batches", "1", "4", "--seconds", "0", "--threads", "1", "2", "--json"]
    assert main(argv) == 0
    tree = json.loads(capsys.readouterr().out)
    candidates = ["fp32 x1", "int8 x1", "fp32 x2", "int8 x2"]
    assert [(row["candidate"], row["operation"], row["batch_size"]) for row in tree["timings"]] == [
        (candidate, operation, batch_size)
        for batch_size in (1, 4)
        for operation in ("encode", "decode", "sample", "reconstruct")
        for candidate in candidates
    ]
    assert set(tree["load_seconds"]) == set(candidates)
    assert tree["peak_bytes"] is None or tree["peak_bytes"] > 10_000_000
    assert (tree["model"], tree["device"]) == ("article", "cpu")
    assert main(argv[:-1]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("article on cpu, ")
    assert lines[3].split() == ["operation", "batch", "p50", "p90", "p99", "examples/s", "ratio", "calls"]
    assert [line.split()[:4] for line in lines[4:6]] == [["fp32", "x1", "encode", "1"], ["int8", "x1", "encode", "1"]]
    assert lines[-1].startswith("peak memory of this process: ")
    assert len(lines) == 4 + len(tree["timings"]) + 1


@pytest.fixture
def decode(bundle):
    return [
        *("bench", str(bundle), "--batches", "2", "--seconds", "0"),
        *("--variants", "fp32", "--operations", "decode"),
    ]


def test_onnxruntime_is_a_baseline(decode, capsys):
    assert main([*decode, "--against", "onnxruntime", "--json"]) == 0
    names = [row["candidate"].split()[0] for row in json.loads(capsys.readouterr().out)["timings"]]
    assert names == ["fp32", "onnxruntime"]


@pytest.mark.parametrize("operation", ["encode", "decode", "sample", "reconstruct"])
def test_baseline_computes_the_same(bundle, vae, digits, operation):
    files = vaedge.bundle.reader.read_bundle(bundle)
    run = vaedge.benchmark.baselines.onnxruntime_run(files, 1)
    baseline = vaedge.benchmark.baselines.Baseline(run, vae.prior)
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
        "--against tensorflow is not a known baseline; expected names from onnxruntime, openvino"
        in capsys.readouterr().err
    )


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
    assert "--plot needs matplotlib" in captured.err
    assert captured.out == ""
    assert main([*decode, "--plot", str(tmp_path / "plot.jpg")]) == 1
    assert "must end in .png or .svg" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_plot_is_drawn(decode, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    assert main([*decode, "--plot", str(tmp_path / f"plot.{suffix}")]) == 0
    assert (tmp_path / f"plot.{suffix}").read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon"])
def test_invalid_seconds_are_a_wrong_call(bundle, capsys, seconds):
    with pytest.raises(SystemExit) as stop:
        main(["bench", str(bundle), "--seconds", seconds])
    assert stop.value.code == 2
    assert f"{seconds!r} is not a number of seconds" in capsys.readouterr().err
