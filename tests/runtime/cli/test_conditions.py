"""Conditions on the command line: labels in a column, grids with a column per class, and class names with commas."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import vaedge
from vaedge.cli.conditions import class_names
from vaedge.cli.main import main
from vaedge.cli.output import Output

NAMES = "'red, dark', 'blue', 'green'"


@pytest.fixture(scope="module")
def table(table_bundle):
    return vaedge.load(table_bundle)


def succeed(*words):
    assert main([str(word) for word in words]) == 0


def failure(capsys, *words):
    assert main([str(word) for word in words]) == 1
    return capsys.readouterr().err


def read_csv(path):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


@pytest.mark.parametrize(
    ("value", "y"),
    [
        ("red, dark", [0, 0, 0]),
        ('"red, dark"', [0, 0, 0]),
        ('"red, dark",blue,green', [0, 1, 2]),
        ('green, "red, dark", 1', [2, 0, 1]),
        ("blue,2", [1, 2, 1]),
    ],
)
def test_names_that_hold_commas_are_quoted(table_bundle, table, tmp_path, value, y):
    out = tmp_path / "x.npy"
    succeed("sample", table_bundle, "-n", 3, "--seed", 1, "--condition", f"y={value}", "--out", out)
    np.testing.assert_array_equal(np.load(out), table.sample(3, seed=1, y=y))


def test_names_in_a_file_are_classes(table_bundle, table, tmp_path):
    np.save(tmp_path / "y.npy", ["green", "red, dark", "blue"])
    for suffix in ("npy", "csv"):
        out = tmp_path / f"x.{suffix}"
        succeed(*("sample", table_bundle, "-n", 3, "--seed", 1, "--condition", f"y={tmp_path / 'y.npy'}", "--out", out))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), table.sample(3, seed=1, y=[2, 0, 1]))
    assert [row[-1] for row in read_csv(tmp_path / "x.csv")[1]] == ["green", "red, dark", "blue"]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            "y=red, dark,blue",
            f"y: 'red' is not a class of this model; expected one of {NAMES}, or a number from 0 to 2",
        ),
        ("y=", f"y: '' is not a class of this model; expected one of {NAMES}"),
        ('y="blue', "expected values with commas between them, and double quotes around a name that holds commas"),
        ("z=1", "--condition 'z=1': expected NAME=VALUE, where NAME is one of: y"),
    ],
)
def test_invalid_condition_is_refused(table_bundle, tmp_path, capsys, condition, message):
    words = ("sample", table_bundle, "-n", 3, "--condition", condition, "--out", tmp_path / "x.npy")
    assert message in failure(capsys, *words)
    assert not list(tmp_path.iterdir())


def test_condition_of_a_model_without_conditions_is_refused(bundle, tmp_path, capsys):
    message = failure(capsys, "sample", bundle, "--condition", "y=1", "--out", tmp_path / "x.npy")
    assert "--condition 'y=1': this model has no conditions; remove the option" in message


def test_help_explains_the_quotes(capsys):
    with pytest.raises(SystemExit):
        main(["sample", "--help"])
    assert "'y=\"red, dark\",blue'" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("options", [(), ("--draw",)])
def test_table_of_samples_names_the_classes_and_is_read_back(table_bundle, table, tmp_path, options):
    x, q = tmp_path / "x.csv", tmp_path / "q.npz"
    condition = ("--condition", 'y="red, dark",green')
    succeed("sample", table_bundle, "-n", 3000, "--seed", 1, *condition, *options, "--out", x)
    header, rows = read_csv(x)
    assert header == ["height", "weight (kg)", "y"]
    y = np.resize([0, 2], 3000)
    assert [row[2] for row in rows] == [("red, dark", "blue", "green")[number] for number in y]
    samples = table.sample(3000, seed=1, y=y, draw=bool(options))
    np.testing.assert_array_equal(np.array([row[:2] for row in rows], np.float32), samples)
    succeed("encode", table_bundle, x, "--label-column", "y", "--out", q)
    np.testing.assert_array_equal(np.load(q)["mean"], table.encode(samples, y=y).mean)


@pytest.fixture
def encoded(table_bundle, tmp_path):
    """Path of a .csv file that `vaedge encode` wrote: six latents, each with its class."""
    x, e = tmp_path / "x.csv", tmp_path / "e.csv"
    succeed("sample", table_bundle, "-n", 6, "--condition", 'y=blue,"red, dark"', "--out", x)
    succeed("encode", table_bundle, x, "--label-column", "y", "--out", e)
    return e


def test_decode_takes_the_classes_that_encode_writes(table_bundle, table, tmp_path, capsys, encoded):
    z = np.array([row[:2] for row in read_csv(encoded)[1]], np.float32)
    words = ("decode", table_bundle, encoded, "--out", tmp_path / "d.csv")
    succeed(*words)
    header, rows = read_csv(tmp_path / "d.csv")
    assert header == ["height", "weight (kg)", "y"]
    assert [row[2] for row in rows] == ["blue", "red, dark"] * 3
    np.testing.assert_array_equal(np.array([row[:2] for row in rows], np.float32), table.decode(z, y=[1, 0] * 3))
    assert not capsys.readouterr().err
    succeed(*words, "--condition", "y=green")
    assert {row[2] for row in read_csv(tmp_path / "d.csv")[1]} == {"green"}
    assert "note: --condition y replaces the labels of the examples" in capsys.readouterr().err


def test_decode_takes_the_classes_of_the_label_column(table_bundle, table, tmp_path, capsys, encoded):
    header, rows = read_csv(encoded)
    header[-1] = "kind"
    with encoded.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    words = ("decode", table_bundle, encoded, "--out", tmp_path / "d.npy")
    message = failure(capsys, *words)
    assert "the condition y, which is missing; give --condition y=VALUE; or give --label-column for a .csv" in message
    succeed(*words, "--label-column", "kind")
    z = np.array([row[:2] for row in rows], np.float32)
    np.testing.assert_array_equal(np.load(tmp_path / "d.npy"), table.decode(z, y=[1, 0] * 3))


def test_decode_refuses_the_label_column_of_an_array(table_bundle, tmp_path, capsys):
    np.save(tmp_path / "z.npy", np.zeros((3, 2), np.float32))
    words = ("decode", table_bundle, tmp_path / "z.npy", "--label-column", "y", "--out", tmp_path / "d.npy")
    assert "z.npy has no columns, but --label-column was given" in failure(capsys, *words)


def test_column_of_a_condition_differs_from_the_features(table_bundle, tmp_path):
    changed = shutil.copytree(table_bundle, tmp_path / "changed")
    manifest = json.loads((changed / "manifest.json").read_text())
    manifest["input"]["features"] = ["y", "weight"]
    (changed / "manifest.json").write_text(json.dumps(manifest))
    succeed("sample", changed, "-n", 2, "--condition", "y=blue", "--out", tmp_path / "x.csv")
    header, rows = read_csv(tmp_path / "x.csv")
    assert header == ["y", "weight", "y_"]
    assert [row[2] for row in rows] == ["blue", "blue"]
    succeed("score", changed, tmp_path / "x.csv", "--label-column", "y_", "-k", 2)


def test_numbers_have_a_column_for_each_element(table, tmp_path):
    conditions = {"age": vaedge.Condition("float32"), "place": vaedge.Condition("float32", (2,))}
    names = Output.of(tmp_path / "x.csv", ".csv").column_names(
        replace(table.manifest, conditions=conditions), conditions=True
    )
    assert names == ("height", "weight (kg)", "age", "place0", "place1")
    places = np.ones((3, 2), np.float32)
    assert class_names(places, conditions["place"]) is places
