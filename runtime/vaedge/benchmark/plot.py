"""Draw measurements with matplotlib."""

import io
from collections.abc import Sequence

from vaedge.benchmark.report import Row


def draw(rows: Sequence[Row], suffix: str) -> bytes:
    """Draw examples per second over the batch size: one panel per operation, and one line per candidate.

    Args:
        rows: The timings.
        suffix: Format of the image: ".png" or ".svg".
    """
    from matplotlib.figure import Figure

    operations = list(dict.fromkeys(row.operation for row in rows))
    figure = Figure(figsize=(4 * len(operations), 4), layout="constrained")
    for axes, operation in zip(figure.subplots(1, len(operations), squeeze=False)[0], operations, strict=True):
        for name in dict.fromkeys(row.candidate for row in rows):
            line = [row for row in rows if (row.operation, row.candidate) == (operation, name)]
            axes.loglog(
                [row.batch_size for row in line], [row.examples_per_second for row in line], marker="o", label=name
            )
        axes.set(title=operation, xlabel="batch size", ylabel="examples per second")
    axes.legend()
    content = io.BytesIO()
    figure.savefig(content, format=suffix[1:])
    return content.getvalue()
