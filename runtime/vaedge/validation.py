"""Validate arguments, and raise errors that say what to do.

Floating-point arrays of the right shape are accepted if all values are finite and inside the range in the manifest.
C-contiguous float32 arrays are used without a copy. Other floating-point types, byte orders and layouts, lists, and
subclasses of arrays are converted.

Integers are refused, because the most common mistake is to give pixels in 0..255 where 0..1 is expected. uint8 arrays
are accepted only if the manifest has an encoding. Masked arrays with masked values are refused, because a mask means
that a value is unknown.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vaedge._types import Condition, FloatArray, Range
from vaedge.errors import InputError

Conditions: TypeAlias = Mapping[str, npt.ArrayLike]

# Maximum absolute value of a latent. No prior has mass at larger values, and products of larger values could overflow.
MAX_LATENT = 1e6
LATENT_RANGE = (-MAX_LATENT, MAX_LATENT)
# Maximum number of rows per call. numpy can count the bytes of this many rows of any size that a manifest allows.
MAX_ROWS = 2**31
_FLOAT32 = np.dtype(np.float32)
_PIXELS = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
_FINITE = (-float(np.finfo(np.float32).max), float(np.finfo(np.float32).max))


def as_batch(
    value: Any, name: str, shape: tuple[int, ...], value_range: Range | None = None, encoding: str | None = None
) -> FloatArray:
    """Return `value` as a C-contiguous float32 batch. An array that already has this form is not copied.

    Args:
        value: Array of shape (n, *shape) with n >= 1.
        name: Name of the argument, for the error.
        shape: Shape of one example.
        value_range: Smallest and largest value allowed; None allows every finite value.
        encoding: If "uint8", uint8 arrays are accepted, too. They are divided by 255 in float32, as in training. If
            None, all integers are refused.

    Raises:
        InputError: `value` is empty, has a wrong shape or type, or holds NaN, infinity or values outside the range.
    """
    array = _as_array(value, name)
    # The identity test succeeds in the usual case. Comparing dtypes takes ten times as long.
    if array.dtype is not _FLOAT32 and array.dtype != _FLOAT32:
        array = _as_float32(array, name, value_range, encoding)
    if array.shape[1:] != shape or array.ndim != len(shape) + 1:
        expected = f"(n, {', '.join(map(str, shape))})"
        raise InputError(f"{name} has shape {array.shape}; expected {expected}{_axis_hint(name, array.shape, shape)}")
    if not len(array):
        raise InputError(f"{name} is an empty batch of shape {array.shape}; give at least one example")
    array = np.ascontiguousarray(array)
    _require_within(array, name, value_range)
    return array


def _as_float32(array: npt.NDArray[Any], name: str, value_range: Range | None, encoding: str | None) -> FloatArray:
    if encoding is not None and array.dtype == encoding:
        scaled: FloatArray = np.divide(array, _PIXELS[array.dtype], dtype=np.float32)
        return scaled
    if array.dtype.kind != "f":
        raise InputError(
            f"{name} is an array of {array.dtype}; expected float32{_pixel_hint(name, array, value_range)}"
        )
    with np.errstate(over="ignore"):  # an overflow becomes infinity, which is refused later
        return array.astype(np.float32)


def _axis_hint(name: str, given: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Return the part of an error message that says how to add missing axes, or "" if no axis is missing."""
    if given == shape:
        return f"; for a single example pass {name}[None]"
    if (1, *given) == shape:
        return f"; for a single example pass {name}[None, None]"
    return f"; add the missing axis with {name}[:, None]" if given and (1, *given[1:]) == shape else ""


def _pixel_hint(name: str, array: npt.NDArray[Any], value_range: Range | None) -> str:
    """Return the part of an error message that says how to convert pixels, or "" for other arrays."""
    maximum = _PIXELS.get(array.dtype)
    if maximum and value_range == (0, 1):
        return f"; scale pixels of 0..{maximum} with {name} / np.float32({maximum})"
    if maximum and value_range is None:
        scaled = f"{name} / np.float32({maximum}) if the model was trained on values in [0, 1]"
        return f"; convert it with {scaled}, otherwise with {name}.astype(np.float32)"
    return ""


def _require_within(array: FloatArray, name: str, value_range: Range | None) -> None:
    if value_range is not None and value_range[0] == 0:
        # The bits of float32 numbers from 0 to a maximum, read as integers, have the order of the numbers. The bits of
        # all other values are larger, those of NaN and -0.0 too. So this usual case takes one pass over the array.
        bits = array.view(np.uint32)
        if bits.item(bits.argmax()) <= _bits(value_range[1]):
            return
    flat = array.ravel()
    # These methods return the position of NaN if there is one. In small arrays they are faster than min and max.
    smallest, largest = flat.item(flat.argmin()), flat.item(flat.argmax())
    low, high = value_range or _FINITE
    if smallest >= low and largest <= high:
        return
    # The limits are rounded to float32, as the values are. Otherwise 0.1 in float32 would exceed a limit of 0.1.
    low, high = float(np.float32(low)), float(np.float32(high))
    if smallest >= low and largest <= high:
        return
    finite = np.isfinite(array)
    if not finite.all():
        raise InputError(f"{name} holds NaN or infinity in example {_first(~finite)}")
    outside = _first((array < low) | (array > high))
    raise InputError(
        f"{name} holds values from {smallest:.9g} to {largest:.9g}; the model takes {low:g} to {high:g}. "
        f"The first value outside this range is in example {outside}"
    )


@cache
def _bits(number: float) -> int:
    """Return the bits of a number in float32 as an integer."""
    return int(np.float32(number).view(np.uint32))


