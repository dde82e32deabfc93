"""uint8 arrays are divided by 255 if the manifest has the field `encoding`; otherwise they are refused."""

import json

import numpy as np
import pytest

import vaedge
from vaedge.cli.main import main

ENCODING = {"dtype": "uint8", "scale": 255}
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 1, 28, 28), np.uint8)
SCALED = PIXELS.astype(np.float32) / np.float32(255)
BITS = (PIXELS > 127).astype(np.uint8) * np.uint8(255)


@pytest.fixture
def encoded(edit_manifest):
    """The folder of a bundle whose manifest says that uint8 arrays are divided by 255."""
    return edit_manifest(lambda tree: tree["input"].update(encoding=ENCODING))


@pytest.fixture
def binary(encoded, edit_manifest):
    """The bundle of the fixture `encoded` with the likelihood "bernoulli", which supports `log_prob`."""
    return edit_manifest(lambda tree: tree["likelihood"].update(name="bernoulli"))


def assert_same(found, expected):
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_every_level_is_divided_as_in_training():
    levels = np.arange(256, dtype=np.uint8)[:, None]
    found = vaedge.validation.as_batch(levels, "x", (1,), (0, 1), "uint8")
    assert_same(found, levels.astype(np.float32) / np.float32(255))
    assert found.flags.c_contiguous


def test_methods_take_8_bit_examples(binary):
    vae = vaedge.load(binary)
    assert vae.manifest.encoding == "uint8"
    for given, expected in (
        (vae.encode(PIXELS), vae.encode(SCALED)),
        (vae.encode(PIXELS[::2]), vae.encode(SCALED[::2])),
    ):
        assert_same(given.mean, expected.mean)
        assert_same(given.log_var, expected.log_var)
    assert_same(vae.reconstruct(PIXELS), vae.reconstruct(SCALED))
    assert_same(
        vae.reconstruct(PIXELS, sample=True, draw=True, seed=1), vae.reconstruct(SCALED, sample=True, draw=True, seed=1)
    )
    ones = BITS.astype(np.float32) / np.float32(255)
    assert_same(vae.log_prob(BITS, k=3, seed=0), vae.log_prob(ones, k=3, seed=0))
    assert_same(vae.interpolate(PIXELS[0], PIXELS[1]), vae.interpolate(SCALED[0], SCALED[1]))
    assert_same(vae.encode(SCALED).mean, vae.encode(PIXELS).mean)  # floats are still accepted


def test_batches_take_8_bit_examples(binary):
    for operation, x, arguments in (
        ("encode", PIXELS, {}),
        ("reconstruct", PIXELS, {}),
        ("log_prob", BITS, {"seed": 0}),
    ):
        batch = vaedge.Batch(binary, operation, **arguments)
        found, expected = batch({"x": x}), batch({"x": x.astype(np.float32) / np.float32(255)})
        for name in set(found) - {"x"}:
            assert_same(found[name], expected[name])
        assert_same(found["x"], x)


def test_commands_take_8_bit_examples(binary, tmp_path):
    vae = vaedge.load(binary)
    np.save(tmp_path / "pixels.npy", PIXELS)
    np.save(tmp_path / "bits.npy", BITS)
    for command, name, options, expected in (
        ("encode", "pixels", ["--out", "q.npz"], vae.encode(SCALED).mean),
        ("reconstruct", "pixels", ["--out", "y.npy"], vae.reconstruct(SCALED)),
        ("score", "bits", ["-k", "3", "--out", "n.npy"], vae.log_prob(BITS, k=3, seed=0)),
    ):
        options[-1] = str(tmp_path / options[-1])
        assert main([command, str(binary), str(tmp_path / f"{name}.npy"), *options]) == 0
        found = np.load(options[-1])
        assert_same(found["mean"] if command == "encode" else found, expected)


def test_grid_of_reconstructions_shows_8_bit_originals(binary, tmp_path):
    image = pytest.importorskip("PIL.Image")
    for name, x in (("pixels", PIXELS), ("scaled", SCALED)):
        np.save(tmp_path / f"{name}.npy", x)
        argv = ["reconstruct", str(binary), str(tmp_path / f"{name}.npy"), "--out", str(tmp_path / f"{name}.png")]
        assert main(argv) == 0
    grids = [np.asarray(image.open(tmp_path / f"{name}.png")) for name in ("pixels", "scaled")]
    np.testing.assert_array_equal(*grids)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, bool])
def test_other_integers_are_refused_with_an_encoding(encoded, dtype):
    with pytest.raises(vaedge.InputError, match=f"x is an array of {np.dtype(dtype)}; expected float32"):
        vaedge.load(encoded).encode(PIXELS.astype(dtype))


def test_8_bit_examples_are_refused_without_an_encoding(vae, bundle, tmp_path, capsys):
    message = r"x is an array of uint8; expected float32; scale pixels of 0..255 with x / np.float32\(255\)"
    for call in (vae.encode, vae.reconstruct, vae.bounds, lambda x: vae.interpolate(x[0], x[1])):
        with pytest.raises(vaedge.InputError, match=r"is an array of uint8; expected float32"):
            call(PIXELS)
    with pytest.raises(vaedge.InputError, match=message):
        vaedge.Batch(bundle)({"x": PIXELS})
    np.save(tmp_path / "x.npy", PIXELS)
    assert main(["encode", str(bundle), str(tmp_path / "x.npy"), "--out", str(tmp_path / "q.npz")]) == 1
    assert "uint8; expected float32" in capsys.readouterr().err


def test_wrong_shape_of_8_bit_examples_is_named(encoded):
    with pytest.raises(vaedge.InputError, match="for a single example pass"):
        vaedge.load(encoded).encode(PIXELS[0])


def test_encoding_is_written_as_it_was_read(encoded, vae):
    manifest = vaedge.load(encoded).manifest
    assert json.loads(manifest.to_json())["input"]["encoding"] == ENCODING
    assert "encoding" not in json.loads(vae.manifest.to_json())["input"]
