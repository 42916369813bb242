"""One expression serves recogniser, samples and understanding."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.models.local import expression as ex
from backchannel.models.local.expression import Alt, Expression, Free, Number, Opt, Seq, Tag, Word, phrase

words = st.sampled_from(["solar", "wind", "power", "the", "on"]).map(Word)
expressions: st.SearchStrategy[Expression] = st.recursive(
    words | st.just(Number("n", top=9999)),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda items: Seq(tuple(items)))
        | st.lists(inner, min_size=1, max_size=3).map(lambda items: Alt(tuple(items)))
        | inner.map(Opt)
        | inner.map(lambda item: Tag("t", 1, item))
    ),
    max_leaves=6,
)


@given(expressions, st.integers(0, 2**31))
def test_what_an_expression_samples_it_matches_and_spells_from_its_vocabulary(expression: Expression, seed: int):
    said = ex.sample(expression, random.Random(seed))
    assert next(ex.match(expression, said), None) is not None
    assert set(said) <= ex.vocabulary(expression)


@given(expressions)
def test_brackets_of_the_grammar_are_balanced(expression: Expression):
    rules = ex.jsgf(expression)
    assert rules.count("(") == rules.count(")")
    assert rules.count("[") == rules.count("]")


def test_the_notation_reads_alternatives_options_and_parts():
    asked = phrase("how (is | was) [the] <what> | status", {"what": Tag("it", 1, Word("run"))})
    assert list(ex.match(asked, ["how", "was", "run"])) == [(("it", 1),)]
    assert list(ex.match(asked, ["how", "is", "the", "run"])) == [(("it", 1),)]
    assert list(ex.match(asked, ["status"])) == [()]
    assert list(ex.match(asked, ["how", "is"])) == []


@pytest.mark.parametrize("notation", ["a (b | c", "a ] b", "<what>"])
def test_notation_that_is_wrong_is_refused(notation: str):
    with pytest.raises(ValueError, match="phrase"):
        phrase(notation)


def test_a_number_captures_its_value():
    assert list(ex.match(Seq((Number("n"), Word("epochs"))), ["thirty", "five", "epochs"])) == [(("n", 35),)]


def test_free_text_is_given_as_it_was_written():
    taken = ex.match(Seq((Word("note"), Free("text"))), ["note", "buy", "milk"], lambda start, end: f"{start}-{end}")
    assert list(taken) == [(("text", "1-3"),)]


def test_free_text_is_not_offered_to_the_recogniser():
    assert "<VOID>" not in ex.jsgf(Alt((Word("help"), Seq((Word("note"), Free("text"))))))
    assert "note" not in ex.jsgf(Alt((Word("help"), Seq((Word("note"), Free("text"))))))


def test_every_start_of_a_text_that_fits_is_found():
    assert sorted(ex.starts(phrase("a [b]"), ["a", "b", "c"])) == [1, 2]
