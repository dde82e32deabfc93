"""Texts that name a background color are read, and other texts are refused."""

import pytest

from vaedge.errors import InputError
from vaedge.files.background import parse_background


@pytest.mark.parametrize(
    ("text", "color"), [("white", (255, 255, 255)), ("black", (0, 0, 0)), ("0,7,255", (0, 7, 255))]
)
def test_color_is_a_name_or_three_levels(text, color):
    assert parse_background(text) == color


@pytest.mark.parametrize("text", ["", "red", "1,2", "1,2,3,4", "-1,2,3", "1,2,256", "1, 2, 3"])
def test_other_texts_are_refused(text):
    with pytest.raises(InputError, match="expected white, black, or R,G,B with integers from 0 to 255"):
        parse_background(text)
