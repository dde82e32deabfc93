"""Data sets from .csv files: tables of numbers. One column may hold the class of each row."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vaedge.errors import InputError
from vaedge.files.tables import Table, read_table
from vaedge_train.data.column_warnings import warn_about_precision
from vaedge_train.data.examples import Examples, Source, with_test_part
from vaedge_train.errors import DataError


def load_table(path: Path, label_column: str | None) -> Source:
    """Read a data set from a .csv file with a header. A tenth of the rows is held out for testing.

    Values are converted to float32. One warning names the columns that lose digits by this conversion.

    Args:
        path: The file.
        label_column: Name of the column that holds the name of the class of each row. None if no column holds classes.

    Returns:
        Train and test examples, float32, with the names of the columns.

    Raises:
        DataError: The file cannot be read, a value is not a finite number, or there are fewer than two rows.
    """
    try:
        table = read_table(path, label_column)
    except InputError as error:
        raise DataError(str(error)) from error
    if len(table.values) < 2:
        raise DataError(f"{path} has one row; expected at least 2 examples")
    warn_about_precision([_values_as_read(path, table)], table.names)
    y, classes = None, tuple(sorted(set(table.labels or ()), key=_order))
    if table.labels is not None:
        indices = {name: index for index, name in enumerate(classes)}
        y = torch.tensor([indices[name] for name in table.labels])
    return with_test_part(Examples(torch.from_numpy(table.values), y), classes, table.names)


def _values_as_read(path: Path, table: Table) -> npt.NDArray[np.floating[Any]]:
    """Return the values of a table, (n, columns). Columns that are constant in float32 are read again, as float64.

    In the file, the values of such a column may differ by less than float32 can represent.
    """
    constant = np.flatnonzero((table.values == table.values[0]).all(0))
    if not len(constant):
        return table.values
    values = table.values.astype(np.float64)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = [name.strip() for name in next(rows)]
        columns = [header.index(table.names[index]) for index in constant]
        values[:, constant] = [[float(row[column]) for column in columns] for row in rows if row]
    return values


def _order(name: str) -> tuple[int, int, str]:
    """Return the sort key of the name of a class. Integers come first, in the order of their values."""
    try:
        return 0, int(name), name
    except ValueError:
        return 1, 0, name
