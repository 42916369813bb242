"""Names, values and numbers in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.models.local.words import join, number_words, read_number, readings, tokens


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "zero"), (7, "seven"), (13, "thirteen"), (35, "thirty five"), (100, "one hundred"),
        (342, "three hundred forty two"), (1000, "one thousand"), (20017, "twenty thousand seventeen"),
        (1_500_000, "one million five hundred thousand"), (-2, "minus two"), (0.25, "zero point two five"),
        (3.0, "three"), (2.0004, "two"), (10**12, "one" + " zero" * 12),
    ],
)  # fmt: skip
def test_numbers_are_said_in_words(value: float, said: str):
    assert number_words(value) == said


@given(st.integers(0, 10**12 - 1))
def test_a_number_that_is_said_is_understood(value: int):
    words = number_words(value).split()
    assert read_number(words) == (value, len(words))


@given(st.integers(0, 999), st.integers(1, 999))
def test_a_fraction_that_is_said_is_understood(whole: int, thousandths: int):
    value = whole + thousandths / 1000
    words = number_words(value).split()
    read = read_number(words)
    assert read is not None
    assert read == (pytest.approx(value), len(words))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("twenty epochs", (20, 1)),
        ("two hundred and five now", (205, 4)),
        ("five six", (5, 1)),
        ("twenty thirty", (20, 1)),
        ("thirty ten", (30, 1)),
        ("1,000 rows", (1000, 1)),
        ("3.5", (3.5, 1)),
        ("35%", (35, 1)),
        ("hundred", None),
        ("and five", None),
        ("five and", (5, 1)),
        ("two point", (2, 1)),
        ("solar", None),
        ("", None),
    ],
)
def test_the_number_at_the_start_is_read_and_no_more(text: str, read: tuple[float, int] | None):
    assert read_number(text.split()) == read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train_model", ["train model"]),
        ("trainModel", ["train model"]),
        ("HTTPServer", ["http server", "h t t p server"]),
        ("GPT-4", ["gpt four", "g p t four"]),
        ("2024", ["twenty twenty four", "two thousand twenty four"]),
        ("1905", ["nineteen oh five", "one thousand nine hundred five"]),
        ("v1.5", ["v one point five"]),
        ("São Paulo (Brazil)", ["sao paulo brazil"]),
        ("50% & more", ["fifty percent and more"]),
        ("007", ["zero zero seven"]),
        ("don't", ["don't"]),
        ("日本", []),
        ("", []),
    ],
)
def test_names_and_values_are_read_as_a_person_would(text: str, said: list[str]):
    assert [" ".join(way) for way in readings(text)] == said


@given(st.text(max_size=40))
def test_readings_are_few_and_hold_plain_words_only(text: str):
    ways = readings(text)
    assert len(ways) <= 4
    assert all(
        word.strip("'").isascii() and set(word) <= set("abcdefghijklmnopqrstuvwxyz'") for way in ways for word in way
    )


@given(st.text(max_size=60))
def test_every_token_lies_where_it_says(text: str):
    end = 0
    for word, start, stop in tokens(text):
        assert end <= start < stop <= len(text)
        assert word
        end = stop


def test_typed_words_lose_punctuation_and_keep_their_place():
    text = "Please, run train_model (2024)!"
    assert [(word, text[start:end]) for word, start, end in tokens(text)] == [
        ("please", "Please"), ("run", "run"), ("train", "train"), ("model", "model"), ("2024", "2024"),
    ]  # fmt: skip


def test_lists_are_joined_for_saying():
    assert [join(items) for items in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
