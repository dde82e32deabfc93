"""JavaScript accepts and refuses the same arguments as Python, with the same error messages."""

import dataclasses
import re

import numpy as np
import pytest
from web.reader.helpers import encoded, outcome

import vaedge
from vaedge.validation import as_batch, as_condition, as_count


def test_limits_of_ranges_are_those_of_python(evaluate):
    cases = []
    for limits in ((0, 1), (-0.1, 0.1), (-1e6, 1e6), (0, 3.5), (2, 3), (-1e30, 1e30), None):
        low, high = np.float32(limits or (-np.finfo(np.float32).max, np.finfo(np.float32).max))
        for limit, outwards in ((low, np.float32(-np.inf)), (high, np.float32(np.inf))):
            with np.errstate(over="ignore"):
                beyond, far = np.nextafter(limit, outwards), limit * np.float32(1.5)
            middle = low / 2 + high / 2
            for number in (limit, beyond, far, outwards, np.float32(np.nan), middle):
                x = np.full((3, 2), middle, np.float32)
                x[1, 1] = number
                cases.append((x, limits))
    arguments = [
        {"x": {"bytes": encoded(x.tobytes()), "shape": x.shape}, "shape": [2], "range": limits} for x, limits in cases
    ]
    expected = [outcome(lambda x=x, limits=limits: list(as_batch(x, "x", (2,), limits).shape)) for x, limits in cases]
    assert evaluate("batch", arguments) == expected


def test_8_bit_levels_are_divided_as_in_python(evaluate):
    levels = np.arange(256, dtype=np.uint8)
    (found,) = evaluate("pixels", [{"bytes": encoded(levels.tobytes())}])
    expected = as_batch(levels[:, None], "x", (1,), (0, 1), "uint8")
    np.testing.assert_array_equal(np.array(found["result"], np.float32), expected[:, 0])


CLASSES = vaedge.Condition("int64", (), ("a", "b", "c"))
ATTRIBUTES = vaedge.Condition("float32", (2,))


@pytest.mark.parametrize(
    ("given", "condition"),
    [
        *((2, CLASSES), ([0, 1, 2], CLASSES), ("b", CLASSES), (["c", "a", " b "], CLASSES), (["1", "a", "2"], CLASSES)),
        (["1", "0", "7"], vaedge.Condition("int64", (), ("7", "1", "0"))),
        ([["a", "b"], ["c", "a"], ["b", "b"]], vaedge.Condition("int64", (2,), ("a", "b", "c"))),
        *(([0.5, 1.5], ATTRIBUTES), ([[1.5, 2], [3, 4], [5, 6]], ATTRIBUTES), (0.5, vaedge.Condition("float32"))),
        *((3, CLASSES), (7, vaedge.Condition("int64", (), ("3", "5", "7"))), (-1, CLASSES), ("d", CLASSES)),
        *((["a", "b", "3"], CLASSES), (["a", "b", ""], CLASSES), (["a", "b", None], CLASSES), ([0, 1], CLASSES)),
        *(([[0], [1], [2]], CLASSES), (0.5, ATTRIBUTES), ([1.5, 2.5, 0.5], CLASSES)),
        (5, vaedge.Condition("int64", (), ("x" * 198,))),
        (5, vaedge.Condition("int64", (), ("x" * 199,))),
        ("it's", CLASSES),
        ("\n", CLASSES),
    ],
)
def test_conditions_are_converted_or_refused_as_in_python(evaluate, given, condition):
    (found,) = evaluate("condition", [{"value": given, "condition": dataclasses.asdict(condition), "n": 3}])

    def convert():
        array = as_condition(given, "y", condition, 3)
        return {"data": array.ravel().tolist(), "shape": list(array.shape)}

    assert found == outcome(convert)


def test_counts_and_seeds_are_those_of_python(evaluate):
    cases = [(1, 1, 5), (5, 1, 5), (0, 1, 5), (6, 1, 5), (2, 2, 2), (2.5, 1, 5), ("2", 1, 5), (2**31 + 1, 1, 2**31)]
    found = evaluate("count", [dict(zip(("value", "minimum", "maximum"), case, strict=True)) for case in cases])
    assert found == [outcome(as_count, value, "k", *limits) for value, *limits in cases]
    seeds = evaluate("seed", [{"value": seed} for seed in (0, 2**53 - 1, "1" * 100, None)])
    assert [seed["result"] for seed in seeds] == ["0", str(2**53 - 1), "1" * 100, "null"]
    for refused in evaluate("seed", [{"value": seed} for seed in (-1, 0.5, "zero", True, 2**53, "-1", "1.0", "")]):
        assert re.fullmatch(
            "seed is .*; expected a non-negative integer, or null for fresh entropy.*", refused["error"]
        )
