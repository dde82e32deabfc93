"""Subcommands whose input is not an image file, and errors that the command line prints."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import vaedge
from vaedge.cli.main import COMMANDS, main


@pytest.fixture
def x_file(tmp_path, digits):
    np.save(tmp_path / "x.npy", digits)
    return tmp_path / "x.npy"


def fails(capsys, argv, status=1):
    """Run a command that must fail, and return its stderr. If the status is 1, stderr must be a single line."""
    try:
        found = main([str(argument) for argument in argv])
    except SystemExit as stop:
        found = stop.code
    message = capsys.readouterr().err
    assert found == status, message
    assert "Traceback" not in message
    if status == 1:
        assert message.count("\n") == 1
        assert message.startswith("vaedge: ")
    return message


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    message = capsys.readouterr().out
    assert all(command in message for command in COMMANDS)


def test_help_lists_the_exit_statuses(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    epilog = capsys.readouterr().out.partition("Exit status:")[2]
    assert re.findall(r"(?:^|;)\s+(\d+)\s", epilog) == ["0", "1", "2", "3", "130"]


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == vaedge.__version__


def test_info_prints_the_manifest(bundle, capsys):
    assert main(["info", str(bundle)]) == 0
    assert "(1, 28, 28) float32 in [0, 1]" in capsys.readouterr().out
    assert main(["info", str(bundle), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((bundle / "manifest.json").read_text())


def test_check_prints_the_verdict(bundle, copied, capsys):
    assert main(["check", str(bundle)]) == 0
    assert "reproduces the reference" in capsys.readouterr().out
    (copied / "encoder.onnx").write_bytes(b"")
    assert "encoder.onnx" in fails(capsys, ["check", copied])


def test_sample_writes_the_samples(bundle, vae, tmp_path):
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


def test_interpolate_writes_the_steps(bundle, tmp_path, vae, digits):
    for name, digit in zip("ab", digits, strict=False):
        np.save(tmp_path / f"{name}.npy", digit)
    ends = [str(tmp_path / f"{name}.npy") for name in "ab"]
    out = tmp_path / "path.npy"
    assert main(["interpolate", str(bundle), *ends, "--steps", "3", "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), vae.interpolate(digits[0], digits[1], steps=3))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["sample", "nothing", "--out", "x.npy"], "nothing is not a folder"),
        (["sample", "BUNDLE", "--out", "x.jpg"], "must end in .npy or .png"),
        (["sample", "BUNDLE", "--out", "no/such/x.npy"], "no/such is not a folder"),
        (["sample", "BUNDLE", "--out", "x.npy", "--device", "cuda:9"], "CUDA"),
        (["sample", "BUNDLE", "--out", "x.npy", "--variant", "int3"], "no variant 'int3'"),
        (["reconstruct", "BUNDLE", "nothing.npy", "--out", "x.npy"], "nothing.npy does not exist"),
        (["reconstruct", "BUNDLE", "bad.npy", "--out", "x.npy"], "bad.npy cannot be read"),
        (["reconstruct", "BUNDLE", "flat.npy", "--out", "x.npy"], "shape (3, 784)"),
        (["reconstruct", "BUNDLE", "flat.npy", "--seed", "1", "--out", "x.npy"], "--seed needs --sample"),
        (["decode", "BUNDLE", "two.npz", "--out", "x.npy"], "no array 'mean'; it has u, v"),
        (["encode", "BUNDLE", "flat.npy", "--out", "x.npy"], "must end in .npz"),
        (
            ["interpolate", "BUNDLE", "flat.npy", "flat.npy", "--out", "x.npy"],
            "flat.npy holds 3 examples",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_failed_command_prints_one_line_and_writes_nothing(bundle, tmp_path, monkeypatch, capsys, argv, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    np.save(tmp_path / "flat.npy", np.zeros((3, 784), np.float32))
    np.savez(tmp_path / "two.npz", u=np.zeros(1), v=np.zeros(1))
    assert message in fails(capsys, [str(bundle) if argument == "BUNDLE" else argument for argument in argv])
    assert not [name for name in tmp_path.iterdir() if name.name.endswith((".tmp", "x.npy"))]


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["paint"],
        ["sample"],
        ["sample", "BUNDLE", "--out", "x.npy", "-n", "0"],
        ["sample", "BUNDLE", "--out", "x.npy", "-n", "-3"],
        ["sample", "BUNDLE", "--out", "x.npy", "--seed", "-1"],
        ["sample", "BUNDLE", "--out", "x.npy", "--threads", "none"],
    ],
    ids=" ".join,
)
def test_wrong_call_prints_the_usage(capsys, argv):
    assert "usage: vaedge" in fails(capsys, argv, status=2)


@pytest.mark.parametrize(("command", "package"), [("train", "torch"), ("export", "torch")])
def test_missing_package_of_a_command_is_named_with_its_extra(command, package):
    code = (
        f"import sys; sys.modules[{package!r}] = None; from vaedge.cli.main import main; sys.exit(main([{command!r}]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"vaedge: {command} needs" in result.stderr
    assert f".[{command}]" in result.stderr


def test_warning_is_printed_as_one_line():
    code = """if True:
        import sys, warnings
        from vaedge.cli import info
        from vaedge.cli.main import main
        before = warnings.formatwarning
        info.run = lambda args: warnings.warn("the scales\\n  differ") or 0
        status = main(["info", "bundle"])
        sys.exit(status or warnings.formatwarning is not before)
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "warning: the scales differ\n")


def test_full_disk_leaves_the_old_file(bundle, tmp_path, monkeypatch, capsys):
    out = tmp_path / "samples.npy"
    out.write_bytes(b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vaedge.files.atomic.os.fsync", full)
    message = fails(capsys, ["sample", bundle, "--out", out])
    assert message == f"vaedge: {out}: No space left on device\n"
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


def test_interrupt_prints_one_line(bundle, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("vaedge._check.read_variants", interrupt)
    assert main(["check", str(bundle)]) == 130
    assert capsys.readouterr().err == "vaedge: interrupted\n"
