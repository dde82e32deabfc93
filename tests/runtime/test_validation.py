"""Invalid arguments are refused with a clear error. Valid arguments of another type or layout are converted."""

import numpy as np
import pytest

import vaedge
from vaedge.validation import as_batch, as_condition, as_count

VALID = np.zeros((2, 1, 28, 28), np.float32)


def with_value(value):
    x = VALID.copy()
    x[1, 0, 3, 3] = value
    return x


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (VALID[0], r"shape \(1, 28, 28\).*expected \(n, 1, 28, 28\).*x\[None\]"),
        (VALID.reshape(2, 784), r"shape \(2, 784\).*expected \(n, 1, 28, 28\)"),
        (VALID[:, :, :27], "shape"),
        (np.float32(0), "shape"),
        (VALID.astype(np.uint8), r"uint8.*x / np.float32\(255\)"),
        (VALID.astype(np.uint16), r"uint16.*x / np.float32\(65535\)"),
        (VALID.astype(np.int64), "int64; expected float32$"),
        (VALID.astype(bool), "bool"),
        (VALID.astype(complex), "complex"),
        (np.array(["digit"]), "expected float32"),
        (None, "object"),
        (VALID[:0], "empty batch"),
        (with_value(np.nan), "NaN or infinity in example 1"),
        (with_value(np.inf), "NaN or infinity in example 1"),
        (with_value(-0.5), r"-0.5 to 0; the model takes 0 to 1.*in example 1"),
        (with_value(255), "0 to 255"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_examples_are_refused(vae, x, message):
    for call in (vae.encode, vae.reconstruct):
        with pytest.raises(vaedge.InputError, match=message):
            call(x)


@pytest.mark.parametrize(
    "z", [np.zeros(20, np.float32), np.zeros((2, 19), np.float32), np.full((1, 20), np.nan), np.zeros((0, 20))]
)
def test_invalid_latents_are_refused(vae, z):
    for call in (vae.decode, vae.parameters):
        with pytest.raises(vaedge.InputError, match="z "):
            call(z)


@pytest.mark.parametrize("n", [0, -1, 1.5, "8", None, True, 2**40])
def test_invalid_number_of_samples_is_refused(vae, n):
    with pytest.raises(vaedge.InputError, match="n is .*expected an integer from 1 to 2,147,483,648"):
        vae.sample(n)


@pytest.mark.parametrize("seed", [-1, 0.5, "zero", True])
def test_invalid_seed_is_refused(vae, seed):
    with pytest.raises(vaedge.InputError, match="seed is"):
        vae.sample(1, seed=seed)


def test_seed_without_a_draw_is_refused(vae):
    with pytest.raises(vaedge.InputError, match="sample=True"):
        vae.reconstruct(VALID, seed=0)


@pytest.mark.parametrize(
    "out",
    [np.zeros((3, 1, 28, 28), np.float32), np.zeros(VALID.shape, np.float64), [0.0], np.ma.masked_array(VALID)],
    ids=["shape", "type", "list", "masked"],
)
def test_invalid_output_is_refused(vae, out):
    with pytest.raises(vaedge.InputError, match="out is"):
        vae.reconstruct(VALID, out=out)


def test_read_only_output_is_refused(vae):
    out = np.zeros_like(VALID)
    out.flags.writeable = False
    with pytest.raises(vaedge.InputError, match="writeable"):
        vae.reconstruct(VALID, out=out)


def test_invalid_ends_and_steps_are_refused(vae):
    with pytest.raises(vaedge.InputError, match="steps is 1"):
        vae.interpolate(VALID[0], VALID[1], steps=1)
    with pytest.raises(vaedge.InputError, match="b has shape"):
        vae.interpolate(VALID[0], VALID[:1])


def test_errors_inherit_builtin_errors():
    for error, builtin in (
        (vaedge.InputError, ValueError),
        (vaedge.BundleError, ValueError),
        (vaedge.BundleNotFoundError, FileNotFoundError),
        (vaedge.DeviceError, RuntimeError),
        (vaedge.DependencyError, ImportError),
        (vaedge.ClosedError, ValueError),
        (vaedge.InferenceError, RuntimeError),
    ):
        assert issubclass(error, builtin)
        assert issubclass(error, vaedge.VaedgeError)


class Subclass(np.ndarray):
    """A subclass of numpy.ndarray, such as those that some libraries return."""


class Arraylike:
    """An object that numpy can convert to an array, such as a tensor of torch."""

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
        np.frombuffer(b"\0" + DIGITS.tobytes(), np.float32, offset=1).reshape(DIGITS.shape),  # not aligned in memory
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
def test_examples_in_another_form_are_converted(vae, x):
    expected = vae.reconstruct(DIGITS)
    found = vae.reconstruct(x)
    np.testing.assert_array_equal(found, expected)
    assert type(found) is np.ndarray


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ma.masked_less(DIGITS, 0.5), r"masked values; fill them first: x.filled\(0\)"),
        (DIGITS.astype(object), "object"),
        (np.zeros((2, 1, 28, 28), "M8[s]"), "datetime64"),
        (np.zeros((2, 1, 28, 28), [("a", "f4")]), "expected float32"),
        (np.full((1, 1, 28, 28), 1e300), "NaN or infinity in example 0"),
        ([[1.0], [1.0, 2.0]], "cannot be converted to an array"),
        (np.broadcast_to(np.float32(0.5), (2, 2, 1, 28, 28)), "shape"),
        (DIGITS[None], "shape"),
    ],
    ids=["masked", "objects", "dates", "records", "overflow", "ragged", "broadcast", "another-axis"],
)
@pytest.mark.filterwarnings("error")
def test_invalid_arrays_are_refused_without_a_warning(vae, x, message):
    with pytest.raises(vaedge.InputError, match=message):
        vae.reconstruct(x)


