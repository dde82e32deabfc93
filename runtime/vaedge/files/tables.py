"""Read and write tables of numbers as CSV files with a header. One column may hold the names of classes."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray
from vaedge.errors import InputError

TABLE_SUFFIX = ".csv"
_ROWS = 4096  # number of rows that are converted at a time
_VALUES = 2**16  # number of values that are formatted at a time
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})


@dataclass(frozen=True)
class Table:
    """The content of a CSV file.

    Attributes:
        names: Names of the columns of `values`.
        values: The numbers, float32, one row per row of the file, and one column for each of `names`.
        labels: The texts in the label column, one per row. None if no label column was named.
        lines: Number of the line where each row ends, shape (n,). Lines count from 1, and the header is a line, too.
    """

    names: tuple[str, ...]
    values: FloatArray
    labels: tuple[str, ...] | None
    lines: npt.NDArray[np.int64]


def read_table(
    path: Path, label_column: str | None = None, features: Sequence[str] = (), columns: Sequence[str] = ()
) -> Table:
    """Read a CSV file: a header, then rows of numbers. Error messages count the lines of the file from 1.

    Args:
        path: The file, in UTF-8, with commas between the columns.
        label_column: Name of the column that holds the class of each row.
        features: Required names of all columns except the label column, in this order. Empty allows all names.
        columns: Names of the columns to read from a file that may have further columns. Empty reads all columns.

    Raises:
        InputError: The file cannot be read, or its columns are not the expected ones. Or a value is missing, is not a
            number, or is not finite. The message then names the line and the column.
    """
    with _opened(path) as (header, rows):
        chosen = _choose_columns(header, path, label_column, features, columns)
        label = None if label_column is None else header.index(label_column)
        return _read_rows(rows, path, header, chosen, label)


def read_names(path: Path) -> list[str]:
    """Return the names of the columns of a CSV file.

    Raises:
        InputError: The file cannot be read, or has no header.
    """
    with _opened(path) as (header, _):
        return header


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[str], Any]]:
    """Open a CSV file for a `with` block. Yield the names of its columns, and a `csv.reader` of its rows."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            yield _read_header(next(rows, []), path), rows
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a CSV file: {error}") from error


