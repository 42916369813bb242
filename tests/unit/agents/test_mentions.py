"""Which milestones are told, how, and when."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.agents.mentions import MENTION_GAP_S, Mentions, progress_text
from backchannel.events import TaskProgressed
from backchannel.models.realtime import ModelProfile

BOTH = dataclasses.replace(ModelProfile(), reads_text=True, silent_text=True)


def note(task: str = "a", text: str = "Task 1 is at 25 percent.", *, aloud: bool = True) -> TaskProgressed:
    return TaskProgressed(task, text, aloud)


def test_what_is_to_be_said_is_said_once_and_then_not_for_a_while():
    mentions = Mentions()
    mentions.came(note(), BOTH)
    first = mentions.aloud(0.0)
    assert [said.text for said in first] == ["Task 1 is at 25 percent."]
    assert mentions.under_way
    assert mentions.send(first)
    assert not mentions.send(first)
    assert mentions.begun()
    assert not mentions.under_way
    mentions.came(note("b"), BOTH)
    assert mentions.aloud(1.0) == ()
    assert mentions.wake_at(1.0) == MENTION_GAP_S
    assert len(mentions.aloud(MENTION_GAP_S)) == 1
    assert mentions.wake_at(MENTION_GAP_S) is None


def test_the_newest_of_a_task_counts_and_stays_to_be_said():
    mentions = Mentions()
    mentions.came(note(text="a quarter"), BOTH)
    mentions.came(note(text="half", aloud=False), BOTH)
    assert mentions.silent() == ()
    assert mentions.aloud(0.0) == (note(text="half"),)


def test_what_is_not_to_be_said_the_model_gets_to_know_at_once():
    mentions = Mentions()
    mentions.came(note(aloud=False), BOTH)
    assert not mentions.waiting
    assert mentions.silent() == (note(aloud=False),)
    assert mentions.silent() == ()


@pytest.mark.parametrize("aloud", [True, False])
def test_a_model_that_reads_nothing_is_told_nothing(aloud: bool):
    mentions = Mentions()
    mentions.came(note(aloud=aloud), dataclasses.replace(BOTH, reads_text=False, silent_text=False))
    assert mentions.silent() == mentions.aloud(0.0) == ()


def test_after_its_end_nothing_is_told_of_a_task():
    mentions = Mentions()
    mentions.came(note(), BOTH)
    mentions.came(note("b", aloud=False), BOTH)
    mentions.ended("a")
    mentions.ended("b")
    assert mentions.silent() == mentions.aloud(0.0) == ()


def test_what_was_taken_back_is_not_sent_and_what_was_sent_cannot_be_taken_back():
    mentions = Mentions()
    mentions.came(note(), BOTH)
    notes = mentions.aloud(0.0)
    mentions.take_back()
    assert not mentions.send(notes)
    mentions.came(note(), BOTH)
    notes = mentions.aloud(2 * MENTION_GAP_S)
    assert mentions.send(notes)
    mentions.take_back()
    assert mentions.under_way
    mentions.drop((note(),))
    assert mentions.under_way
    mentions.drop(notes)
    assert not mentions.under_way
    assert not mentions.begun()


@given(
    st.lists(st.tuples(st.sampled_from(["came", "ended", "aloud", "begun", "drop", "send"]), st.sampled_from("abc")))
)
def test_there_is_at_most_one_lot_under_way_and_lots_keep_their_distance(steps: list[tuple[str, str]]):
    mentions, last, said = Mentions(), (), []
    for now, (step, task) in enumerate(steps):
        match step:
            case "came":
                mentions.came(note(task), BOTH)
            case "ended":
                mentions.ended(task)
            case "aloud":
                busy = mentions.under_way
                notes = mentions.aloud(float(now))
                assert not (busy and notes)
                if notes:
                    last, said = notes, [*said, now]
            case "begun":
                mentions.begun()
            case "drop":
                mentions.drop(last)
            case _:
                mentions.send(last)
    assert all(later - earlier >= MENTION_GAP_S for earlier, later in itertools.pairwise(said))


def test_the_words_say_whether_to_answer():
    assert "Tell the user" in progress_text([note()], aloud=True)
    assert "do not answer" in progress_text([note()], aloud=False)
