"""The commands that turn a folder of images into a bundle, and the bundle into images."""

import numpy as np
import pytest
from PIL import Image

from vaedge.cli.main import main


def vaedge(*words):
    assert main([str(word) for word in words]) == 0


def size(path):
    with Image.open(path) as image:
        return image.size


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder with twenty color images, a run of three epochs on these images, and the exported bundle."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for index in range(20):
        pixels = rng.integers(0, 256, 3) + rng.integers(-20, 20, (8, 6, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / "images" / f"{index:02}.png")
    words = ("--hidden", 32, 16, "--latent", 4, "--epochs", 3, "--batch-size", 4)
    vaedge("train", "--dataset", folder / "images", *words, "--out", folder / "run")
    vaedge("export", folder / "run", "--out", folder / "bundle")
    return folder


def test_check_and_info_describe_the_bundle(workspace, capsys):
    vaedge("check", workspace / "bundle")
    vaedge("info", workspace / "bundle")
    printed = capsys.readouterr().out
    assert "reproduces the reference" in printed
    assert "(3, 8, 6) float32 in [0, 1]" in printed
    assert "--dataset images --hidden 32 16" in printed


def test_sample_writes_a_grid(workspace):
    vaedge("sample", workspace / "bundle", "-n", 9, "--seed", 0, "--out", workspace / "samples.png")
    assert size(workspace / "samples.png") == (3 * 8 + 2, 3 * 10 + 2)


def test_reconstruct_writes_each_row_above_its_reconstructions(workspace):
    vaedge("reconstruct", workspace / "bundle", workspace / "images", "--out", workspace / "reconstructions.png")
    assert size(workspace / "reconstructions.png") == (16 * 8 + 2, 4 * 10 + 2)  # rows of 16 and 4 originals


def test_interpolate_writes_one_row(workspace):
    ends = (workspace / "images" / f"{index:02}.png" for index in (0, 1))
    vaedge("interpolate", workspace / "bundle", *ends, "--steps", 5, "--out", workspace / "path.png")
    assert size(workspace / "path.png") == (5 * 8 + 2, 10 + 2)


def test_decode_reads_what_encode_wrote(workspace):
    vaedge("encode", workspace / "bundle", workspace / "images" / "00.png", "--out", workspace / "latents.npz")
    vaedge("decode", workspace / "bundle", workspace / "latents.npz", "--out", workspace / "decoded.png")
    assert size(workspace / "decoded.png") == (8 + 2, 10 + 2)


def test_reconstruct_reads_the_examples_of_a_run(workspace):
    vaedge("reconstruct", workspace / "bundle", workspace / "run" / "examples.npz", "--out", workspace / "x.npy")
    assert np.load(workspace / "x.npy").shape == (2, 3, 8, 6)


def test_gray_image_is_converted_for_a_color_model(workspace):
    Image.new("L", (6, 8), 128).save(workspace / "gray.png")
    vaedge("reconstruct", workspace / "bundle", workspace / "gray.png", "--out", workspace / "gray.npy")
    assert np.load(workspace / "gray.npy").shape == (1, 3, 8, 6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "--dataset", "images", "--out", "run"), "run exists already"),
        (("train", "--dataset", "nonsense", "--out", "new"), "unknown data set 'nonsense'"),
        (("train", "--likelihood", "bernoulli", "--out", "new"), "bce_surrogate"),
        (("train", "--epochs", "0", "--out", "new"), "epochs"),
        (("export", "run", "--out", "bundle"), "bundle exists already"),
        (("export", "bundle", "--out", "new"), "config.json is missing"),
        (("export", "nothing", "--out", "new"), "config.json is missing"),
        (("reconstruct", "bundle", "large.png", "--out", "new.png"), "large.png has 9 x 9 pixels"),
        (("reconstruct", "bundle", "broken.png", "--out", "new.png"), "broken.png cannot be read as an image"),
        (("reconstruct", "bundle", "empty", "--out", "new.png"), "empty holds no images"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_failed_command_prints_one_line_and_writes_nothing(workspace, monkeypatch, capsys, words, message):
    monkeypatch.chdir(workspace)
    Image.new("RGB", (9, 9)).save("large.png")
    (workspace / "broken.png").write_bytes(b"nothing")
    (workspace / "empty").mkdir(exist_ok=True)
    assert main(words) == 1
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not list(workspace.glob("new*"))