def test_limits_of_the_range_are_compared_in_float32(edit_manifest):
    vae = vaedge.load(edit_manifest(lambda tree: tree["input"].update(range=[-0.1, 0.1])))
    vae.encode(np.full(VALID.shape, 0.1, np.float32))
    vae.encode(np.full(VALID.shape, -0.1))
    with pytest.raises(vaedge.InputError, match="is in example 0"):
        vae.encode(np.full(VALID.shape, np.nextafter(np.float32(0.1), np.float32(1))))


@pytest.mark.parametrize("z", [1e6, -1e6, 0.0, 1e-45])
def test_latents_within_a_million_are_decoded(vae, z):
    x = vae.decode(np.full((2, 20), z, np.float32))
    assert np.isfinite(x).all()
    assert 0 <= x.min() <= x.max() <= 1


@pytest.mark.parametrize("z", [1.1e6, -1e30, 3e38])
@pytest.mark.filterwarnings("error")
def test_latents_beyond_a_million_are_refused(vae, z):
    with pytest.raises(vaedge.InputError, match=r"z holds values from .*takes -1e\+06 to 1e\+06"):
        vae.decode(np.full((2, 20), z, np.float32))


LIMITS = (-1e6, 1e6), (0.0, 1.0), (0.0, 3.5), (-1.0, 1.0), (-2.0, 5.0), (2.0, 3.0), (-1e30, 1e30), None


