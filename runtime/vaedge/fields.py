"""JSON that came from elsewhere, read with precise errors."""

import json
import re
from typing import Any

from vaedge.errors import BundleError


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
        self._place = place
        self._file = file

    def wrong(self, key: str, expected: str) -> BundleError:
        """Return the error that says what a field holds and what was expected."""
        place = f"{self._place}.{key}" if self._place else key
        if key not in self._tree:
            return BundleError(f"{self._file}: {place} is missing; expected {expected}")
        shown = json.dumps(self._tree[key])
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return BundleError(f"{self._file}: {place} is {shown}; expected {expected}")

    def text(self, key: str) -> str:
        """Return a string that is not empty."""
        value = self._tree.get(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "a string")
        return value

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        """Return a string that a pattern describes from end to end."""
        value = self.text(key)
        if not pattern.fullmatch(value):
            raise self.wrong(key, f"text like {pattern.pattern}")
        return value

    def integer(self, key: str) -> int:
        """Return a whole number of at least 0."""
        value = self._tree.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.wrong(key, "a whole number")
        return value

    def texts(self, key: str) -> list[str]:
        """Return a list of strings that is not empty."""
        value = self._tree.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(part, str) for part in value):
            raise self.wrong(key, "a list of strings")
        return value

    def shape(self, key: str, *, scalar: bool = False) -> tuple[int, ...]:
        """Return positive sizes; none at all only where a scalar is allowed."""
        value = self._tree.get(key)
        valid = isinstance(value, list) and (value or scalar) and all(type(size) is int and size > 0 for size in value)
        if not valid:
            raise self.wrong(key, "a list of positive whole numbers")
        return tuple(self._tree[key])

    def range(self, key: str) -> tuple[float, float] | None:
        """Return two numbers, the first the smaller, or None for null."""
        value = self._tree.get(key, "missing")
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 2:
            raise self.wrong(key, "[least, greatest] or null")
        if not all(type(end) in (int, float) for end in value) or not value[0] < value[1]:
            raise self.wrong(key, "[least, greatest] or null")
        return float(value[0]), float(value[1])

    def mapping(self, key: str) -> dict[str, Any]:
        """Return an object as it is."""
        value = self._tree.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return value

    def fields(self, key: str) -> "Fields":
        """Return an object, to be read field by field."""
        return Fields(self.mapping(key), f"{self._place}.{key}" if self._place else key, self._file)

    def items(self) -> list[tuple[str, "Fields"]]:
        """Return all fields, each an object."""
        return [(key, self.fields(key)) for key in self._tree]
