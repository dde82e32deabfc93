"""The whole line from a folder of pictures to pictures, by the command line."""

import numpy as np
import pytest
from PIL import Image

from vaedge.cli.main import main


def vaedge(*words):
    assert main([str(word) for word in words]) == 0


def size(path):
    with Image.open(path) as picture:
        return picture.size


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Twenty colour pictures, a run, a bundle."""
    folder = tmp_path_factory.mktemp("line")
    (folder / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for index in range(20):
        pixels = rng.integers(0, 256, 3) + rng.integers(-20, 20, (8, 6, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / "pictures" / f"{index:02}.png")
    words = ("--hidden", 32, 16, "--latent", 4, "--epochs", 3, "--batch-size", 4)
    vaedge("train", "--dataset", folder / "pictures", *words, "--out", folder / "run")
    vaedge("export", folder / "run", "--out", folder / "bundle")
    return folder


def test_check_and_info(made, capsys):
    vaedge("check", made / "bundle")
    vaedge("info", made / "bundle")
    said = capsys.readouterr().out
    assert "reproduces the reference" in said
    assert "(3, 8, 6) float32 in [0, 1]" in said
    assert "--dataset pictures --hidden 32 16" in said


def test_pictures_in_and_out(made):
    vaedge("sample", made / "bundle", "-n", 9, "--seed", 0, "--out", made / "samples.png")
    assert size(made / "samples.png") == (3 * 8 + 2, 3 * 10 + 2)
    vaedge("reconstruct", made / "bundle", made / "pictures", "--out", made / "reconstructions.png")
    assert size(made / "reconstructions.png") == (16 * 8 + 2, 4 * 10 + 2)  # 16 and 4 originals, each row above its own
    first, second = (made / "pictures" / f"{index:02}.png" for index in (0, 1))
    vaedge("interpolate", made / "bundle", first, second, "--steps", 5, "--out", made / "path.png")
    assert size(made / "path.png") == (5 * 8 + 2, 10 + 2)
    vaedge("encode", made / "bundle", first, "--out", made / "latents.npz")
    vaedge("decode", made / "bundle", made / "latents.npz", "--out", made / "decoded.png")
    assert size(made / "decoded.png") == (8 + 2, 10 + 2)
    vaedge("reconstruct", made / "bundle", made / "run" / "examples.npz", "--out", made / "examples.npy")
    assert np.load(made / "examples.npy").shape == (2, 3, 8, 6)


def test_a_grey_picture_for_a_colour_model_becomes_colour(made):
    Image.new("L", (6, 8), 128).save(made / "grey.png")
    vaedge("reconstruct", made / "bundle", made / "grey.png", "--out", made / "out.npy")
    assert np.load(made / "out.npy").shape == (1, 3, 8, 6)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("train", "--dataset", "pictures", "--out", "run"), "run exists already"),
        (("train", "--dataset", "nonsense", "--out", "new"), "unknown data set 'nonsense'"),
        (("train", "--likelihood", "bernoulli", "--out", "new"), "use likelihood bce_surrogate"),
        (("train", "--epochs", "0", "--out", "new"), "epochs is 0"),
        (("export", "run", "--out", "bundle"), "bundle exists already"),
        (("export", "bundle", "--out", "new"), "config.json is missing"),
        (("export", "nothing", "--out", "new"), "config.json is missing"),
        (("reconstruct", "bundle", "large.png", "--out", "new.png"), "large.png is 9 x 9 pixels"),
        (("reconstruct", "bundle", "broken.png", "--out", "new.png"), "broken.png cannot be read as a picture"),
        (("reconstruct", "bundle", "empty", "--out", "new.png"), "empty holds no pictures"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_calls(made, monkeypatch, capsys, words, says):
    monkeypatch.chdir(made)
    Image.new("RGB", (9, 9)).save("large.png")
    (made / "broken.png").write_bytes(b"nothing")
    (made / "empty").mkdir(exist_ok=True)
    assert main(words) == 1
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not list(made.glob("new*"))
