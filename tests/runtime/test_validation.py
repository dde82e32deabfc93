"""Wrong calls: one clear error each."""

import numpy as np
import pytest

import vaedge

GOOD = np.zeros((2, 1, 28, 28), np.float32)


def spoilt(value, at=(1, 0, 3, 3)):
    x = GOOD.copy()
    x[at] = value
    return x


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (GOOD[0], r"shape \(1, 28, 28\).*expected \(n, 1, 28, 28\).*x\[None\]"),
        (GOOD.reshape(2, 784), r"shape \(2, 784\).*expected \(n, 1, 28, 28\)"),
        (GOOD[:, :, :27], "shape"),
        (np.float32(0), "shape"),
        (GOOD.astype(np.uint8), r"uint8.*x / np.float32\(255\)"),
        (GOOD.astype(np.uint16), r"uint16.*x / np.float32\(65535\)"),
        (GOOD.astype(np.int64), "int64; expected float32$"),
        (GOOD.astype(bool), "bool"),
        (GOOD.astype(complex), "complex"),
        (np.array(["digit"]), "expected float32"),
        (None, "object"),
        (GOOD[:0], "empty batch"),
        (spoilt(np.nan), "NaN or infinity in item 1"),
        (spoilt(np.inf), "NaN or infinity in item 1"),
        (spoilt(-0.5), r"-0.5 to 0, first in item 1.*0 to 1"),
        (spoilt(255), "0 to 255"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_that_are_no_items(vae, x, says):
    for call in (vae.encode, vae.reconstruct):
        with pytest.raises(vaedge.InputError, match=says):
            call(x)


@pytest.mark.parametrize(
    "z", [np.zeros(20, np.float32), np.zeros((2, 19), np.float32), np.full((1, 20), np.nan), np.zeros((0, 20))]
)
def test_arrays_that_are_no_latents(vae, z):
    for call in (vae.decode, vae.parameters):
        with pytest.raises(vaedge.InputError, match="z "):
            call(z)


@pytest.mark.parametrize("n", [0, -1, 1.5, "8", None, True, 2**40])
def test_numbers_of_samples(vae, n):
    with pytest.raises(vaedge.InputError, match="n is .*expected a whole number from 1"):
        vae.sample(n)


@pytest.mark.parametrize("seed", [-1, 0.5, "zero", True])
def test_seeds(vae, seed):
    with pytest.raises(vaedge.InputError, match="seed is"):
        vae.sample(1, seed=seed)


def test_a_seed_that_would_do_nothing(vae):
    with pytest.raises(vaedge.InputError, match="sample=True"):
        vae.reconstruct(GOOD, seed=0)


@pytest.mark.parametrize(
    "out",
    [np.zeros((3, 1, 28, 28), np.float32), np.zeros(GOOD.shape, np.float64), [0.0], np.ma.masked_array(GOOD)],
    ids=["shape", "type", "list", "masked"],
)
def test_outputs(vae, out):
    with pytest.raises(vaedge.InputError, match="out is"):
        vae.reconstruct(GOOD, out=out)


def test_read_only_output(vae):
    out = np.zeros_like(GOOD)
    out.flags.writeable = False
    with pytest.raises(vaedge.InputError, match="writeable"):
        vae.reconstruct(GOOD, out=out)


def test_interpolation(vae):
    with pytest.raises(vaedge.InputError, match="steps is 1"):
        vae.interpolate(GOOD[0], GOOD[1], steps=1)
    with pytest.raises(vaedge.InputError, match="b has shape"):
        vae.interpolate(GOOD[0], GOOD[:1])


def test_errors_are_also_the_builtins_that_a_caller_expects(vae):
    for error, builtin in (
        (vaedge.InputError, ValueError),
        (vaedge.BundleError, ValueError),
        (vaedge.errors.BundleNotFoundError, FileNotFoundError),
        (vaedge.DeviceError, RuntimeError),
        (vaedge.DependencyError, ImportError),
        (vaedge.InferenceError, RuntimeError),
    ):
        assert issubclass(error, builtin)
        assert issubclass(error, vaedge.VaedgeError)


class Subclass(np.ndarray):
    """What pandas and others make of arrays."""


class Arraylike:
    """What torch and others give to numpy."""

    def __array__(self, dtype=None, copy=None):
        return DIGITS


DIGITS = np.random.default_rng(0).random((4, 1, 28, 28), np.float32)


def read_only():
    x = DIGITS.copy()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    "x",
    [
        DIGITS.astype(np.float64),
        DIGITS.astype(np.longdouble),
        DIGITS.astype(">f4"),
        np.asfortranarray(DIGITS),
        np.repeat(DIGITS, 2, 0)[::2],
        np.repeat(DIGITS, 2, 3)[..., ::2],
        DIGITS[::-1][::-1],
        read_only(),
        DIGITS.view(Subclass),
        np.ma.masked_array(DIGITS),
        np.ma.masked_array(DIGITS, mask=np.zeros(DIGITS.shape, bool)),
        DIGITS.tolist(),
        list(DIGITS),
        Arraylike(),
        np.frombuffer(b"\0" + DIGITS.tobytes(), np.float32, offset=1).reshape(DIGITS.shape),  # not aligned
    ],
    ids=[
        "float64",
        "longdouble",
        "big-endian",
        "fortran",
        "strided",
        "strided-within",
        "reversed",
        "read-only",
        "subclass",
        "masked-nothing",
        "masked-none",
        "nested-lists",
        "list-of-arrays",
        "arraylike",
        "unaligned",
    ],
)
def test_arrays_that_are_items_in_another_form(vae, x):
    expected = vae.reconstruct(DIGITS)
    found = vae.reconstruct(x)
    np.testing.assert_array_equal(found, expected)
    assert type(found) is np.ndarray


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.ma.masked_less(DIGITS, 0.5), r"masked values; fill them first: x.filled\(0\)"),
        (DIGITS.astype(object), "object"),
        (np.zeros((2, 1, 28, 28), "M8[s]"), "datetime64"),
        (np.zeros((2, 1, 28, 28), [("a", "f4")]), "expected float32"),
        (np.full((1, 1, 28, 28), 1e300), "NaN or infinity in item 0"),
        ([[1.0], [1.0, 2.0]], "cannot be taken as an array"),
        (np.broadcast_to(np.float32(0.5), (2, 2, 1, 28, 28)), "shape"),
        (DIGITS[None], "shape"),
    ],
    ids=["masked", "objects", "dates", "records", "overflow", "ragged", "broadcast", "another-axis"],
)
@pytest.mark.filterwarnings("error")
def test_arrays_that_are_no_items_in_any_form(vae, x, says):
    with pytest.raises(vaedge.InputError, match=says):
        vae.reconstruct(x)


def test_limits_that_float32_rounds(edit_manifest):
    vae = vaedge.load(edit_manifest(lambda tree: tree["input"].update(range=[-0.1, 0.1])))
    vae.encode(np.full(GOOD.shape, 0.1, np.float32))
    vae.encode(np.full(GOOD.shape, -0.1))
    with pytest.raises(vaedge.InputError, match="first in item 0"):
        vae.encode(np.full(GOOD.shape, np.nextafter(np.float32(0.1), np.float32(1))))


@pytest.mark.parametrize("z", [1e6, -1e6, 0.0, 1e-45])
def test_latents_within_a_million_give_items(vae, z):
    x = vae.decode(np.full((2, 20), z, np.float32))
    assert np.isfinite(x).all()
    assert 0 <= x.min() <= x.max() <= 1


@pytest.mark.parametrize("z", [1.1e6, -1e30, 3e38])
@pytest.mark.filterwarnings("error")
def test_latents_beyond_a_million(vae, z):
    with pytest.raises(vaedge.InputError, match=r"z holds values from .*takes -1e\+06 to 1e\+06"):
        vae.decode(np.full((2, 20), z, np.float32))