@pytest.mark.parametrize("value_range", LIMITS, ids=str)
@pytest.mark.parametrize("size", [1, 4096, 4097])
def test_exact_limits_are_accepted_and_the_next_number_is_refused(value_range, size):
    """An array with a value at the limit is valid, and one with a value just beyond the limit is refused.

    The tested ranges and sizes use each optimized branch of `as_batch`.
    """
    low, high = np.float32(value_range or (-np.finfo(np.float32).max, np.finfo(np.float32).max))
    for limit, outwards in ((low, np.float32(-np.inf)), (high, np.float32(np.inf))):
        x = np.full((1, size), (low if value_range else 0) / 2 + (high if value_range else 0) / 2, np.float32)
        x[0, size // 2] = limit
        np.testing.assert_array_equal(as_batch(x, "x", (size,), value_range), x)
        with np.errstate(over="ignore"):
            beyond = np.nextafter(limit, outwards)
        for invalid in (beyond, outwards, np.nan):
            x[0, size // 2] = invalid
            with pytest.raises(vaedge.InputError, match="x holds .* in example 0"):
                as_batch(x, "x", (size,), value_range)


@pytest.mark.parametrize("value", [-0.0, 1e-45, -1e-45])
def test_numbers_next_to_a_limit_of_zero_are_compared_exactly(value):
    x = np.full((1, 2), value, np.float32)
    if value < 0:
        with pytest.raises(vaedge.InputError, match="x holds values from"):
            as_batch(x, "x", (2,), (0, 1))
    else:
        assert as_batch(x, "x", (2,), (0, 1)) is not None


@pytest.mark.parametrize("x", [VALID, np.zeros((1, 3), np.float32)])
def test_contiguous_float32_is_not_copied(x):
    assert np.shares_memory(as_batch(x, "x", x.shape[1:], (0, 1)), x)


def test_other_examples_are_named():
    x = np.zeros((5, 2), np.float32)
    x[3, 1] = 2
    with pytest.raises(
        vaedge.InputError, match="x holds values from 0 to 2; the model takes 0 to 1. The first .* is in example 3"
    ):
        as_batch(x, "x", (2,), (0, 1))
    x[4, 0] = np.inf
    with pytest.raises(vaedge.InputError, match="x holds NaN or infinity in example 4"):
        as_batch(x, "x", (2,), (0, 1))


@pytest.mark.parametrize(("dtype", "maximum"), [("u1", 255), ("u2", 65535)])
def test_hint_to_convert_pixels_fits_the_range_of_the_model(dtype, maximum):
    pixels = np.zeros((1, 2), dtype)
    refused = rf"x is an array of {pixels.dtype}; expected float32"
    division = rf"x / np.float32\({maximum}\)"
    with pytest.raises(vaedge.InputError, match=rf"{refused}; scale pixels of 0..{maximum} with {division}$"):
        as_batch(pixels, "x", (2,), (0, 1))
    hint = rf"convert it with {division} if the model was trained on values in \[0, 1\], otherwise with x.astype"
    with pytest.raises(vaedge.InputError, match=f"{refused}; {hint}"):
        as_batch(pixels, "x", (2,))
    for value_range in ((0, 2), (-1, 1)):
        with pytest.raises(vaedge.InputError, match=f"{refused}$"):
            as_batch(pixels, "x", (2,), value_range)


@pytest.mark.parametrize(
    ("given", "shape", "index"),
    [
        ((1, 4, 6), (1, 4, 6), "[None]"),
        ((3, 4, 6), (3, 4, 6), "[None]"),
        ((5, 4, 6), (1, 4, 6), "[:, None]"),
        ((4, 6), (1, 4, 6), "[None, None]"),
        ((7,), (1,), "[:, None]"),
        ((5, 4, 7), (1, 4, 6), None),
        ((5, 4, 6), (3, 4, 6), None),
        ((4, 6), (3, 4, 6), None),
    ],
)
def test_missing_axis_is_suggested_where_the_shape_fits(given, shape, index):
    x = np.zeros(given, np.float32)
    with pytest.raises(vaedge.InputError) as caught:
        as_batch(x, "x", shape)
    message = str(caught.value)
    assert message.startswith(f"x has shape {given}; expected (n, ")
    if index is None:
        assert "None" not in message
    else:
        assert message.endswith(f" x{index}")
        assert as_batch(eval(f"x{index}"), "x", shape).shape[1:] == shape


def test_missing_axis_of_one_example_is_suggested(vae):
    with pytest.raises(vaedge.InputError, match=r"a has shape \(28, 28\); .*; add the missing axis with a\[None\]$"):
        vae.interpolate(VALID[0, 0], VALID[1])
    with pytest.raises(vaedge.InputError, match=r"b has shape \(1, 27, 28\); .* of shape \(1, 28, 28\)$"):
        vae.interpolate(VALID[0], VALID[1, :, :27])


@pytest.mark.parametrize(
    ("value", "minimum", "maximum", "accepted"),
    [
        *((1, 1, 5, True), (5, 1, 5, True), (0, 1, 5, False), (6, 1, 5, False)),
        *((2, 2, 2, True), (np.int64(3), 1, 5, True), (np.uint8(3), 1, 5, True)),
        *((True, 0, 5, False), (2.0, 1, 5, False), ("2", 1, 5, False), (None, 1, 5, False)),
    ],
)
def test_counts_are_integers_within_limits(value, minimum, maximum, accepted):
    if accepted:
        found = as_count(value, "k", minimum, maximum)
        assert found == value
        assert type(found) is int
    else:
        with pytest.raises(vaedge.InputError, match=f"k is .*; expected an integer from {minimum} to {maximum}"):
            as_count(value, "k", minimum, maximum)


def test_rows_of_a_call_are_limited():
    assert as_count(2**31, "n") == 2**31
    with pytest.raises(vaedge.InputError, match="expected an integer from 1 to 2,147,483,648"):
        as_count(2**31 + 1, "n")


CLASSES = vaedge.Condition("int64", (), ("a", "b", "c"))
ATTRIBUTES = vaedge.Condition("float32", (2,))


@pytest.mark.parametrize(
    ("value", "condition", "expected"),
    [
        (2, CLASSES, [2, 2, 2]),
        (np.uint8(0), CLASSES, [0, 0, 0]),
        ([0, 1, 2], CLASSES, [0, 1, 2]),
        ("b", CLASSES, [1, 1, 1]),
        (["c", "a", " b "], CLASSES, [2, 0, 1]),
        (["1", "a", "2"], CLASSES, [1, 0, 2]),
        (np.array(["c", "a", "c"], object), CLASSES, [2, 0, 2]),
        (["1", "0", "7"], vaedge.Condition("int64", (), ("7", "1", "0")), [1, 2, 0]),
        ([["a", "b"], ["c", "a"], ["b", "b"]], vaedge.Condition("int64", (2,), "abc"), [[0, 1], [2, 0], [1, 1]]),
        (range(3), CLASSES, [0, 1, 2]),
        ([0.5, 1], ATTRIBUTES, [[0.5, 1]] * 3),
        ([[1.0, 2], [3, 4], [5, 6]], ATTRIBUTES, [[1, 2], [3, 4], [5, 6]]),
        (0.5, vaedge.Condition("float32"), [0.5] * 3),
    ],
)
def test_condition_is_given_for_each_example_or_for_all(value, condition, expected):
    found = as_condition(value, "y", condition, 3)
    assert found.dtype == condition.dtype
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("value", "condition", "message"),
    [
        (3, CLASSES, "y is an array of int64 from 3 to 3; expected integers from 0 to 2, or the names 'a', 'b', 'c'"),
        (7, vaedge.Condition("int64", (), ("3", "5", "7")), "or the names '3', '5', '7' as strings$"),
        (-1, CLASSES, "expected integers from 0 to 2, or the names 'a', 'b', 'c'"),
        (1.0, CLASSES, "y is an array of float64 from 1.0 to 1.0; expected integers"),
        (True, CLASSES, "y is an array of bool; expected integers"),
        ("d", CLASSES, "y: 'd' is not a class of this model; expected one of 'a', 'b', 'c', or a number from 0 to 2"),
        (["a", "b", "3"], CLASSES, "y: '3' is not a class"),
        (["a", "b", ""], CLASSES, "y: '' is not a class"),
        (np.array(["a", "b", None], object), CLASSES, "y is an array of object; expected integers"),
        ("b", vaedge.Condition("float32"), "expected float32"),
        ([0, 1], CLASSES, r"y has shape \(2,\); expected \(3,\), or one value of shape \(\) for all examples"),
        ([[0], [1], [2]], CLASSES, r"y has shape \(3, 1\)"),
        (0.5, ATTRIBUTES, r"y has shape \(\); expected \(3, 2\), or one value of shape \(2,\) for all examples"),
        ([1, 2], ATTRIBUTES, "y is an array of int64; expected float32"),
        ([np.nan, 0], ATTRIBUTES, "y holds NaN or infinity"),
    ],
)
def test_invalid_condition_is_refused(value, condition, message):
    with pytest.raises(vaedge.InputError, match=message):
        as_condition(value, "y", condition, 3)


@pytest.mark.parametrize(("length", "end"), [(198, "'" + "x" * 198 + "'"), (199, "'" + "x" * 196 + "...")])
def test_long_names_of_classes_are_shortened(length, end):
    with pytest.raises(vaedge.InputError) as caught:
        as_condition(5, "y", vaedge.Condition("int64", (), ("x" * length,)), 1)
    assert str(caught.value).endswith(f"or the names {end} as strings")


def test_conditions_of_a_model_without_conditions_are_refused(vae):
    with pytest.raises(vaedge.InputError, match="conditions given: y; this model has no conditions"):
        vae.sample(2, y=1)
    with pytest.raises(vaedge.InputError, match="conditions given: a, b; this model has no conditions"):
        vae.encode(VALID, conditions={"a": 1, "b": 2})
    with pytest.raises(vaedge.InputError, match="y was given twice"):
        vae.sample(2, y=1, conditions={"y": 1})
    with pytest.raises(vaedge.InputError, match="conditions is a list; expected a mapping"):
        vae.sample(2, conditions=["y"])
    np.testing.assert_array_equal(vae.sample(2, seed=0, conditions={}), vae.sample(2, seed=0))
