"""Which arrays the runtime takes: one stated rule, and an error that says what to do.

Floating-point arrays of the right shape, finite, and inside the declared range; latents within a million. C-contiguous
float32 is used as it is; other floating types, byte orders and layouts, lists, and subclasses of arrays are converted,
and read-only arrays are read. Integers are refused, for a picture of 0..255 given where 0..1 is meant is the commonest
mistake of all; so are masked arrays with anything masked, for a mask means that a value is not known.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vaedge.bundle.manifest import Condition
from vaedge.errors import InputError

_FLOAT32 = np.dtype(np.float32)
_PIXELS = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
_FINITE = (-float(np.finfo(np.float32).max), float(np.finfo(np.float32).max))
# Of a latent: beyond it no prior has any mass, and products with weights would soon leave float32.
MOST_LATENT = 1e6
LATENT_RANGE = (-MOST_LATENT, MOST_LATENT)
MOST_ITEMS = 2**31  # in one call; with items as large as a manifest allows, numpy can still count the bytes
_FEW = 4096  # elements up to which one product beats two comparisons, and BLAS starts no thread for it

FloatArray: TypeAlias = npt.NDArray[np.float32]


def as_batch(
    value: Any, name: str, item_shape: tuple[int, ...], value_range: tuple[float, float] | None = None
) -> FloatArray:
    """Return `value` as a C-contiguous float32 batch, without a copy where it is one already.

    Args:
        value: array of shape (n, *item_shape), n >= 1.
        name: what the caller knows the argument as, for the error.
        item_shape: shape of one item.
        value_range: least and greatest value allowed; None allows every finite value.

    Raises:
        InputError: wrong shape, type, an empty batch, NaN, infinity, or a value outside the range.
    """
    array = _as_array(value, name)
    if array.dtype is not _FLOAT32 and array.dtype != _FLOAT32:
        if array.dtype.kind != "f":
            most = _PIXELS.get(array.dtype) if value_range == (0, 1) else None
            hint = f"; scale pixels of 0..{most} with {name} / np.float32({most})" if most else ""
            raise InputError(f"{name} is an array of {array.dtype}; expected float32{hint}")
        with np.errstate(over="ignore"):  # it becomes infinity, which is refused below
            array = array.astype(np.float32)
    if array.shape[1:] != item_shape or array.ndim != len(item_shape) + 1:
        hint = f"; for a single item pass {name}[None]" if array.shape == item_shape else ""
        raise InputError(f"{name} has shape {array.shape}; expected {_batch_of(item_shape)}{hint}")
    if not len(array):
        raise InputError(f"{name} is an empty batch, shape {array.shape}; give at least one item")
    array = np.ascontiguousarray(array)
    if _is_surely_within(array.ravel(), value_range):
        return array
    least, greatest = float(array.min()), float(array.max())  # NaN and infinity show up here too
    # As float32 has them: 0.1 is a little more there than in a manifest, and the greatest value allowed all the same.
    low, high = (float(np.float32(limit)) for limit in value_range or _FINITE)
    if not (least >= low and greatest <= high):
        if not np.isfinite(array).all():
            raise InputError(f"{name} holds NaN or infinity in item {_first_bad(~np.isfinite(array))}")
        bad = _first_bad((array < low) | (array > high))
        raise InputError(
            f"{name} holds values from {least:.9g} to {greatest:.9g}, first in item {bad}; "
            f"the model takes {low:g} to {high:g}"
        )
    return array


def _is_surely_within(flat: FloatArray, value_range: tuple[float, float] | None) -> bool:
    """Say in one pass that all values are allowed; where it cannot be said so quickly, the slow way decides."""
    low, high = value_range if value_range else _FINITE
    if low == -high:  # no value is beyond the limit whose square is more than the sum of all squares
        with np.errstate(over="ignore"):
            return flat.size <= _FEW and bool(np.dot(flat, flat) <= min(high * high, _FINITE[1]))
    # As whole numbers, the bits of floats from 0 to a limit are in their order, and those of all others are greater.
    return low == 0 and bool(np.maximum.reduce(flat.view(np.uint32)) <= np.float32(high).view(np.uint32))


def as_condition(value: Any, name: str, condition: Condition, n: int) -> npt.NDArray[Any]:
    """Return the values of a condition for a batch, C-contiguous, one per item.

    Args:
        value: array of shape (n, *condition.shape), or one value of condition.shape for all items.
        name: of the condition, for the error.
        condition: what the model takes.
        n: items in the batch.

    Returns:
        (n, *condition.shape) int64 or float32, as the condition says.

    Raises:
        InputError: wrong shape or type, no such class, NaN or infinity.
    """
    array = _as_array(value, name)
    if array.shape == condition.shape:
        array = np.broadcast_to(array, (n, *condition.shape))
    if array.shape != (n, *condition.shape):
        expected = f"{(n, *condition.shape)}, or {condition.shape} for all items"
        raise InputError(f"{name} has shape {array.shape}; expected {expected}")
    if condition.dtype == "float32":
        return as_batch(array, name, condition.shape)
    count = len(condition.classes)
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= count:
        raise InputError(
            f"{name} is {_shown(array)}; expected whole numbers from 0 to {count - 1}: {_names(condition)}"
        )
    return np.ascontiguousarray(array, np.int64)


def as_item(value: Any, name: str, item_shape: tuple[int, ...], value_range: tuple[float, float] | None) -> FloatArray:
    """Return one item as a batch of one.

    Raises:
        InputError: as for `as_batch`; the item is given without a batch axis.
    """
    array = _as_array(value, name)
    if array.shape != item_shape:
        raise InputError(f"{name} has shape {array.shape}; expected one item, shape {item_shape}")
    return as_batch(array[None], name, item_shape, value_range)


def as_output(out: FloatArray | None, shape: tuple[int, ...]) -> FloatArray:
    """Return the caller's array after checking it, or a new one.

    Raises:
        InputError: the caller's array has another shape or type, or cannot be written.
    """
    if out is None:
        return np.empty(shape, np.float32)
    is_array = isinstance(out, np.ndarray) and not isinstance(out, np.ma.MaskedArray)
    if not is_array or out.dtype != np.float32 or out.shape != shape or not out.flags.writeable:
        found = f"{out.dtype} {out.shape}" if is_array else type(out).__name__
        raise InputError(f"out is {found}; expected a writeable float32 array of shape {shape}")
    return out


def as_count(value: Any, name: str, least: int = 1, most: int = MOST_ITEMS) -> int:
    """Return a whole number as Python's own.

    Raises:
        InputError: it is not one, or not from `least` to `most`.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value <= most:
        raise InputError(f"{name} is {value!r}; expected a whole number from {least} to {most:,}")
    return int(value)


def _as_array(value: Any, name: str) -> npt.NDArray[Any]:
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InputError(f"{name} is an array with masked values; fill them first: {name}.filled(0)")
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists; tensors that must be detached first
        raise InputError(f"{name} cannot be taken as an array: {error}") from error


def _shown(array: npt.NDArray[Any]) -> str:
    return (
        f"an array of {array.dtype}, from {array.min()} to {array.max()}" if array.dtype.kind in "iuf" else "no numbers"
    )


def _names(condition: Condition) -> str:
    names = ", ".join(condition.classes)
    return names if len(names) <= 80 else names[:77] + "..."


def _batch_of(item_shape: tuple[int, ...]) -> str:
    return f"(n, {', '.join(map(str, item_shape))})"


def _first_bad(mask: npt.NDArray[np.bool_]) -> int:
    return int(np.argwhere(mask)[0][0])