def as_conditions(
    given: Conditions | None, y: npt.ArrayLike | None, expected: Mapping[str, Condition], n: int
) -> dict[str, npt.NDArray[Any]]:
    """Return the values of all conditions for a batch.

    Args:
        given: Dict from the name of each condition to its values, as `as_condition` takes them. None means no values.
        y: Values of the condition "y"; None if `given` holds them, or the model has no condition of this name.
        expected: The conditions of the model: dict from name to condition.
        n: Number of examples in the batch.

    Raises:
        InputError: A condition is missing, unknown, or given twice, or `as_condition` refuses its values.
    """
    if not given and not expected and y is None:
        return {}
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"conditions is a {type(given).__name__}; expected a mapping from names to values")
    values = dict(given or {})
    if y is not None:
        if "y" in values:
            raise InputError("y was given twice: as a keyword and in conditions")
        values["y"] = y
    if values.keys() != expected.keys():
        takes = f"this model takes: {', '.join(expected)}" if expected else "this model has no conditions"
        raise InputError(f"conditions given: {', '.join(map(str, values)) or 'none'}; {takes}")
    return {name: as_condition(values[name], name, condition, n) for name, condition in expected.items()}


def as_condition(value: Any, name: str, condition: Condition, n: int) -> npt.NDArray[Any]:
    """Return the values of a condition for a batch as a C-contiguous array with one value per example.

    Args:
        value: Array of shape (n, *condition.shape), or one value of shape condition.shape for all examples. A class is
            given by its number or its name.
        name: Name of the condition, for the error.
        condition: Type, shape and classes of the condition.
        n: Number of examples in the batch.

    Returns:
        Array of shape (n, *condition.shape) and type `condition.dtype`.

    Raises:
        InputError: `value` has a wrong shape or type, or holds an unknown class, NaN or infinity.
    """
    array = _as_array(value, name)
    if array.shape == condition.shape:
        array = np.broadcast_to(array, (n, *condition.shape))
    if array.shape != (n, *condition.shape):
        expected = f"{(n, *condition.shape)}, or one value of shape {condition.shape} for all examples"
        raise InputError(f"{name} has shape {array.shape}; expected {expected}")
    if condition.dtype == "float32":
        return as_batch(array, name, condition.shape)
    array = class_numbers(array, name, condition)
    last = len(condition.classes) - 1
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > last:
        names = _quoted(condition.classes)
        raise InputError(
            f"{name} is {_describe(array)}; expected integers from 0 to {last}, or the names {names} as strings"
        )
    return np.ascontiguousarray(array, np.int64)


def class_numbers(labels: npt.NDArray[Any], name: str, condition: Condition) -> npt.NDArray[Any]:
    """Convert an array of class names to an array of class numbers. An array without texts is returned unchanged.

    Args:
        labels: Array of texts, each the name of a class. A text may also be the number of a class, such as "3", if no
            class has an integer as its name. Spaces around a text are ignored.
        name: Name of the condition, for the error.
        condition: The condition that has these classes. If it has no classes, `labels` is returned unchanged.

    Raises:
        InputError: A text is neither the name nor the number of a class.
    """
    texts = labels.ravel().tolist() if condition.classes and labels.dtype.kind in "UTO" else []
    if not texts or not all(isinstance(text, str) for text in texts):
        return labels
    numbers = {text: number for number, text in enumerate(condition.classes)}
    found = [_class_number(text, name, numbers) for text in texts]
    return np.array(found, np.int64).reshape(labels.shape)


def _class_number(label: str, name: str, numbers: Mapping[str, int]) -> int:
    for text in (label, label.strip()):
        if text in numbers:
            return numbers[text]
    number = label.strip()
    numbers_are_names = any(map(str.isdecimal, numbers))
    if number.isdecimal() and len(number) < 10 and int(number) < len(numbers) and not numbers_are_names:
        return int(number)
    other = "" if numbers_are_names else f", or a number from 0 to {len(numbers) - 1}"
    raise InputError(f"{name}: {label!r} is not a class of this model; expected one of {_quoted(numbers)}{other}")


def as_example(
    value: Any, name: str, shape: tuple[int, ...], value_range: Range | None, encoding: str | None = None
) -> FloatArray:
    """Validate one example, and return it as a batch of one example.

    Raises:
        InputError: `value` does not have the shape `shape`, or `as_batch` refuses it.
    """
    array = _as_array(value, name)
    if array.shape != shape:
        hint = f"; add the missing axis with {name}[None]" if (1, *array.shape) == shape else ""
        raise InputError(f"{name} has shape {array.shape}; expected one example of shape {shape}{hint}")
    return as_batch(array[None], name, shape, value_range, encoding)


def as_count(value: Any, name: str, minimum: int = 1, maximum: int = MAX_ROWS) -> int:
    """Return a Python or numpy integer as `int`.

    Raises:
        InputError: `value` is not an integer from `minimum` to `maximum`.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not minimum <= value <= maximum:
        raise InputError(f"{name} is {value!r}; expected an integer from {minimum} to {maximum:,}")
    return int(value)


def _as_array(value: Any, name: str) -> npt.NDArray[Any]:
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InputError(f"{name} is an array with masked values; fill them first: {name}.filled(0)")
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # such as ragged lists, or tensors that need gradients
        raise InputError(f"{name} cannot be converted to an array: {error}") from error


def _describe(array: npt.NDArray[Any]) -> str:
    if array.dtype.kind not in "iuf":
        return f"an array of {array.dtype}"
    return f"an array of {array.dtype} from {array.min()} to {array.max()}"


def _quoted(names: Iterable[str]) -> str:
    """Return names in quotes; a long list is shortened."""
    text = ", ".join(map(repr, names))
    return text if len(text) <= 200 else text[:197] + "..."


def _first(mask: npt.NDArray[np.bool_]) -> int:
    return int(np.argwhere(mask)[0][0])
