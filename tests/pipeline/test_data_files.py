"""Every command reads the files that `vaedge train` reads, and the commands read the files that they write."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

import vaedge
from vaedge.cli.main import main
from vaedge.files.examples import ReadOptions, read_examples
from vaedge_train import TrainConfig
from vaedge_train.data.examples import scale
from vaedge_train.dataset import load_dataset

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 8, 8)).astype(np.uint8)
COLORS = RNG.integers(0, 256, (40, 3, 8, 8)).astype(np.uint8)
NUMBERS = RNG.standard_normal((40, 3)).astype(np.float32)
NAMES = ("height", "weight (kg)", "age")
SHAPES = [("circle", "square", "triangle")[index % 3] for index in range(40)]
SMALL = ("--epochs", "1", "--hidden", "8", "--latent", "2")


def vaedge_command(*words):
    assert main([str(word) for word in words]) == 0


def failure(capsys, *words):
    assert main([str(word) for word in words]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def write_csv(path, rows, header=NAMES):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read_csv(path):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


def save_images(folder, images):
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image if image.ndim == 2 else image.transpose(1, 2, 0)).save(folder / f"{index:02}.png")
    return folder


def save_npy(array):
    def save(folder):
        np.save(folder / "x.npy", array)
        return folder / "x.npy"

    return save


def save_npz(**arrays):
    def save(folder):
        np.savez(folder / "x.npz", **arrays)
        return folder / "x.npz"

    return save


def labeled_rows():
    return [[*row, shape] for row, shape in zip(NUMBERS.tolist(), SHAPES, strict=True)]


# Dict from a kind of file to a function that writes it, further arguments of `train`, arguments of `encode`, and the
# number of examples.
FILES = {
    "gray images": (lambda folder: save_images(folder / "images", PIXELS), (), (), 40),
    "color images": (lambda folder: save_images(folder / "images", COLORS), (), (), 40),
    "float array": (save_npy(NUMBERS), ("--likelihood", "gaussian"), (), 40),
    "float64 array": (save_npy(NUMBERS.astype(np.float64)), ("--likelihood", "gaussian"), (), 40),
    "8-bit rows": (save_npy(PIXELS.reshape(40, 64)), (), (), 40),
    "8-bit gray images": (save_npy(PIXELS), (), (), 40),
    "8-bit color images": (save_npy(COLORS), (), (), 40),
    "test part": (save_npz(train=PIXELS[:30], test=PIXELS[30:]), (), (), 10),
    "train part": (save_npz(train=PIXELS[:30], test=PIXELS[30:]), (), ("--split", "train"), 30),
    "array x": (save_npz(x=PIXELS, other=PIXELS[:3]), (), (), 40),
    "one array": (save_npz(anything=PIXELS), (), (), 40),
    "labeled array": (save_npz(x=PIXELS, y=np.arange(40) % 3), ("--condition", "label"), (), 40),
    "labeled parts": (
        save_npz(train=PIXELS, test=PIXELS[30:], train_labels=np.arange(40) % 3, test_labels=np.arange(10) % 3),
        ("--condition", "label"),
        (),
        10,
    ),
    "table": (lambda folder: write_csv(folder / "x.csv", NUMBERS.tolist()), ("--likelihood", "gaussian"), (), 40),
    "labeled table": (
        lambda folder: write_csv(folder / "x.csv", labeled_rows(), (*NAMES, "shape")),
        ("--likelihood", "gaussian", "--condition", "label", "--label-column", "shape"),
        ("--label-column", "shape"),
        40,
    ),
}


@pytest.fixture(scope="module")
def export_once(tmp_path_factory):
    """A function that exports a run. Runs whose configurations differ only in the path of the data share a bundle."""
    folder = tmp_path_factory.mktemp("bundles")
    bundles = {}

    def export(run):
        config = json.loads((run / "config.json").read_text())
        key = json.dumps({name: value for name, value in config.items() if name != "dataset"})
        if key not in bundles:
            bundles[key] = folder / str(len(bundles))
            vaedge_command("export", run, "--out", bundles[key])
        return bundles[key]

    return export


@pytest.mark.parametrize("kind", FILES)
def test_every_file_that_train_reads_is_read_by_encode(kind, tmp_path, export_once):
    save, train_words, words, count = FILES[kind]
    path = save(tmp_path)
    vaedge_command("train", "--dataset", path, *train_words, *SMALL, "--out", tmp_path / "run")
    bundle = export_once(tmp_path / "run")
    vaedge_command("encode", bundle, path, *words, "--out", tmp_path / "z.npz")
    with np.load(tmp_path / "z.npz") as archive:
        assert archive["mean"].shape == archive["log_var"].shape == (count, 2)
    vaedge_command("reconstruct", bundle, path, *words, "--out", tmp_path / "x.npy")
    assert len(np.load(tmp_path / "x.npy")) == count


@pytest.mark.parametrize("kind", ["gray images", "8-bit gray images", "test part", "table"])
def test_training_and_runtime_read_the_same_values(kind, tmp_path):
    save, *_ = FILES[kind]
    path = save(tmp_path)
    gaussian = {"likelihood": "gaussian"} if kind == "table" else {}
    dataset = load_dataset(TrainConfig(dataset=path, **gaussian))
    x = read_examples(path, dataset.input_shape).x
    x = np.divide(x, 255, dtype=np.float32) if x.dtype == np.uint8 else x
    known = {row.tobytes() for row in x}
    assert all(scale(row).numpy().tobytes() in known for row in dataset.test.x)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with gray images, and the bundle of a model of them."""
    folder = tmp_path_factory.mktemp("images")
    save_images(folder / "images", PIXELS)
    vaedge_command(
        "train", "--dataset", folder / "images", "--likelihood", "discretized_logistic", *SMALL, "--out", folder / "run"
    )
    vaedge_command("export", folder / "run", "--out", folder / "bundle")
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A folder with a table, and the bundle of a conditional model of it."""
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
    vaedge_command(*words, "--condition", "y=circle", "--out", tmp_path / "z.npz")  # --condition wins
    np.testing.assert_array_equal(np.load(tmp_path / "z.npz")["mean"], vae.encode(NUMBERS, y=0).mean)


def test_condition_takes_names_and_numbers_and_starts_again(table, tmp_path):
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


def test_score_names_images_and_prints_a_summary(images, tmp_path, capsys):
    words = ("score", images / "bundle", images / "images", "-k", 3)
    vaedge_command(*words, "--out", tmp_path / "s.csv")
    header, rows = read_csv(tmp_path / "s.csv")
    assert header == ["file", "nats"]
    nats = {name: float(value) for name, value in rows}
    assert sorted(nats) == [f"{index:02}.png" for index in range(40)]
    capsys.readouterr()
    vaedge_command(*words)
    mean, quantiles, lowest = capsys.readouterr().out.splitlines()
    assert mean.startswith("NLL <= ")
    for percent, value in zip(
        (5, 25, 50, 75, 95), np.percentile(list(nats.values()), (5, 25, 50, 75, 95)), strict=True
    ):
        assert f"{value:.3f} ({percent} %)" in quantiles
    expected = ", ".join(f"{name} ({nats[name]:.3f})" for name in sorted(nats, key=nats.get)[:5])
    assert lowest == f"lowest: {expected}"


def test_table_of_images_is_refused(images, tmp_path, capsys):
    for command, source in (("sample", ()), ("reconstruct", (images / "images",))):
        message = failure(capsys, command, images / "bundle", *source, "--out", tmp_path / "x.csv")
        assert "examples of shape (1, 8, 8) are not rows of a table" in message
    write_csv(tmp_path / "y.csv", NUMBERS.tolist())
    message = failure(capsys, "encode", images / "bundle", tmp_path / "y.csv", "--out", tmp_path / "z.npz")
    assert "y.csv is a table, but this model's examples have the shape (1, 8, 8)" in message
    assert [path.name for path in tmp_path.iterdir()] == ["y.csv"]


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
        ((*NAMES, "extra"), [[*ROW, 4.0]], (), "it does not know the column 'extra'"),
        (NAMES[::-1], [ROW], (), "in another order, column 1 is 'age' instead of 'height'"),
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
        (NAMES, [ROW], ("--split", "train"), "x.csv has no parts, but --split asks for 'train'"),
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


def test_rows_of_encoded_images_have_their_files(images, tmp_path):
    vaedge_command("encode", images / "bundle", images / "images", "--out", tmp_path / "e.csv")
    header, rows = read_csv(tmp_path / "e.csv")
    assert header[0] == "file"
    assert [row[0] for row in rows] == [f"{index:02}.png" for index in range(40)]
    vaedge_command("encode", images / "bundle", images / "images", "--out", tmp_path / "e.npz")
    assert np.load(tmp_path / "e.npz")["files"].tolist() == [row[0] for row in rows]
    vaedge_command("decode", images / "bundle", tmp_path / "e.csv", "--out", tmp_path / "d.npy")
    assert np.load(tmp_path / "d.npy").shape == (40, 1, 8, 8)


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
    assert "the two examples have the classes circle and square; choose one for all steps with --condition" in message


@pytest.mark.parametrize("shape", [(8, 6, 7, 3), (8, 6, 7, 1)])
def test_images_with_channels_last_are_refused(tmp_path, capsys, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape, np.uint8))
    message = failure(capsys, "train", "--dataset", tmp_path / "x.npy", *SMALL, "--out", tmp_path / "run")
    assert "expected images as (n, channels, height, width): use x.transpose(0, 3, 1, 2)" in message


def test_classes_without_examples_are_named(tmp_path):
    np.savez(tmp_path / "x.npz", x=PIXELS, y=np.resize([1, 2, 7], 40))
    words = ("train", "--dataset", tmp_path / "x.npz", "--condition", "label", *SMALL, "--out", tmp_path / "run")
    with pytest.warns(UserWarning, match="5 of 8 classes have no training examples: 0, 3, 4, 5, 6; the model learns"):
        vaedge_command(*words)


def test_archive_with_one_part_says_what_to_do(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", train=PIXELS, train_labels=np.zeros(40, int))
    message = failure(capsys, "train", "--dataset", tmp_path / "x.npz", *SMALL, "--out", tmp_path / "run")
    assert "To train on train alone, name it x; other commands read it with --split train" in message


def test_split_that_a_file_does_not_have_is_an_error(images, tmp_path, capsys):
    words = ("--out", tmp_path / "z.npz")
    np.savez(tmp_path / "x.npz", train=PIXELS, valid=PIXELS)
    for options, message in (
        (("--split", "test"), "x.npz has the arrays train, valid, and no array 'test', which --split asks for"),
        ((), "x.npz has the arrays train, valid; expected train and test, or x. Labels are train_labels and"),
    ):
        assert message in failure(capsys, "encode", images / "bundle", tmp_path / "x.npz", *options, *words)


def test_invalid_labels_of_an_archive_are_an_error(table, tmp_path, capsys):
    for y, message in (
        (np.zeros(39, int), "y is an array of int64 with shape (39,)"),
        (np.zeros(40), "y is an array of float64 with shape (40,)"),
    ):
        np.savez(tmp_path / "x.npz", x=NUMBERS, y=y)
        text = failure(capsys, "encode", table / "bundle", tmp_path / "x.npz", "--out", tmp_path / "z.npz")
        assert message in text
        assert "Labels are train_labels and test_labels beside train and test, or y beside x" in text
    np.savez(tmp_path / "x.npz", x=NUMBERS, y=np.full(40, 3))
    text = failure(capsys, "encode", table / "bundle", tmp_path / "x.npz", "--out", tmp_path / "z.npz")
    assert "expected integers from 0 to 2, or the names 'circle', 'square', 'triangle'" in text


def test_eight_bit_data_of_a_model_of_floats_is_an_error(tmp_path, capsys):
    np.save(tmp_path / "floats.npy", PIXELS.reshape(40, 64) / np.float32(255))
    np.save(tmp_path / "bytes.npy", PIXELS.reshape(40, 64))
    vaedge_command("train", "--dataset", tmp_path / "floats.npy", *SMALL, "--out", tmp_path / "run")
    vaedge_command("export", tmp_path / "run", "--out", tmp_path / "bundle")
    text = failure(capsys, "encode", tmp_path / "bundle", tmp_path / "bytes.npy", "--out", tmp_path / "z.npz")
    assert "x is an array of uint8; expected float32; scale pixels of 0..255" in text


def test_broken_images_are_left_out_on_demand(images, tmp_path, capsys):
    folder = save_images(tmp_path / "images", PIXELS[:4])
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    Image.new("RGBA", (8, 8), (0, 0, 0, 100)).save(folder / "clear.png")
    words = ("encode", images / "bundle", folder, "--out", tmp_path / "z.npz")
    assert "broken.png cannot be read as an image" in failure(capsys, *words)
    vaedge_command(*words, "--skip-broken")
    printed = capsys.readouterr().err
    assert f"skipped: {folder / 'broken.png'}" in printed
    assert f"skipped: {folder / 'clear.png'} has transparent parts" in printed
    assert "2 of 6 images were left out" in printed
    assert len(np.load(tmp_path / "z.npz")["mean"]) == 4
    for name in ("broken.png", "clear.png"):
        (folder / name).rename(tmp_path / name)
        text = failure(capsys, "encode", images / "bundle", tmp_path / name, "--skip-broken", *words[3:])
        assert "is not a folder of images" in text


@pytest.mark.parametrize(("color", "level"), [("white", 255), ("black", 0), ("100,100,100", 100)])
def test_transparent_images_are_composited_alike_in_training_and_runtime(tmp_path, color, level):
    for index in range(4):
        Image.fromarray(np.full((8, 8, 2), (200, 0), np.uint8), "LA").save(tmp_path / f"{index}.png")
    dataset = load_dataset(TrainConfig(dataset=tmp_path, background=color))
    assert dataset.input_shape == (1, 8, 8)
    assert (dataset.train.x == level).all()
    options = ReadOptions(background=tuple([level] * 3))
    np.testing.assert_array_equal(read_examples(tmp_path, (1, 8, 8), options).x, np.float32(level) / np.float32(255))


def test_class_of_an_image_is_its_first_subfolder(tmp_path):
    for name in ("square", "circle"):
        save_images(tmp_path / name, PIXELS[:2])
    examples = read_examples(tmp_path, (1, 8, 8))
    assert examples.labels == ("circle", "circle", "square", "square")
    assert examples.names == ("circle/00.png", "circle/01.png", "square/00.png", "square/01.png")


@pytest.mark.parametrize("kind", ["gray images", "table", "float volume"])
def test_next_command_fits_the_data(kind, tmp_path, capsys):
    save, words, suffix = {
        "gray images": (FILES["gray images"][0], (), ".png"),
        "table": (FILES["table"][0], ("--likelihood", "gaussian"), ".csv"),
        "float volume": (save_npy(RNG.random((40, 2, 3)).astype(np.float32)), (), ".npy"),
    }[kind]
    vaedge_command("train", "--dataset", save(tmp_path), *words, *SMALL, "--out", tmp_path / "run")
    capsys.readouterr()
    vaedge_command("export", tmp_path / "run", "--out", tmp_path / "bundle")
    command = capsys.readouterr().out.split("next: ")[1].split()
    assert command == ["vaedge", "sample", str(tmp_path / "bundle"), "--out", f"samples{suffix}"]
    vaedge_command(*command[1:-1], tmp_path / command[-1])


def test_next_command_of_a_conditional_model_gives_a_class(table, tmp_path, capsys):
    vaedge_command("export", table / "run", "--out", tmp_path / "bundle")
    assert "--condition y=circle --out samples.csv" in capsys.readouterr().out


def test_samples_of_a_class_of_a_table_are_like_its_rows(tmp_path):
    """The classes are not in alphabetical order in the file, so the test fails if their numbers are exchanged."""
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
