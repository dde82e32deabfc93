"""The command line, as far as it goes without pictures."""

import json
import subprocess
import sys

import numpy as np
import pytest

import vaedge
import vaedge.benchmark.baselines
from vaedge.cli.main import COMMANDS, main


@pytest.fixture
def x_file(tmp_path, digits):
    np.save(tmp_path / "x.npy", digits)
    return tmp_path / "x.npy"


def fails(capsys, argv, status=1):
    """Run a wrong call: the status, one line on stderr, no traceback."""
    try:
        found = main([str(word) for word in argv])
    except SystemExit as stop:
        found = stop.code
    said = capsys.readouterr().err
    assert found == status, said
    assert "Traceback" not in said
    if status == 1:
        assert said.count("\n") == 1
        assert said.startswith("vaedge: ")
    return said


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert all(command in said for command in COMMANDS)


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == vaedge.__version__


def test_info(bundle, capsys):
    assert main(["info", str(bundle)]) == 0
    assert "(1, 28, 28) float32 in [0, 1]" in capsys.readouterr().out
    assert main(["info", str(bundle), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((bundle / "manifest.json").read_text())


def test_check(bundle, copied, capsys):
    assert main(["check", str(bundle)]) == 0
    assert "reproduces the reference" in capsys.readouterr().out
    (copied / "encoder.onnx").write_bytes(b"")
    assert "encoder.onnx" in fails(capsys, ["check", copied])


def test_sample(bundle, vae, tmp_path):
    out = tmp_path / "samples.npy"
    assert main(["sample", str(bundle), "-n", "5", "--seed", "3", "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), vae.sample(5, seed=3))


def test_encode_then_decode_is_reconstruct(bundle, tmp_path, x_file, vae, digits):
    latents, decoded, reconstructed = (tmp_path / name for name in ("q.npz", "y.npy", "r.npy"))
    assert main(["encode", str(bundle), str(x_file), "--out", str(latents)]) == 0
    with np.load(latents) as archive:
        np.testing.assert_array_equal(archive["log_var"], vae.encode(digits).log_var)
    assert main(["decode", str(bundle), str(latents), "--out", str(decoded)]) == 0
    assert main(["reconstruct", str(bundle), str(x_file), "--out", str(reconstructed)]) == 0
    np.testing.assert_array_equal(np.load(decoded), np.load(reconstructed))


def test_interpolate(bundle, tmp_path, vae, digits):
    for name, digit in zip("ab", digits, strict=False):
        np.save(tmp_path / f"{name}.npy", digit)
    ends = [str(tmp_path / f"{name}.npy") for name in "ab"]
    out = tmp_path / "path.npy"
    assert main(["interpolate", str(bundle), *ends, "--steps", "3", "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), vae.interpolate(digits[0], digits[1], steps=3))


def test_bench(bundle, capsys):
    argv = ["bench", str(bundle), "--batches", "1", "4", "--seconds", "0", "--threads", "1", "2", "--json"]
    assert main(argv) == 0
    tree = json.loads(capsys.readouterr().out)
    timings = tree["timings"]
    contestants = ["fp32 x1", "int8 x1", "fp32 x2", "int8 x2"]
    assert [(row["contestant"], row["operation"], row["batch"]) for row in timings] == [
        (contestant, operation, batch)
        for batch in (1, 4)
        for operation in ("encode", "decode", "sample", "reconstruct")
        for contestant in contestants
    ]
    assert set(tree["load_seconds"]) == set(contestants)
    assert tree["peak_bytes"] > 10_000_000
    for row in timings:
        assert 0 < row["p50"] <= row["p90"] <= row["p99"]
        assert row["calls"] == 20
        assert row["ratio"] > 0
        assert row["items_per_second"] == pytest.approx(row["batch"] * 1e6 / row["p50"])
    assert main(argv[:-1]) == 0
    assert "items/s" in capsys.readouterr().out


def test_bench_against_plain_onnxruntime(bundle, capsys, monkeypatch):
    argv = ["bench", str(bundle), "--batches", "2", "--seconds", "0", "--variants", "fp32", "--operations", "decode"]
    assert main([*argv, "--against", "onnxruntime", "--json"]) == 0
    names = [row["contestant"].split()[0] for row in json.loads(capsys.readouterr().out)["timings"]]
    assert names == ["fp32", "onnxruntime"]
    assert "known are onnxruntime, openvino" in fails(capsys, [*argv, "--against", "tensorflow"])
    monkeypatch.setattr(
        vaedge.benchmark.baselines.Peer, "decode", lambda self, z: np.zeros((len(z), 1, 28, 28), np.float32) - 3
    )
    assert "do not compute the same: decode of 2 items" in fails(capsys, [*argv, "--against", "onnxruntime"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sample", "nothing", "--out", "x.npy"], "nothing is not a folder"),
        (["sample", "MODEL", "--out", "x.jpg"], "must end in .npy or .png"),
        (["sample", "MODEL", "--out", "no/such/x.npy"], "no/such is not a folder"),
        (["sample", "MODEL", "--out", "x.npy", "--device", "cuda:9"], "CUDA"),
        (["sample", "MODEL", "--out", "x.npy", "--variant", "int3"], "no variant 'int3'"),
        (["reconstruct", "MODEL", "nothing.npy", "--out", "x.npy"], "nothing.npy does not exist"),
        (["reconstruct", "MODEL", "bad.npy", "--out", "x.npy"], "bad.npy cannot be read"),
        (["reconstruct", "MODEL", "flat.npy", "--out", "x.npy"], "shape (3, 784)"),
        (["reconstruct", "MODEL", "flat.npy", "--seed", "1", "--out", "x.npy"], "--seed is for --sample"),
        (["decode", "MODEL", "two.npz", "--out", "x.npy"], "no array 'mean'; it has u, v"),
        (["encode", "MODEL", "flat.npy", "--out", "x.npy"], "must end in .npz"),
        (["interpolate", "MODEL", "flat.npy", "flat.npy", "--out", "x.npy"], "flat.npy holds 3 items; expected one"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_calls_that_cannot_be_done(bundle, tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    np.save(tmp_path / "flat.npy", np.zeros((3, 784), np.float32))
    np.savez(tmp_path / "two.npz", u=np.zeros(1), v=np.zeros(1))
    assert says in fails(capsys, [str(bundle) if word == "MODEL" else word for word in words])
    assert not [name for name in tmp_path.iterdir() if name.name.endswith((".tmp", "x.npy"))]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["paint"],
        ["sample"],
        ["sample", "MODEL", "--out", "x.npy", "-n", "0"],
        ["sample", "MODEL", "--out", "x.npy", "-n", "-3"],
        ["sample", "MODEL", "--out", "x.npy", "--seed", "-1"],
        ["sample", "MODEL", "--out", "x.npy", "--threads", "none"],
    ],
    ids=" ".join,
)
def test_wrong_calls(capsys, words):
    assert "usage: vaedge" in fails(capsys, words, status=2)


@pytest.mark.parametrize(("command", "package"), [("train", "torch"), ("export", "torch")])
def test_a_stage_whose_packages_are_missing(command, package):
    code = (
        f"import sys; sys.modules[{package!r}] = None; from vaedge.cli.main import main; sys.exit(main([{command!r}]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"vaedge: {command} needs" in result.stderr
    assert f".[{command}]" in result.stderr


def test_a_full_disk_leaves_the_old_file(bundle, tmp_path, monkeypatch, capsys):
    out = tmp_path / "samples.npy"
    out.write_bytes(b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vaedge.files.arrays.os.fsync", full)
    said = fails(capsys, ["sample", bundle, "--out", out])
    assert said == f"vaedge: {out}: No space left on device\n"
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


def test_an_interrupt_is_no_traceback(bundle, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("vaedge._check.read_variants", interrupt)
    assert main(["check", str(bundle)]) == 130
    assert capsys.readouterr().err == "vaedge: interrupted\n"
