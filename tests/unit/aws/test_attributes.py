"""DynamoDB's attribute values and plain Python."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from backchannel.aws.attributes import attribute_of, item_of, number_of, value_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**37), 10**37) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)


@given(st.dictionaries(TEXTS, PLAIN))
def test_what_boto3_writes_comes_back_as_it_was_and_is_json(item: dict[str, Any]):
    written = {name: TypeSerializer().serialize(value) for name, value in item.items()}
    assert item_of(written) == item
    assert json.loads(json.dumps(item_of(written))) == item


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("-7", -7), ("1.50", 1.5), ("3.0", 3), ("1E+2", 100), ("12345678901234567890", 12345678901234567890)],
)
def test_a_whole_number_is_an_int_and_another_a_float(text: str, number: float):
    assert number_of(text) == number
    assert type(number_of(text)) is type(number)


@given(st.floats(min_value=-1e125, max_value=1e125))
def test_no_number_of_dynamodb_is_too_large_or_loses_more_than_a_float_does(number: float):
    assert math.isclose(number_of(repr(number)), number, rel_tol=1e-15, abs_tol=0)


def test_sets_become_sorted_lists_and_binary_becomes_bytes():
    assert value_of({"SS": ["b", "a"]}) == ["a", "b"]
    assert value_of({"NS": ["10", "9.5"]}) == [9.5, 10]
    assert value_of({"BS": [b"b", b"a"]}) == [b"a", b"b"]
    assert value_of({"B": bytearray(b"x")}) == b"x"


def test_an_unknown_type_is_named():
    with pytest.raises(ValueError, match="'XY'"):
        value_of({"XY": 1})


@pytest.mark.parametrize("value", [True, None, math.nan, math.inf, ["a"], {"a": 1}])
def test_what_is_no_key_is_refused(value: Any):
    with pytest.raises(ValueError, match="a key is"):
        attribute_of(value)


@given(st.integers(-(10**37), 10**37) | TEXTS | st.binary() | st.floats(-1e100, 1e100))
def test_a_key_comes_back_as_it_was(value: Any):
    found = value_of(attribute_of(value))
    assert (float(found) if isinstance(value, float) else found) == value
