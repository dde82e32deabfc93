"""A table that is printed as aligned text or as Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        columns: Heads of the columns. The first column holds names, and is aligned to the left.
        rows: The cells of each row.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> Iterator[str]:
        """Yield the lines of the table with aligned columns."""
        lines = (self.columns, *self.rows)
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        for first, *others in lines:
            cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
            yield "  ".join([f"{first:<{widths[0]}}", *cells])

    def markdown(self) -> Iterator[str]:
        """Yield the lines of the table in Markdown."""
        ruler = ["---", *("---:" for _ in self.columns[1:])]
        for cells in (self.columns, ruler, *self.rows):
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
