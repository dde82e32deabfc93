"""Strict reader for untrusted JSON; unknown fields are errors."""

import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

from vaedge.errors import BundleError

MAX_ELEMENTS = 2**28  # maximum for one example, which is 1 GiB as float32
MAX_AXES = 8
_FLOAT32_MAX = 3.4028234663852886e38


def parse_json(text: str, file: str) -> object:
    """Parse JSON text. NaN, infinity, duplicate field names in an object, and unpaired surrogates are errors.

    Args:
        text: The content of the file.
        file: Name of the file, for errors.

    Raises:
        BundleError: The text is not valid JSON, or contains one of these errors. The message names the file.
    """
    try:
        tree: object = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite_float, object_pairs_hook=_unique_names
        )
        json.dumps(tree, ensure_ascii=False).encode()  # fails for unpaired surrogates
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{file} is not valid JSON: {error}") from error
    return tree


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite_float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_constant(text)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        duplicate = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the field {duplicate!r} occurs more than once in the same object")
    return tree


class Fields:
    """One object of a JSON tree, read field by field.

    Every method that reads a field raises BundleError if the field is missing or invalid. The message names the file
    and the field.
    """

    def __init__(self, tree: object, path: str, file: str) -> None:
        """Wrap a parsed object.

        Args:
            tree: The parsed JSON value, which must be an object.
            path: Path of the object in the file: field names joined with dots. Empty for the whole file.
            file: Name of the file, for errors.
        """
        if not isinstance(tree, dict):
            raise BundleError(f"{file}: {path or 'the whole file'} is not a JSON object")
        self._tree: dict[str, Any] = tree
        self._read: set[str] = set()
        self._path = path
        self._file = file

    def error(self, key: str, expected: str) -> BundleError:
        """Return a BundleError that states the value of a field and the expected value."""
        path = self._path_of(key)
        if key not in self._tree:
            return BundleError(f"{self._file}: {path} is missing; expected {expected}")
        return BundleError(f"{self._file}: {path} is {_shortened(self._tree[key])}; expected {expected}")

    def __contains__(self, key: str) -> bool:
        """Return whether the object has the field. Use this method for optional fields."""
        return key in self._tree

    def finish(self) -> None:
        """Raise BundleError if the object has a field that was not read."""
        for key in self._tree:
            if key not in self._read:
                raise BundleError(f"{self._file}: {_shortened(self._path_of(key))} is not a field of this format")

    def text(self, key: str) -> str:
        """Read a non-empty string of printable characters."""
        value = self._get(key)
        if not _is_text(value) or not value:
            raise self.error(key, "a string of printable characters")
        return str(value)

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        """Read a string that matches the whole pattern."""
        value = self.text(key)
        if not pattern.fullmatch(value):
            raise self.error(key, f"text that matches {pattern.pattern}")
        return value

    def integer(self, key: str) -> int:
        """Read an integer from 0 to 2^63 - 1."""
        value = self._get(key)
        if type(value) is not int or not 0 <= value < 2**63:
            raise self.error(key, "a non-negative integer")
        return value

    def texts(self, key: str, *, empty: bool = False) -> tuple[str, ...]:
        """Read a list of strings of printable characters.

        Args:
            key: Name of the field.
            empty: Whether an empty list is allowed.
        """
        value = self._get(key)
        if not isinstance(value, list) or not (value or empty):
            raise self.error(key, "a list of strings")
        if not all(map(_is_text, value)):
            raise self.error(key, "a list of strings of printable characters")
        return tuple(value)

    def shape(self, key: str, *, scalar: bool = False) -> tuple[int, ...]:
        """Read a shape: a list of at most 8 positive integers, whose product is at most 2^28.

        Args:
            key: Name of the field.
            scalar: Whether an empty list is allowed. An empty list is the shape of a single number.
        """
        value = self._get(key)
        if not isinstance(value, list) or not (value or scalar) or len(value) > MAX_AXES:
            raise self.error(key, f"a list of at most {MAX_AXES} positive integers")
        if not all(type(size) is int and size > 0 for size in value) or math.prod(value) > MAX_ELEMENTS:
            raise self.error(key, f"positive integers whose product is at most {MAX_ELEMENTS:,}")
        return tuple(value)

    def range(self, key: str) -> tuple[float, float] | None:
        """Read a list [minimum, maximum] with minimum < maximum. Return None for null."""
        value = self._get(key)
        if value is None and key in self._tree:
            return None
        if not isinstance(value, list) or len(value) != 2 or not all(type(limit) in (int, float) for limit in value):
            raise self.error(key, "[minimum, maximum] or null")
        if not -_FLOAT32_MAX <= value[0] < value[1] <= _FLOAT32_MAX:
            raise self.error(key, "[minimum, maximum], both finite in float32, or null")
        return float(value[0]), float(value[1])

    def mapping(self, key: str) -> dict[str, Any]:
        """Read a field that holds an object. Return the object as a dict, without validating its content."""
        value = self._get(key)
        if not isinstance(value, dict):
            raise self.error(key, "an object")
        return value

    def fields(self, key: str) -> "Fields":
        """Read a field that holds an object, and wrap the object in `Fields`."""
        return Fields(self.mapping(key), self._path_of(key), self._file)

    def entries(self) -> list[tuple[str, "Fields"]]:
        """Read all fields, each of which must hold an object. Return pairs of field name and wrapped object."""
        return [(key, self.fields(key)) for key in self._tree]

    def _get(self, key: str) -> Any:
        self._read.add(key)
        return self._tree.get(key)

    def _path_of(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


def _is_text(value: object) -> bool:
    """Return whether a value is a string of printable characters. Control characters could manipulate a terminal."""
    return isinstance(value, str) and value.isprintable()


def _shortened(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
