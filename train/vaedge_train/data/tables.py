"""Data sets from .csv files: tables of numbers, with a column of classes on demand."""

from pathlib import Path

import torch

from vaedge.errors import InputError
from vaedge.files.tables import read_table
from vaedge_train.data.examples import Examples, Source, with_test_part
from vaedge_train.errors import DataError


def load_table(path: Path, label_column: str | None) -> Source:
    """Read a data set from a .csv file with a header. A tenth of the rows is held out for testing.

    Args:
        path: The file.
        label_column: Name of the column that holds the class of each row, as text. None if no column holds classes.

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
    y, classes = None, tuple(sorted(set(table.labels or ()), key=_order))
    if table.labels is not None:
        indices = {name: index for index, name in enumerate(classes)}
        y = torch.tensor([indices[name] for name in table.labels])
    return with_test_part(Examples(torch.from_numpy(table.values), y), classes, table.names)


def _order(name: str) -> tuple[int, int, str]:
    """Return the key by which the names of classes are sorted: integers by their value, before other texts."""
    try:
        return 0, int(name), name
    except ValueError:
        return 1, 0, name
