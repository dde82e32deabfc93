"""The color on which transparent images are composited."""

import re
from typing import TypeAlias

from vaedge.errors import InputError

Color: TypeAlias = tuple[int, int, int]

_NAMED: dict[str, Color] = {"black": (0, 0, 0), "white": (255, 255, 255)}


def parse_background(text: str) -> Color:
    """Read a color.

    Args:
        text: "white", "black", or "R,G,B" with integers from 0 to 255.

    Returns:
        Red, green and blue, each from 0 to 255.

    Raises:
        InputError: The text does not have one of these forms.
    """
    if text in _NAMED:
        return _NAMED[text]
    parts = re.fullmatch(r"(\d{1,3}),(\d{1,3}),(\d{1,3})", text, re.ASCII)
    levels = [int(part) for part in parts.groups()] if parts else [256]
    if max(levels) > 255:
        raise InputError(f"background is {text!r}; expected white, black, or R,G,B with integers from 0 to 255")
    red, green, blue = levels
    return red, green, blue
