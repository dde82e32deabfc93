"""JSON is read strictly: values at a limit are accepted, and values beyond a limit are refused."""

import json
import math
import re

import numpy as np
import pytest

import vaedge
from vaedge.bundle import json_reader
from vaedge.bundle.json_reader import MAX_AXES, MAX_ELEMENTS, Fields, parse_json

FLOAT32_MAX = float(np.finfo(np.float32).max)


def fields(value):
    return Fields({"key": value}, "", "file.json")


def refuses(method, value, **options):
    with pytest.raises(vaedge.BundleError, match=r"file.json: key is .*; expected"):
        getattr(fields(value), method)("key", **options)


@pytest.mark.parametrize("text", ["{}", "[1, 2.5, -1e308, true, null]", '"\\ud83d\\ude00"', "  1 "])
def test_valid_json_is_parsed(text):
    assert parse_json(text, "file.json") == json.loads(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ("NaN", "NaN is not a JSON number"),
        ("[-Infinity]", "-Infinity is not a JSON number"),
        ("1e999", "1e999 is not a JSON number"),
        ('{"a": 1, "b": 2, "a": 1}', "the field 'a' occurs more than once in the same object"),
        ('"\\ud800"', "surrogates not allowed"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_invalid_json_is_refused(text, message):
    with pytest.raises(vaedge.BundleError, match=f"file.json is not valid JSON: .*{message}"):
        parse_json(text, "file.json")


@pytest.mark.parametrize("tree", [[], None, 1, "text"])
def test_value_that_is_not_an_object_is_refused(tree):
    with pytest.raises(vaedge.BundleError, match=r"file.json: the whole file is not a JSON object"):
        Fields(tree, "", "file.json")
    with pytest.raises(vaedge.BundleError, match=r"file.json: a.b is not a JSON object"):
        Fields(tree, "a.b", "file.json")


@pytest.mark.parametrize("value", ["a", " ", "ä 字", "x" * 10_000])
def test_text_returns_printable_strings(value):
    assert fields(value).text("key") == value


@pytest.mark.parametrize("value", ["", "\n", "\x1b[0m", "\0", 1, None, ["a"]])
def test_text_refuses_other_values(value):
    refuses("text", value)


@pytest.mark.parametrize("value", [0, 1, 2**63 - 1])
def test_integer_returns_values_within_the_limits(value):
    assert fields(value).integer("key") == value


@pytest.mark.parametrize("value", [-1, 2**63, 1.0, True, "1", None])
def test_integer_refuses_other_values(value):
    refuses("integer", value)


@pytest.mark.parametrize("value", [[1], [MAX_ELEMENTS], [2**14, 2**14], [1] * MAX_AXES])
def test_shape_returns_sizes_within_the_limits(value):
    assert fields(value).shape("key") == tuple(value)


@pytest.mark.parametrize(
    "value", [[], [0], [-1], [MAX_ELEMENTS + 1], [2**14, 2**14 + 1], [1] * (MAX_AXES + 1), [1.0], [True], 1, "1", None]
)
def test_shape_refuses_other_values(value):
    refuses("shape", value)


def test_limits_of_shapes_are_those_of_the_format():
    assert (MAX_AXES, MAX_ELEMENTS) == (8, 268_435_456)


def test_shape_may_be_empty_where_a_scalar_is_allowed():
    assert fields([]).shape("key", scalar=True) == ()
    assert fields([2]).shape("key", scalar=True) == (2,)
    refuses("shape", [0], scalar=True)


@pytest.mark.parametrize(
    "value", [[0, 1], [-1.5, 2], [-FLOAT32_MAX, FLOAT32_MAX], [0, 1e-300], [FLOAT32_MAX - 1e30, FLOAT32_MAX]]
)
def test_range_returns_limits_of_float32(value):
    found = fields(value).range("key")
    assert found == tuple(value)
    assert [type(limit) for limit in found] == [float, float]


def test_range_may_be_null_but_not_missing():
    assert fields(None).range("key") is None
    with pytest.raises(vaedge.BundleError, match=r"file.json: key is missing; expected \[minimum, maximum\] or null"):
        Fields({}, "", "file.json").range("key")


@pytest.mark.parametrize(
    "value",
    [
        *([1, 1], [1, 0], [0], [0, 1, 2], [0, True], [0, "1"], [0, None], "01", 1, {}),
        *([0, math.nextafter(FLOAT32_MAX, math.inf)], [math.nextafter(-FLOAT32_MAX, -math.inf), 0], [0, 10**400]),
    ],
)
def test_range_refuses_other_values(value):
    refuses("range", value)


@pytest.mark.parametrize("value", [["a"], ["a", "b", "a"], [" "], ["a", ""]])
def test_texts_returns_lists_of_printable_strings(value):
    assert fields(value).texts("key") == tuple(value)


@pytest.mark.parametrize("value", [[], "a", ["a", 1], ["\x1b"], None, {"a": 1}])
def test_texts_refuses_other_values(value):
    refuses("texts", value)


def test_texts_may_be_empty_where_that_is_allowed():
    assert fields([]).texts("key", empty=True) == ()
    refuses("texts", {}, empty=True)


def test_matching_compares_the_whole_text():
    pattern = re.compile(r"[0-9]+")
    assert fields("12").matching("key", pattern) == "12"
    for value in ("12x", "x12", "12\n"):
        refuses("matching", value, pattern=pattern)


def test_unread_field_is_refused():
    tree = Fields({"read": 1, "unread": 2}, "a", "file.json")
    tree.integer("read")
    with pytest.raises(vaedge.BundleError, match=r'file.json: "a.unread" is not a field of this format'):
        tree.finish()
    tree.integer("unread")
    tree.finish()


def test_nested_fields_are_named_with_their_path():
    tree = Fields({"a": {"b": {"c": -1}}}, "", "file.json")
    with pytest.raises(vaedge.BundleError, match=r"file.json: a.b.c is -1; expected a non-negative integer"):
        tree.fields("a").fields("b").integer("c")
    ((name, entry),) = tree.entries()
    assert name == "a"
    assert entry.mapping("b") == {"c": -1}
    with pytest.raises(vaedge.BundleError, match=r"file.json: a is missing; expected an object"):
        Fields({}, "", "file.json").mapping("a")


@pytest.mark.parametrize(("length", "shortened"), [(58, False), (59, True)])
def test_long_values_are_shortened_in_messages(length, shortened):
    error = fields("x" * length).error("key", "less")
    assert (
        str(error)
        == f'file.json: key is "{"x" * (56 if shortened else length)}{"..." if shortened else chr(34)}; expected less'
    )


class CountedName(str):
    """A subclass of str that counts how often its objects are compared."""

    comparisons = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        CountedName.comparisons += 1
        return str.__eq__(self, other)


def test_search_for_a_duplicate_compares_few_names():
    """A search that compares all pairs of the 1001 names would need about 500,000 comparisons."""
    pairs = [(CountedName(f"n{index}"), 0) for index in (*range(1000), 999)]
    with pytest.raises(ValueError, match="'n999' occurs more than once"):
        json_reader._unique_names(pairs)
    assert CountedName.comparisons < 20_000
