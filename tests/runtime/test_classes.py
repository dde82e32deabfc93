"""A condition with classes accepts class names and class numbers."""

import numpy as np
import pytest

from vaedge import Condition, InputError
from vaedge.validation import class_numbers


def test_texts_are_numbers_of_classes_only_if_no_name_is_an_integer():
    named, numbered = (Condition("int64", (), names) for names in (("a", "b"), ("1", "2", "3")))
    assert class_numbers(np.array(["1", "b"]), "y", named).tolist() == [1, 1]
    assert class_numbers(np.array(["1", " 3 "]), "y", numbered).tolist() == [0, 2]
    with pytest.raises(InputError, match=r"y: '0' is not a class of this model; expected one of '1', '2', '3'$"):
        class_numbers(np.array(["0"]), "y", numbered)


def test_list_of_classes_quotes_names_with_other_characters():
    assert Condition("int64", (), ("red, dark", "green", "été", "a b")).class_list == '"red, dark", green, été, "a b"'
