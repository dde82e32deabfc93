"""The command `vaedge export`."""

import subprocess
import sys

import pytest

import vaedge
from vaedge.cli.main import main


def test_command_writes_variants_a_note_and_a_model_repository(run, tmp_path, capsys):
    out, repository = tmp_path / "digits", tmp_path / "repository"
    words = ["export", str(run.path), "--out", str(out), "--variants", "fp32, int4", "--allow-loss", "1000"]
    assert main([*words, "--note", "A | note.", "--triton", str(repository)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "quantizing to int4 and measuring its loss" in printed
    assert printed[-2:] == [
        f"{repository}: model repository for Triton",
        f"{out}: exported and verified; next: vaedge sample {out} --out samples.png",
    ]
    assert vaedge.load(out, variant="int4").sample(2).shape == (2, 1, 28, 28)
    assert vaedge.check(out).passed
    assert (repository / "digits_encoder" / "1" / "model.onnx").is_file()
    card = (out / "README.md").read_text()
    assert r"| note | A \| note. |" in card
    expected = "vaedge export runs/digits --out models/digits --variants int4 --allow-loss 1000 --note 'A | note.'"
    assert expected in card


def test_failed_export_prints_one_line(run, tmp_path, capsys):
    words = ["export", str(run.path), "--out", str(tmp_path / "b"), "--variants", "int2"]
    assert main(words) == 1
    assert capsys.readouterr().err == "vaedge: variant is 'int2'; expected one of fp32, fp16, int8, int4\n"
    assert main(["export", str(tmp_path / "missing"), "--out", str(tmp_path / "b")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "words",
    [[], ["run"], ["--out", "x"], ["--upgrade", "b", "--out", "x"], ["run", "--upgrade", "b"]],
)
def test_incomplete_call_is_a_usage_error(words):
    with pytest.raises(SystemExit) as caught:
        main(["export", *words])
    assert caught.value.code == 2


FULL_DISK = """
import resource, signal, sys
from vaedge.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
sys.exit(main(["export", {run!r}, "--out", {out!r}]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file-size limits are POSIX")
def test_command_on_a_full_disk_prints_one_line_and_leaves_nothing(run, tmp_path):
    """The test simulates a full disk with a limit on the size of files. The write of the larger graph fails."""
    out = tmp_path / "out" / "bundle"
    code = FULL_DISK.format(limit=150_000, run=str(run.path), out=str(out))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    assert result.stderr.startswith("vaedge: cannot write")
    assert result.stderr.count("\n") == 1
    assert list(out.parent.iterdir()) == []
