"""Draw the metrics of a run, if matplotlib is installed."""

import io
from collections.abc import Sequence
from typing import Any

_METRICS = ("elbo", "distortion", "rate")
_TITLES = {"elbo": "ELBO", "distortion": "distortion", "rate": "rate"}
# Two colors of Okabe and Ito, which color-blind people can distinguish. The line styles differ, too.
_TRAIN = {"color": "#d55e00", "linestyle": "--"}
_MONITORED = {"color": "#0072b2", "linestyle": "-"}


def metrics_png(rows: Sequence[dict[str, Any]], monitored: str) -> bytes | None:
    """Return a plot of ELBO, distortion, and rate over the epochs as PNG, or None if matplotlib is not installed.

    The first tenth of the epochs does not determine the vertical range, so that late improvements remain visible.

    Args:
        rows: The lines of `metrics.jsonl`, at least one.
        monitored: Name of the part of the data set that is evaluated after each epoch: "validation" or "test".
    """
    try:
        from matplotlib.figure import Figure  # matplotlib is optional, and its import takes a second
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        return None
    figure = Figure(figsize=(12, 4), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    marker = "o" if len(rows) == 1 else None  # a line through one point is invisible
    for axes, metric in zip(figure.subplots(1, len(_METRICS)), _METRICS, strict=True):
        for part, style in (("train", _TRAIN), (monitored, _MONITORED)):
            axes.plot(epochs, [row[f"{part}_{metric}"] for row in rows], label=part, marker=marker, **style)
        axes.set(title=_TITLES[metric], xlabel="epoch", ylabel="nats per example")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="0.9")
        settled = [row[f"{part}_{metric}"] for row in rows[len(rows) // 10 :] for part in ("train", monitored)]
        margin = 0.05 * (max(settled) - min(settled))
        if margin > 0:
            axes.set_ylim(min(settled) - margin, max(settled) + margin)
    figure.axes[0].legend()
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
