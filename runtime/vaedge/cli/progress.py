"""Show the progress of long operations: a bar on a terminal, otherwise a line of text every ten seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_DELAY = 2.0  # seconds before a bar appears
_LINE_SECONDS = 10.0
_LINE = "{desc}: {percentage:.0f}%, {n:,.0f} of {total:,}{unit}, {rate_noinv_fmt}, {remaining} left{postfix}"
_LINE_WITHOUT_RATE = "{desc}: {percentage:.0f}%, {n:,.0f} of {total:,}{unit}{postfix}"
_BAR_WITHOUT_RATE = "{l_bar}{bar}| {n:,.0f} of {total:,}{unit}{postfix}"


@contextmanager
def progress_bar(
    total: int, description: str, unit: str, *, initial: int = 0, rate: bool = True, shown: bool = True
) -> Iterator[Callable[..., None]]:
    """Show the progress of an operation on stderr.

    Nothing is shown if the operation is short, or if tqdm is not installed.

    Args:
        total: Amount of work.
        description: Description of the work, for example "reading images".
        unit: Plural of the unit of work, for example "examples".
        initial: Amount of work that is done already.
        rate: Whether to show the speed and the remaining time. Both are useless if the work is measured in seconds.
        shown: Whether to show anything.

    Yields:
        The function `advance(amount, describe=None)`. Call it after each part of the work with the amount of this part.
        `describe` is a function that returns additional text; it is called only when this text is shown.
    """
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda *_: None
        return
    options: dict[str, Any] = {"delay": _DELAY, "unit_scale": True, "bar_format": None if rate else _BAR_WITHOUT_RATE}
    interval = 0.5
    if not sys.stderr.isatty():
        interval = _LINE_SECONDS
        options = {"delay": interval, "mininterval": interval, "maxinterval": interval, "miniters": 1}
        options |= {"file": _Lines(sys.stderr), "bar_format": _LINE if rate else _LINE_WITHOUT_RATE, "leave": False}
    described = time.monotonic()

    def advance(amount: int, describe: Callable[[], str] | None = None) -> None:
        nonlocal described
        if describe is not None and shown and time.monotonic() - described >= interval:
            described = time.monotonic()
            bar.set_postfix_str(describe(), refresh=False)
        bar.update(amount)

    with tqdm(total=total, initial=initial, desc=description, unit=f" {unit}", disable=not shown, **options) as bar:
        yield advance


class _Lines:
    """A text stream for tqdm that writes each update of the progress bar as a separate line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        if line := text.strip():
            self._stream.write(f"{line}\n")

    def flush(self) -> None:
        self._stream.flush()
