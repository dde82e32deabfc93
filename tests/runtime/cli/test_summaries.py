"""The output of `vaedge info` and `vaedge score`, and the messages of `--skip-broken` about broken images."""

import json
import re

import numpy as np
import pytest

import vaedge
from vaedge.cli.main import main
from vaedge.files.examples import read_examples


def output(capsys, *words):
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr()


def test_info_names_the_columns(table_bundle, bundle, capsys):
    assert "columns of x  2: height, weight (kg)\n" in output(capsys, "info", table_bundle).out
    assert "columns of x" not in output(capsys, "info", bundle).out


def test_info_shortens_a_long_list_of_columns(table_bundle, tmp_path, capsys):
    manifest = json.loads((table_bundle / "manifest.json").read_text())
    manifest["input"] |= {"shape": [500], "features": [f"column {index}" for index in range(500)]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (line,) = (line for line in output(capsys, "info", tmp_path).out.splitlines() if line.startswith("columns of x"))
    assert "500: column 0, column 1, " in line
    assert line.endswith("...")
    assert len(line) < 400


def test_info_states_the_encoding(edit_manifest, bundle, capsys):
    encoded = edit_manifest(lambda tree: tree["input"].update(encoding={"dtype": "uint8", "scale": 255}))
    assert "(1, 28, 28) float32 in [0, 1], or uint8 divided by 255\n" in output(capsys, "info", encoded).out
    assert "uint8" not in output(capsys, "info", bundle).out


def test_info_escapes_control_characters(edit_manifest, capsys):
    command = "vaedge train \x1b[2J \u202e --note naïve"
    edited = edit_manifest(lambda tree: tree["training"].update(command=command))
    printed = output(capsys, "info", edited).out
    assert r"vaedge train \x1b[2J \u202e --note naïve" in printed
    assert all(line.isprintable() for line in printed.splitlines())


def test_score_names_the_lines_of_a_table(table_bundle, tmp_path, capsys):
    text = 'height,"weight (kg)",kind\n0,0,blue\n"1\n",0,blue\n9000,0,blue\n0,0,blue\n'
    (tmp_path / "x.csv").write_text(text)
    words = ("score", table_bundle, tmp_path / "x.csv", "--label-column", "kind", "-k", 2)
    (lowest,) = (line for line in output(capsys, *words).out.splitlines() if line.startswith("lowest: "))
    # Rows are numbered from 0. The row before row 2 takes two lines, because a field contains a line break.
    assert lowest.startswith("lowest: row 2 in line 5 (")


@pytest.mark.parametrize("suffix", ["npy", "csv"])
def test_score_prints_the_summary_also_when_it_writes_a_file(table_bundle, tmp_path, capsys, suffix):
    np.save(tmp_path / "x.npy", np.arange(8, dtype=np.float32).reshape(4, 2))
    words = ("score", table_bundle, tmp_path / "x.npy", "--condition", "y=0", "-k", 2)
    summary = output(capsys, *words).out.splitlines()
    assert [line.split()[0] for line in summary] == ["NLL", "log", "lowest:"]
    assert "row 3 (" in summary[2]
    out = tmp_path / f"nats.{suffix}"
    assert output(capsys, *words, "--out", out).out.splitlines() == [*summary, f"{out}: 4 examples"]


@pytest.fixture
def images(edit_manifest, tmp_path):
    """Return (bundle, folder). The folder holds three valid images, one too small image, and one broken image."""
    pillow = pytest.importorskip("PIL.Image")
    bundle = edit_manifest(lambda tree: tree["likelihood"].update(name="bernoulli"))
    folder = tmp_path / "images"
    folder.mkdir()
    for name, size in (("a", 28), ("b", 28), ("c", 28), ("small", 20)):
        pillow.new("L", (size, size)).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    return bundle, folder


COMMANDS = {
    "score": (),
    "encode": ("--out", "q.npz"),
    "encode shards": ("--out", "q"),
    "reconstruct": ("--out", "y.npy"),
    "reconstruct grid": ("--out", "y.png"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_broken_images_are_left_out_on_demand_and_counted_at_the_end(images, tmp_path, capsys, monkeypatch, command):
    bundle, folder = images
    monkeypatch.chdir(tmp_path)
    words = [command.split()[0], str(bundle), str(folder), *COMMANDS[command]]
    assert main(words) == 1
    message = capsys.readouterr().err
    assert "broken.png cannot be read as an image" in message
    assert message.endswith("; --skip-broken leaves out images that cannot be read\n")
    # Collect stdout and stderr together, in the order in which a terminal shows them.
    shown = []
    monkeypatch.setattr("sys.stdout.write", shown.append)
    monkeypatch.setattr("sys.stderr.write", shown.append)
    assert main([*words, "--skip-broken"]) == 0
    lines = "".join(shown).splitlines()
    assert lines[0].startswith(f"skipped: {folder / 'broken.png'} cannot be read")
    assert lines[-1] == f"{folder}: 2 of 5 images were left out"


def test_command_without_the_option_does_not_advise_it(images, tmp_path, capsys):
    bundle, folder = images
    words = ["interpolate", str(bundle), str(folder), str(folder), "--rows", "0", "1"]
    assert main([*words, "--out", str(tmp_path / "y.npy")]) == 1
    message = capsys.readouterr().err
    assert "broken.png cannot be read as an image" in message
    assert "--skip-broken" not in message


def test_folder_of_images_for_a_model_of_tables_is_refused(images, table_bundle, tmp_path, capsys):
    words = ["encode", str(table_bundle), str(images[1]), "--out", str(tmp_path / "q.npz")]
    assert main(words) == 1
    message = capsys.readouterr().err
    assert (
        "images holds images, but this model takes tables with the columns height, weight (kg); give a .csv" in message
    )
    assert "--skip-broken" not in message
    words[2] += "/a.png"
    assert main(words) == 1
    assert "a.png is an image, but this model takes tables with the columns height" in capsys.readouterr().err


@pytest.mark.parametrize("array", [np.zeros((3, 8, 8), np.uint8), np.zeros((3, 5), np.float32)])
def test_array_of_another_shape_for_a_model_of_tables_is_refused(table_bundle, tmp_path, capsys, array):
    np.save(tmp_path / "x.npy", array)
    assert main(["score", str(table_bundle), str(tmp_path / "x.npy")]) == 1
    expected = f"x.npy holds an array of shape {array.shape}, but this model takes tables with "
    assert f"{expected}the columns height, weight (kg); give a .csv or .npy file" in capsys.readouterr().err
    with pytest.raises(vaedge.InputError, match=re.escape(f"{expected}2 columns; give a .csv or .npy file")):
        read_examples(tmp_path / "x.npy", (2,))


def test_table_is_not_written_as_images(table_bundle, tmp_path, capsys):
    pytest.importorskip("PIL.Image")
    words = ["sample", str(table_bundle), "--condition", "y=blue", "--out", str(tmp_path / "x.png")]
    assert main(words) == 1
    assert "examples of shape (2,) cannot be shown as images; write a .csv or .npy file" in capsys.readouterr().err
