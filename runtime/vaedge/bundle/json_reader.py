"""JSON that came from elsewhere, read with precise errors: what nobody asked for is an error too."""

import json
import math
import re
from typing import Any, NoReturn

from vaedge.errors import BundleError

_MOST_ELEMENTS = 2**28  # of one item: a gibibyte of float32
_MOST_AXES = 8
_FLOAT32_MAX = 3.4028234663852886e38


def parse_json(text: str, file: str) -> object:
    """Parse a text, strictly: no NaN, no infinity, no name twice in an object, no half of a surrogate pair.

    Raises:
        BundleError: it is not JSON; the message names the file.
    """
    try:
        tree: object = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_distinct
        )
        json.dumps(tree, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{file} is not valid JSON: {error}") from error
    return tree


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_constant(text)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return tree


class Fields:
    """One object of a JSON tree, read field by field; every reader raises BundleError, which names file and place."""

    def __init__(self, tree: object, place: str, file: str) -> None:
        """Take a parsed tree.

        Args:
            tree: what JSON gave.
            place: of the object in the file, with dots; empty for the whole file.
            file: its name, for the errors.
        """
        if not isinstance(tree, dict):
            raise BundleError(f"{file}: {place or 'the whole file'} is not an object")
        self._tree: dict[str, Any] = tree
        self._read: set[str] = set()
        self._place = place
        self._file = file

    def wrong(self, key: str, expected: str) -> BundleError:
        """Return the error that says what a field holds and what was expected."""
        place = f"{self._place}.{key}" if self._place else key
        if key not in self._tree:
            return BundleError(f"{self._file}: {place} is missing; expected {expected}")
        return BundleError(f"{self._file}: {place} is {_shown(self._tree[key])}; expected {expected}")

    def finish(self) -> None:
        """Raise BundleError if the object has a field that was not read: nobody knows what it was meant to say."""
        for key in self._tree:
            if key not in self._read:
                place = f"{self._place}.{key}" if self._place else key
                raise BundleError(f"{self._file}: {_shown(place)} is no field of this format")

    def _get(self, key: str) -> Any:
        self._read.add(key)
        return self._tree.get(key)

    def text(self, key: str) -> str:
        """Return a string of printable characters that is not empty."""
        value = self._get(key)
        if not _is_text(value) or not value:
            raise self.wrong(key, "a string of printable characters")
        return str(value)

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        """Return a string that a pattern describes from end to end."""
        value = self.text(key)
        if not pattern.fullmatch(value):
            raise self.wrong(key, f"text like {pattern.pattern}")
        return value

    def integer(self, key: str) -> int:
        """Return a whole number of at least 0."""
        value = self._get(key)
        if type(value) is not int or not 0 <= value < 2**63:
            raise self.wrong(key, "a whole number")
        return value

    def texts(self, key: str, *, empty: bool = False) -> tuple[str, ...]:
        """Return a list of strings; one without any only where that is allowed."""
        value = self._get(key)
        if not isinstance(value, list) or not (value or empty):
            raise self.wrong(key, "a list of strings")
        if not all(map(_is_text, value)):
            raise self.wrong(key, "a list of strings of printable characters")
        return tuple(value)

    def shape(self, key: str, *, scalar: bool = False) -> tuple[int, ...]:
        """Return positive sizes, at most eight and of 2^28 elements; none at all only where a scalar is allowed."""
        value = self._get(key)
        if not isinstance(value, list) or not (value or scalar) or len(value) > _MOST_AXES:
            raise self.wrong(key, "a list of positive whole numbers")
        if not all(type(size) is int and size > 0 for size in value) or math.prod(value) > _MOST_ELEMENTS:
            raise self.wrong(key, f"positive whole numbers whose product is at most {_MOST_ELEMENTS:,}")
        return tuple(value)

    def range(self, key: str) -> tuple[float, float] | None:
        """Return two numbers, the first the smaller, or None for null."""
        value = self._get(key)
        if value is None and key in self._tree:
            return None
        if not isinstance(value, list) or len(value) != 2 or not all(type(end) in (int, float) for end in value):
            raise self.wrong(key, "[least, greatest] or null")
        if not -_FLOAT32_MAX <= value[0] < value[1] <= _FLOAT32_MAX:
            raise self.wrong(key, "[least, greatest], both finite in float32, or null")
        return float(value[0]), float(value[1])

    def mapping(self, key: str) -> dict[str, Any]:
        """Return an object as it is."""
        value = self._get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return value

    def fields(self, key: str) -> "Fields":
        """Return an object, to be read field by field."""
        return Fields(self.mapping(key), f"{self._place}.{key}" if self._place else key, self._file)

    def items(self) -> list[tuple[str, "Fields"]]:
        """Return all fields, each an object."""
        return [(key, self.fields(key)) for key in self._tree]


def _is_text(value: object) -> bool:
    """Say whether it is a string that can be printed: control characters could take a terminal over."""
    return isinstance(value, str) and value.isprintable()


def _shown(value: object) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
