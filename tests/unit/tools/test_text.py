"""Bounded text of any value."""

from __future__ import annotations

import dataclasses
import enum
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.tools.text import cut, error_text, number_text, text_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=6),
    max_leaves=30,
)


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    colour: Colour


class Unprintable:
    def __str__(self) -> str:
        raise ZeroDivisionError("no text")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (None, "no result"),
        (True, "True"),
        (3.5, "3.5"),
        ([1, "a", None], '[1, "a", null]'),
        ({"a": (1, 2)}, '{"a": [1, 2]}'),
        ({1: Colour.RED}, '{"1": "red"}'),
        (Point(1, Colour.RED), '{"x": 1, "colour": "red"}'),
        (Colour.RED, "red"),
        (b"12345", "5 bytes"),
        ({"ü": "é"}, '{"ü": "é"}'),
    ],
)
def test_plain_values_become_plain_text(value: object, text: str) -> None:
    assert text_of(value) == text


def test_a_value_whose_str_raises_is_named_instead() -> None:
    assert text_of(Unprintable()) == "a Unprintable that cannot be shown (ZeroDivisionError)"
    assert "Unprintable" in text_of([1, Unprintable()])


def test_a_hundred_megabytes_of_text_are_cut_and_their_size_is_said() -> None:
    text = text_of("x" * 100_000_000, 300)
    assert len(text) <= 300
    assert text.endswith("(cut, 100,000,000 characters in all)")


def test_only_what_is_shown_of_a_large_container_is_looked_at() -> None:
    looked_at = []

    class Counting(list[int]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for index in range(len(self)):
                looked_at.append(index)
                yield index

    text = text_of(Counting([0]) * 1, 100)
    assert text == "[0]"
    looked_at.clear()
    text = text_of(Counting(range(1_000_000)), 100)
    assert len(text) <= 100
    assert len(looked_at) < 100


def test_a_container_that_contains_itself_has_a_text() -> None:
    loop: list[object] = [1]
    loop.append(loop)
    assert len(text_of(loop, 200)) <= 200


def test_an_error_without_a_message_is_known_by_its_type() -> None:
    assert error_text(ValueError()) == "ValueError"
    assert error_text(ValueError("bad dataset")) == "bad dataset"


def test_a_missing_key_is_not_mistaken_for_a_message() -> None:
    assert error_text(KeyError("sales")) == "KeyError: 'sales'"


def test_an_error_whose_str_raises_is_known_by_its_type() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert error_text(Mute()) == "Mute"


@given(JSON, st.integers(min_value=1, max_value=400))
def test_a_text_is_never_longer_than_its_limit(value: object, limit: int) -> None:
    assert len(text_of(value, limit)) <= limit


@given(st.lists(JSON, max_size=5))
def test_what_is_small_is_given_whole(value: list[object]) -> None:
    assert json.loads(text_of(value, 100_000)) == value


@given(st.text(), st.integers(min_value=0, max_value=100))
def test_cutting_leaves_what_fits_alone(text: str, limit: int) -> None:
    assert len(cut(text, limit)) <= limit
    if len(text) <= limit:
        assert cut(text, limit) == text


@pytest.mark.parametrize(
    "value", ["caf\udce9.csv", ["x\ud83d"], {"\ud83d": 1}, {"a": "\ud83d"}, OSError("\udce9")], ids=type
)
def test_text_can_always_be_encoded(value):
    text = error_text(value) if isinstance(value, Exception) else text_of(value)
    assert "�" in text.encode().decode()


HUGE = 10**5000


class Rude(int):
    def __str__(self) -> str:
        raise RuntimeError("no")

    __format__ = __repr__ = __str__  # type: ignore[assignment]


@pytest.mark.parametrize("value", [HUGE, -HUGE, [HUGE], {"a": HUGE}, (1, {"b": [HUGE]})], ids=type)
def test_a_number_too_long_to_be_written_says_how_long_it_is(value):
    assert "whole number of about 5,000 digits" in text_of(value)


def test_numbers_that_can_be_written_stay_as_they_are():
    assert text_of({"n": 2**64}) == f'{{"n": {2**64}}}'
    assert text_of(10**4000).endswith("000 ... (cut, 4,001 characters in all)")
    assert number_text(True) == "True"
    assert number_text(Rude(5)) == "5"