def format_rows(*columns: npt.NDArray[Any]) -> Iterator[bytes]:
    """Yield the lines of a table, some rows at a time. Each number has enough digits to be read back exactly.

    Args:
        columns: Arrays of n rows, which are written side by side. Each element of a row is one field.
    """
    n = len(columns[0])
    size = max(1, _VALUES // max(1, sum(column[:1].size for column in columns)))
    for start in range(0, n, size):
        parts = [column[start : start + size] for column in columns]
        fields = np.concatenate([part.reshape(len(part), -1).astype(str) for part in parts], axis=1)
        yield _format(fields.tolist())


def format_header(names: Sequence[str]) -> bytes:
    """Return the first line of a CSV file."""
    return _format([list(names)])


def _format(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _read_header(names: list[str], path: Path) -> list[str]:
    """Validate the names of the columns, and return them without surrounding spaces."""
    names = [name.strip() for name in names]
    if not names:
        raise InputError(f"{path} is empty; expected a CSV file whose first line names the columns")
    if all(map(_is_number, names)) and not _is_numbering(names):
        raise InputError(
            f"{path} has no header: its first line holds only numbers, {shown_names(names)}; add a first line with the "
            "names of the columns"
        )
    for index, name in enumerate(names):
        if not name or not name.isprintable():
            raise InputError(f"{path}: column {index + 1} has the name {name!r}; name every column in the first line")
        if name in names[:index]:
            raise InputError(f"{path}: two columns have the name {name!r}; the names must be distinct")
    if len(names) == 1 and any(separator in names[0] for separator in ";\t"):
        raise InputError(f"{path} has one column, {names[0]!r}; separate the columns by commas")
    return names


def _choose_columns(
    header: list[str], path: Path, label_column: str | None, features: Sequence[str], columns: Sequence[str]
) -> list[int]:
    """Return the indices of the numeric columns to read."""
    if label_column is not None and label_column not in header:
        raise InputError(
            f"{path} has no column {label_column!r}, which --label-column names; its columns are {shown_names(header)}"
        )
    if columns:
        for name in columns:
            if name not in header:
                raise InputError(f"{path} has no column {name!r}; expected {shown_names(columns)}")
        return [header.index(name) for name in columns]
    names = [name for name in header if name != label_column]
    if not names:
        raise InputError(f"{path} has no column of numbers; expected at least one")
    if features and names != list(features):
        raise InputError(f"{path} has other columns than the model: {_difference(names, features)}")
    return [header.index(name) for name in names]


def _difference(names: list[str], features: Sequence[str]) -> str:
    """Describe how the columns of a file differ from the expected ones."""
    expected = f"expected {shown_names(features)}"
    if sorted(names) == sorted(features):
        index = next(index for index, name in enumerate(names) if name != features[index])
        return (
            f"the columns are in another order: column {index + 1} is {names[index]!r} instead of {features[index]!r}; "
            f"{expected}"
        )
    missing = [name for name in features if name not in names]
    extra = [name for name in names if name not in features]
    parts = []
    if missing:
        parts.append(f"{_columns(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    if extra:
        parts.append(f"the model does not know {_columns(extra)} (--label-column names the column of the classes)")
    return f"{', and '.join(parts)}; {expected}"


def _columns(names: Sequence[str]) -> str:
    return f"the column{'' if len(names) == 1 else 's'} {shown_names([repr(name) for name in names])}"


def _read_rows(rows: Any, path: Path, header: list[str], chosen: list[int], label: int | None) -> Table:
    """Convert the rows after the header; `rows` is a `csv.reader`."""
    names = tuple(header[index] for index in chosen)
    is_all = chosen == list(range(len(header)))
    values: list[list[float]] = []
    lines: list[int] = []
    labels: list[str] = []
    parts: list[FloatArray] = []
    ends: list[npt.NDArray[np.int64]] = []
    empty_line = 0
    for row in rows:
        if len(row) != len(header) or empty_line:
            if not row:
                empty_line = empty_line or rows.line_num  # allowed at the end of the file
                continue
            if empty_line:
                raise InputError(f"{path}, line {empty_line}: the line is empty; remove it")
            raise InputError(
                f"{path}, line {rows.line_num}: the row has {len(row)} fields; the header has {len(header)} columns"
            )
        fields = row if is_all else [row[index] for index in chosen]
        try:
            values.append([float(field) for field in fields])
        except ValueError:
            raise _field_error(path, rows.line_num, names, fields) from None
        if "_" in "".join(fields):  # float() allows underscores between digits
            raise _field_error(path, rows.line_num, names, fields)
        if label is not None:
            labels.append(_read_label(row[label], path, rows.line_num, header[label]))
        lines.append(rows.line_num)
        if len(values) == _ROWS:
            parts.append(_as_finite(values, path, lines, names))
            ends.append(np.array(lines))
            values, lines = [], []
    if values:
        parts.append(_as_finite(values, path, lines, names))
        ends.append(np.array(lines))
    if not parts:
        raise InputError(f"{path} has no rows after the header; expected at least one")
    return Table(names, np.concatenate(parts), tuple(labels) if label is not None else None, np.concatenate(ends))


def _as_finite(values: list[list[float]], path: Path, lines: list[int], names: Sequence[str]) -> FloatArray:
    """Return the values as float32. Raise InputError if a value is not finite in float32."""
    with np.errstate(over="ignore"):
        array = np.array(values).astype(np.float32)
    finite = np.isfinite(array)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise _field_error(path, lines[row], names, {column: values[row][column]}, column)
    return array


def _read_label(text: str, path: Path, line: int, column: str) -> str:
    text = text.strip()
    if not text or not text.isprintable():
        raise InputError(f"{path}, line {line}, column {column!r}: the label is {text!r}; expected the name of a class")
    return text


def _field_error(path: Path, line: int, names: Sequence[str], fields: Any, column: int | None = None) -> InputError:
    """Return the error for one field of a row. If `column` is None, the field is the first one that is not a number."""
    if column is None:
        column = next(index for index, field in enumerate(fields) if not _is_number(field))
    text = str(fields[column]).strip()
    if _is_missing(text):
        return _missing_error(path, names)
    place = f"{path}, line {line}, column {names[column]!r}"
    if _is_number(text):
        return InputError(f"{place}: {text} is not a finite number in float32")
    return InputError(
        f"{place}: {text[:40]!r} is not a number; if the column holds classes, name it with --label-column"
    )


def _missing_error(path: Path, names: Sequence[str]) -> InputError:
    """Read the file again, and return an error with the first missing value and the number of missing values."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, restval="0")  # a row that is too short has its own error message
        rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
        missing = ((rows.line_num, name, row[name].strip()) for row in rows for name in names if _is_missing(row[name]))
        line, name, text = next(missing)
        count = 1 + sum(1 for _ in missing)
    held = f" ({text!r})" if text else ""
    return InputError(
        f"{path}, line {line}, column {name!r}: the value is missing{held}; fill it in, or remove the row or the "
        f"column. Missing values in the file: {count:,}"
    )


def _is_missing(text: str) -> bool:
    return text.strip().strip("+-").lower() in _MISSING  # float() also reads "-nan"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _is_numbering(names: Sequence[str]) -> bool:
    """Return whether the names are increasing integers, such as years or the column numbers of pandas."""
    numbers = [float(name) for name in names]
    return all(map(str.isdecimal, names)) and all(first < second for first, second in pairwise(numbers))


def shown_names(names: Sequence[str]) -> str:
    """Return the names of columns for a message; a long list is shortened."""
    text = ", ".join(names)
    return text if len(text) <= 300 else text[:297] + "..."
