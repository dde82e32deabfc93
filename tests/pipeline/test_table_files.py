"""The commands read tables with classes, and can read the tables that they write."""

import numpy as np
import pytest
from data_files import NAMES, NUMBERS, SHAPES, SMALL, failure, labeled_rows, read_csv, vaedge_command, write_csv

import vaedge


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A folder with a table, and the bundle of a conditional model that was trained on the table."""
    folder = tmp_path_factory.mktemp("table")
    write_csv(folder / "x.csv", labeled_rows(), (*NAMES, "shape"))
    words = ("--likelihood", "gaussian", "--label-column", "shape", "--condition", "label")
    vaedge_command("train", "--dataset", folder / "x.csv", *words, *SMALL, "--out", folder / "run")
    vaedge_command("export", folder / "run", "--out", folder / "bundle")
    return folder


def test_manifest_has_the_names_of_columns_and_classes(table):
    manifest = vaedge.load(table / "bundle").manifest
    assert manifest.features == NAMES
    assert manifest.conditions["y"].classes == ("circle", "square", "triangle")


def test_labels_of_a_table_are_the_condition(table, tmp_path):
    vae = vaedge.load(table / "bundle")
    expected = vae.encode(NUMBERS, y=[("circle", "square", "triangle").index(shape) for shape in SHAPES]).mean
    words = ("encode", table / "bundle", table / "x.csv", "--label-column", "shape")
    vaedge_command(*words, "--out", tmp_path / "z.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "z.npz")["mean"], expected)
    vaedge_command(*words, "--condition", "y=circle", "--out", tmp_path / "z.npz")  # replaces the labels
    np.testing.assert_array_equal(np.load(tmp_path / "z.npz")["mean"], vae.encode(NUMBERS, y=0).mean)


def test_condition_takes_names_and_numbers_and_repeats_a_list(table, tmp_path):
    vae = vaedge.load(table / "bundle")
    words = ("sample", table / "bundle", "-n", 40, "--seed", 1, "--out", tmp_path / "x.npy")
    for value, y in (("square", 1), ("1", 1), ("square,circle,2", np.resize([1, 0, 2], 40))):
        vaedge_command(*words, "--condition", f"y={value}")
        np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), vae.sample(40, seed=1, y=y))


def test_tables_have_the_documented_columns(table, tmp_path):
    vae, bundle = vaedge.load(table / "bundle"), table / "bundle"
    source = (table / "x.csv", "--label-column", "shape")
    y = ("--condition", "y=circle")
    vaedge_command("sample", bundle, *y, "-n", 5, "--seed", 2, "--out", tmp_path / "x.csv")
    header, rows = read_csv(tmp_path / "x.csv")
    assert header == [*NAMES, "y"]
    assert {row.pop() for row in rows} == {"circle"}
    np.testing.assert_array_equal(np.array(rows, np.float32), vae.sample(5, seed=2, y=0))

    vaedge_command("encode", bundle, *source, *y, "--out", tmp_path / "e.csv")
    header, rows = read_csv(tmp_path / "e.csv")
    assert header == ["mean0", "mean1", "log_var0", "log_var1", "y"]
    assert {row.pop() for row in rows} == {"circle"}
    posterior = vae.encode(NUMBERS, y=0)
    np.testing.assert_array_equal(np.array(rows, np.float32), np.hstack([posterior.mean, posterior.log_var]))

    vaedge_command("decode", bundle, tmp_path / "e.csv", *y, "--out", tmp_path / "d.csv")
    header, rows = read_csv(tmp_path / "d.csv")
    assert header == [*NAMES, "y"]
    assert {row.pop() for row in rows} == {"circle"}
    np.testing.assert_array_equal(np.array(rows, np.float32), vae.decode(posterior.mean, y=0))

    vaedge_command("reconstruct", bundle, *source, "--sample", "--seed", 1, "--out", tmp_path / "r.csv")
    header, rows = read_csv(tmp_path / "r.csv")
    assert (header, len(rows)) == ([*NAMES, "y"], 40)
    vaedge_command("score", bundle, tmp_path / "r.csv", "--label-column", "y")

    vaedge_command(
        *("interpolate", bundle, table / "x.csv", *source, "--rows", 3, 5, *y),
        *("--steps", 4, "--out", tmp_path / "i.csv"),
    )
    header, rows = read_csv(tmp_path / "i.csv")
    expected = vae.interpolate(NUMBERS[3], NUMBERS[5], 4, y=0)
    np.testing.assert_array_equal(np.array(rows, np.float32), expected)

    vaedge_command("score", bundle, *source, *y, "-k", 3, "--out", tmp_path / "s.csv")
    header, rows = read_csv(tmp_path / "s.csv")
    assert header == ["index", "nats"]
    assert [int(row[0]) for row in rows] == list(range(40))
    np.testing.assert_array_equal([float(row[1]) for row in rows], vae.log_prob(NUMBERS, k=3, seed=0, y=0))


def test_failed_stream_leaves_no_table(table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vaedge.cli.sources.Mapped.take", lambda *_: (_ for _ in ()).throw(vaedge.InputError("late")))
    words = (table / "bundle", table / "x.csv", "--label-column", "shape", "--out", tmp_path / "e.csv")
    assert "late" in failure(capsys, "encode", *words)
    assert not list(tmp_path.iterdir())


ROW = [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("header", "rows", "words", "message"),
    [
        (NAMES, [ROW, [1.0, "two", 3.0]], (), "line 3, column 'weight (kg)': 'two' is not a number"),
        (NAMES, [ROW, [1.0, 2.0]], (), "line 3: the row has 2 fields; the header has 3 columns"),
        (NAMES, [ROW, [1.0, 2.0, ""]], (), "line 3, column 'age': the value is missing; fill it in"),
        (NAMES, [[1.0, "NA", 3.0]], (), "line 2, column 'weight (kg)': the value is missing ('NA')"),
        (NAMES, [[1.0, 2.0, "nan"]], (), "line 2, column 'age': the value is missing"),
        (NAMES, [[1.0, 2.0, "-inf"]], (), "line 2, column 'age': -inf is not a finite number"),
        (NAMES, [[1.0, 2.0, 1e300]], (), "line 2, column 'age': 1e+300 is not a finite number in float32"),
        (NAMES[:2], [ROW[:2]], (), "the column 'age' is missing; expected height, weight (kg), age"),
        ((*NAMES, "extra"), [[*ROW, 4.0]], (), "the model does not know the column 'extra'"),
        (NAMES[::-1], [ROW], (), "in another order: column 1 is 'age' instead of 'height'"),
        ((*NAMES, "shape"), [[*ROW, "hexagon"]], ("--label-column", "shape"), "'hexagon' is not a class of this model"),
        ((*NAMES, "shape"), [[*ROW, ""]], ("--label-column", "shape"), "line 2, column 'shape': the label is ''"),
        (NAMES, [ROW], ("--label-column", "shape"), "has no column 'shape'"),
        (
            NAMES,
            [ROW],
            ("--condition", "y=hexagon"),
            "'hexagon' is not a class of this model; expected one of 'circle'",
        ),
        (NAMES, [ROW], (), "this model takes the condition y, which is missing"),
        (NAMES, [ROW], ("--split", "train"), "--split train needs a .npz file with the arrays train and test; "),
    ],
)
def test_invalid_table_is_an_error(table, tmp_path, capsys, header, rows, words, message):
    path = write_csv(tmp_path / "x.csv", rows, header)
    assert message in failure(capsys, "encode", table / "bundle", path, *words, "--out", tmp_path / "z.npz")
    assert not (tmp_path / "z.npz").exists()


def test_reconstructions_of_a_table_can_be_scored_with_their_classes(table, tmp_path, capsys):
    words = ("reconstruct", table / "bundle", table / "x.csv", "--label-column", "shape", "--out", tmp_path / "r.csv")
    vaedge_command(*words)
    _, rows = read_csv(tmp_path / "r.csv")
    assert [row[3] for row in rows] == SHAPES
    vaedge_command("score", table / "bundle", tmp_path / "r.csv", "--label-column", "y")
    assert capsys.readouterr().out.count("NLL <=") == 1


def test_note_says_that_a_condition_replaces_the_labels(table, tmp_path, capsys):
    words = ("score", table / "bundle", table / "x.csv", "--label-column", "shape", "-k", "2")
    vaedge_command(*words)
    assert "note" not in capsys.readouterr().err
    vaedge_command(*words, "--condition", "y=circle")
    assert "note: --condition y replaces the labels of the examples" in capsys.readouterr().err


def test_interpolation_takes_the_class_of_both_examples(table, tmp_path, capsys):
    words = ("interpolate", table / "bundle", table / "x.csv", table / "x.csv", "--label-column", "shape")
    vaedge_command(*words, "--rows", 0, 3, "--out", tmp_path / "i.npy")
    expected = vaedge.load(table / "bundle").interpolate(NUMBERS[0], NUMBERS[3], 8, y="circle")
    np.testing.assert_array_equal(np.load(tmp_path / "i.npy"), expected)
    message = failure(capsys, *words, "--rows", 0, 1, "--out", tmp_path / "i.npy")
    assert (
        "the two examples have the classes circle and square; choose one class for all steps with --condition"
        in message
    )


def test_invalid_labels_of_an_archive_are_an_error(table, tmp_path, capsys):
    for y, message in (
        (np.zeros(39, int), "y is an array of int64 with shape (39,)"),
        (np.zeros(40), "y is an array of float64 with shape (40,)"),
    ):
        np.savez(tmp_path / "x.npz", x=NUMBERS, y=y)
        text = failure(capsys, "encode", table / "bundle", tmp_path / "x.npz", "--out", tmp_path / "z.npz")
        assert message in text
        assert "labels as the arrays train_labels and test_labels, or the array y beside x" in text
    np.savez(tmp_path / "x.npz", x=NUMBERS, y=np.full(40, 3))
    text = failure(capsys, "encode", table / "bundle", tmp_path / "x.npz", "--out", tmp_path / "z.npz")
    assert "expected integers from 0 to 2, or the names 'circle', 'square', 'triangle'" in text


def test_next_command_of_a_conditional_model_gives_a_class(table, tmp_path, capsys):
    vaedge_command("export", table / "run", "--out", tmp_path / "bundle")
    assert "--condition y=circle --out samples.csv" in capsys.readouterr().out


def test_samples_of_a_class_of_a_table_are_like_its_rows(tmp_path):
    """The classes in the file are not in alphabetical order. The test would fail if their numbers were mixed up."""
    level = {"square": 300.0, "circle": -100.0}
    rng = np.random.default_rng(0)
    rows = [[*(level[name] + rng.standard_normal(2)), name] for name in ("square", "circle") * 150]
    write_csv(tmp_path / "x.csv", rows, ("a", "b", "shape"))
    words = ("--label-column", "shape", "--condition", "label", "--likelihood", "gaussian")
    vaedge_command(
        *("train", "--dataset", tmp_path / "x.csv", *words, "--hidden", 16, "--latent", 1, "--epochs", 40),
        *("--batch-size", 64, "--learning-rate", 0.02, "--out", tmp_path / "run"),
    )
    vaedge_command("export", tmp_path / "run", "--out", tmp_path / "bundle")
    condition = ("--condition", "y=circle,square")
    vaedge_command("sample", tmp_path / "bundle", "-n", 40, *condition, "--seed", 0, "--out", tmp_path / "s.csv")
    x = np.array([row[:2] for row in read_csv(tmp_path / "s.csv")[1]], float)
    assert (x[::2] < 0).all()
    assert (x[1::2] > 200).all()
