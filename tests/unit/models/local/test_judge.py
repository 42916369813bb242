"""When two readings of an utterance are believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.models.local.parts import Recognition
from backchannel.models.local.recognizer import agreement, judge, word_distance

PHRASES = {"train the model on weather", "cancel task one", "cancel task two", "stop"}
texts = st.lists(st.sampled_from("abc"), max_size=6)


def weigh(said: str, guessed: str) -> Recognition:
    return judge(said, guessed, PHRASES.__contains__)


def test_readings_that_agree_are_accepted():
    assert weigh("stop", "stop") == Recognition("stop", 1.0, True)


def test_a_loose_end_is_cut_off():
    assert weigh("train the model on weather and", "train the model on weather") == Recognition(
        "train the model on weather", 1.0, True
    )


def test_another_whole_phrase_is_an_alternative():
    assert weigh("cancel task one", "cancel task two") == Recognition(
        "cancel task one", pytest.approx(2 / 3), True, ("cancel task two",)
    )


def test_readings_that_differ_are_not_accepted():
    assert weigh("cancel task one", "train it two") == Recognition("cancel task one", 0.0, False)


@pytest.mark.parametrize("said", ["", "the model on", "train the model on weather and so on"])
def test_what_is_no_whole_phrase_is_not_accepted(said: str):
    assert weigh(said, "stop") == Recognition("stop", 0.0, False)


@given(texts, texts, texts)
def test_the_distance_of_words_is_a_distance(one: list[str], two: list[str], three: list[str]):
    assert word_distance(one, two) == word_distance(two, one)
    assert (word_distance(one, two) == 0) is (one == two)
    assert word_distance(one, three) <= word_distance(one, two) + word_distance(two, three)


@given(texts, texts)
def test_agreement_lies_between_nothing_and_all(one: list[str], two: list[str]):
    alike = agreement(" ".join(one), " ".join(two))
    assert 0 <= alike <= 1
    assert (alike == 1) is (one == two and bool(one))
