"""Every command reads the files that `vaedge train` reads: arrays, images, and tables."""

import json

import numpy as np
import pytest
from data_files import (
    COLORS,
    NAMES,
    NUMBERS,
    PIXELS,
    RNG,
    SMALL,
    failure,
    labeled_rows,
    read_csv,
    save_images,
    vaedge_command,
    write_csv,
)
from PIL import Image

from vaedge.files.examples import ReadOptions, read_examples
from vaedge_train import TrainConfig
from vaedge_train.data.examples import scale
from vaedge_train.dataset import load_dataset


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


# Dict from a kind of file to four values: a function that writes the file, further arguments of `train`, arguments of
# `encode`, and the number of examples that `encode` reads.
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
    """Return a function that exports a run. Runs that differ only in the path of the data share one bundle."""
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
    vaedge_command("reconstruct", bundle, path, *words, "--out", tmp_path / "reconstructions.npy")
    assert len(np.load(tmp_path / "reconstructions.npy")) == count


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
    """A folder with gray images, and the bundle of a model that was trained on them."""
    folder = tmp_path_factory.mktemp("images")
    save_images(folder / "images", PIXELS)
    vaedge_command(
        "train", "--dataset", folder / "images", "--likelihood", "discretized_logistic", *SMALL, "--out", folder / "run"
    )
    vaedge_command("export", folder / "run", "--out", folder / "bundle")
    return folder


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


def test_rows_of_encoded_images_have_their_files(images, tmp_path):
    vaedge_command("encode", images / "bundle", images / "images", "--out", tmp_path / "e.csv")
    header, rows = read_csv(tmp_path / "e.csv")
    assert header[0] == "file"
    assert [row[0] for row in rows] == [f"{index:02}.png" for index in range(40)]
    vaedge_command("encode", images / "bundle", images / "images", "--out", tmp_path / "e.npz")
    assert np.load(tmp_path / "e.npz")["files"].tolist() == [row[0] for row in rows]
    vaedge_command("decode", images / "bundle", tmp_path / "e.csv", "--out", tmp_path / "d.npy")
    assert np.load(tmp_path / "d.npy").shape == (40, 1, 8, 8)


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
    assert (
        "To train on the array 'train', rename it to x. Commands with the option --split can read it without a new name"
        in message
    )


def test_split_that_a_file_does_not_have_is_an_error(images, tmp_path, capsys):
    words = ("--out", tmp_path / "z.npz")
    np.savez(tmp_path / "x.npz", train=PIXELS, valid=PIXELS)
    for options, message in (
        (("--split", "test"), "x.npz has the arrays train, valid, but not the array 'test', which --split asks for"),
        ((), "x.npz has the arrays train, valid; expected train and test, or x. Labels are stored as"),
    ):
        assert message in failure(capsys, "encode", images / "bundle", tmp_path / "x.npz", *options, *words)


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
