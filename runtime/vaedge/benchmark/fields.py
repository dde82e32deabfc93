"""Read frozen dataclasses from untrusted JSON. Each attribute declares the function that reads it."""

from collections.abc import Callable
from dataclasses import Field, field, fields
from typing import Any, ClassVar, Protocol

from vaedge.bundle.json_reader import Fields


class _Record(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


class ReportFields(Fields):
    """One object of a report, read field by field."""

    def number(self, key: str) -> float:
        """Read a number."""
        value = self._get(key)
        if not _is_number(value):
            raise self.error(key, "a number")
        return float(value)

    def positive(self, key: str) -> float:
        """Read a positive number."""
        value = self.number(key)
        if value <= 0:
            raise self.error(key, "a positive number")
        return value

    def boolean(self, key: str) -> bool:
        """Read true or false."""
        value = self._get(key)
        if type(value) is not bool:
            raise self.error(key, "true or false")
        return value

    def lists_of_positives(self, key: str) -> tuple[tuple[float, ...], ...]:
        """Read a list of lists of positive numbers. No list is empty."""
        value = self._get(key)
        if not isinstance(value, list) or not value or not all(map(_are_positive, value)):
            raise self.error(key, "a list of lists of positive numbers")
        return tuple(tuple(map(float, part)) for part in value)

    def interval(self, key: str) -> tuple[float, float]:
        """Read a list [low, high] of positive numbers with low <= high."""
        ends = self._get(key)
        if not _are_positive(ends) or len(ends) != 2 or ends[0] > ends[1]:
            raise self.error(key, "[low, high] or null")
        return float(ends[0]), float(ends[1])

    def text_by_name(self, key: str) -> dict[str, str]:
        """Read an object whose values are strings."""
        entry = ReportFields(self.mapping(key), self._path_of(key), self._file)
        return {name: entry.text(name) for name in self.mapping(key)}

    def is_null(self, key: str) -> bool:
        """Return whether the field is present and null."""
        return key in self._tree and self._get(key) is None

    def record(self, key: str, kind: type[_Record]) -> Any:
        """Read an object as a dataclass."""
        return read_record(ReportFields(self.mapping(key), self._path_of(key), self._file), kind)

    def records(self, key: str, kind: type[_Record]) -> tuple[Any, ...]:
        """Read a list of objects as a tuple of dataclasses."""
        value = self._get(key)
        if not isinstance(value, list):
            raise self.error(key, "a list of objects")
        path = self._path_of(key)
        return tuple(
            read_record(ReportFields(entry, f"{path}[{index}]", self._file), kind) for index, entry in enumerate(value)
        )


def read_by(read: Callable[[ReportFields, str], Any], *, null: bool = False) -> Any:
    """Declare an attribute whose value comes from the JSON field with the same name.

    Args:
        read: Function that takes the JSON object and the name of the field, and returns the value.
        null: Whether the field may be null. The value is then None.
    """
    return field(metadata={"read": read, "null": null})


def read_record(entry: ReportFields, kind: type[_Record]) -> Any:
    """Read an object as a dataclass. A missing, invalid or unknown field raises BundleError."""
    values = {}
    for attribute in fields(kind):
        null = attribute.metadata["null"] and entry.is_null(attribute.name)
        values[attribute.name] = None if null else attribute.metadata["read"](entry, attribute.name)
    entry.finish()
    return kind(**values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _are_positive(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_number(number) and number > 0 for number in value)
