"""What a person says allows, or does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.agents.consent import consent_of


@pytest.mark.parametrize(
    "words",
    [
        "yes",
        "Yes.",
        "yes please",
        "Yes, do it.",
        "Um, yeah, go ahead.",
        "Okay",
        "okay, do it",
        "sure, go ahead",
        "Please do!",
        "I think so, yes.",
        "I approve.",
        "you may",
        "All right.",
        "That’s fine.",
        "of course, delete the file",
        "yes, that would be great, thank you",
        "Ja, bitte.",
        "Sí, por favor.",
        "oui, merci",
        "はい、お願いします",
    ],
)
def test_a_plain_yes_allows(words: str):
    assert consent_of(words) == "yes"


@pytest.mark.parametrize(
    "words",
    [
        "no",
        "No!",
        "nope",
        "No, do not delete anything!",
        "do not do it",
        "Don't.",
        "don’t do that",
        "stop",
        "Stop it.",
        "leave it",
        "leave it alone please",
        "keep it",
        "never",
        "not now",
        "cancel that",
        "no thanks",
        "I do not approve",
        "that is wrong",
        "Nein, lass das.",
        "no, gracias",
        "non merci",
        "いいえ",
    ],
)
def test_a_plain_no_refuses(words: str):
    assert consent_of(words) == "no"


@pytest.mark.parametrize(
    "words",
    [
        "",
        "   ",
        "...",
        "hm",
        "maybe",
        "wait",
        "yes, but wait",
        "yes, but not now",
        "No problem, go ahead.",
        "no, yes",
        "okay?",
        "is it okay?",
        "what would that do?",
        "yes if it is empty",
        "okay so I was thinking about dinner tonight",
        "Please tidy up my home folder.",
        "yesterday it was right here",
        "the yes button",
        "by the way, how far is it",
        "yes " * 100,
        "yes " + "x" * 5000,
    ],
)
def test_anything_else_is_unclear(words: str):
    assert consent_of(words) == "unclear"


REFUSALS = st.sampled_from(["no", "stop", "do not", "don't", "leave it", "never", "nein", "not that"])


@given(REFUSALS, st.text(max_size=60), st.sampled_from([" ", ", ", ". "]), st.booleans())
def test_words_that_hold_a_refusal_never_allow(refusal: str, others: str, between: str, first: bool):
    assert consent_of(between.join((refusal, others) if first else (others, refusal))) != "yes"


@given(st.text(max_size=3000))
def test_any_words_are_one_of_the_three(words: str):
    assert consent_of(words) in ("yes", "no", "unclear")
