"""What a session's journal says, and how a history becomes valid again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.agents.session_entries import (
    digest,
    message_entry,
    repaired,
    replay,
    splice_entry,
    state_entry,
    storable,
    storable_values,
)
from backchannel.errors import SessionDamagedError
from backchannel.journal.lines import encode_line
from backchannel.messages import Message, validate_messages

IDS = st.sampled_from(["1", "2", "3"])
BLOCKS = st.one_of(
    st.just({"text": "x"}),
    IDS.map(lambda call: {"toolUse": {"toolUseId": call, "name": "n", "input": {}}}),
    IDS.map(lambda call: {"toolResult": {"toolUseId": call, "status": "success", "content": []}}),
    st.sampled_from([{}, {"text": 1}, {"text": "half \ud800"}, {"toolUse": {}}, {"toolResult": 5}, "x", None]),
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.lists(BLOCKS, max_size=3)}
    ),
    max_size=8,
)


def text(words: str) -> Message:
    return {"role": "user", "content": [{"text": words}]}


def use(*calls: str) -> Any:
    blocks = [{"toolUse": {"toolUseId": call, "name": "n", "input": {}}} for call in calls]
    return {"role": "assistant", "content": blocks}


def result(*calls: str) -> Any:
    blocks = [{"toolResult": {"toolUseId": call, "status": "success", "content": []}} for call in calls]
    return {"role": "user", "content": blocks}


@given(MESSAGES)
def test_whatever_was_stored_becomes_valid_and_then_stays(messages: Any) -> None:
    kept, dropped = repaired(messages)
    assert validate_messages(kept) == []
    assert bool(dropped) == (kept != messages)
    assert repaired(kept) == (kept, [])


@given(MESSAGES)
def test_a_valid_history_is_left_as_it_is(messages: Any) -> None:
    if validate_messages(messages):
        return
    kept, dropped = repaired(messages)
    assert dropped == []
    assert all(one is other for one, other in zip(kept, messages, strict=True))


@pytest.mark.parametrize(
    ("messages", "kept", "said"),
    [
        ([], [], 0),
        ([text("a"), use("1")], [text("a")], 1),
        ([use("1"), result("1")], [use("1"), result("1")], 0),
        ([result("1"), text("a")], [text("a")], 1),
        ([use("1", "2"), result("2")], [use("2"), result("2")], 1),
        ([use("1"), text("a"), result("1")], [text("a")], 2),
        ([use("1"), result("1", "1")], [use("1"), result("1")], 1),
        ([{"role": "system", "content": [{"text": "x"}]}, {"role": "user"}, {}, text("a")], [text("a")], 3),
        ([{"role": "user", "content": []}], [], 1),
        (
            [{"role": "user", "content": [{"toolResult": 5}, {"toolUse": None, "text": "x"}, {"text": "y"}]}],
            [text("y")],
            2,
        ),
        (
            [text(" "), use("1"), result("1"), use("1"), result("1")],
            [use("1"), result("1"), use("1-2"), result("1-2")],
            1,
        ),
        ([text("half \ud83d"), text("\U0001f600")], [text("half \ufffd"), text("\U0001f600")], 1),
    ],
)
def test_calls_without_results_and_results_without_calls_are_dropped(messages: Any, kept: Any, said: int) -> None:
    found, dropped = repaired(messages)
    assert len(dropped) == said
    assert found == kept


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 3)), max_size=12))
def test_splices_lead_to_the_same_list(steps: list[tuple[int, int, int]]) -> None:
    messages: list[Message] = []
    entries: list[Any] = []
    for number, (start, count, added) in enumerate(steps):
        start = min(start, len(messages))
        count = min(count, len(messages) - start)
        new = [text(f"{number} {index}") for index in range(added)]
        messages[start : start + count] = new
        entries.append(splice_entry(start, count, list(new)))
    assert replay([message_entry(text("first")), *entries[:0]], "it") == ([text("first")], None)
    assert replay([*entries, state_entry({"a": 1}), state_entry({})], "it") == (messages, {})


def test_a_splice_that_does_not_fit_is_damage() -> None:
    with pytest.raises(SessionDamagedError, match="entry 1 of it is of kind 'splice'"):
        replay([message_entry(text("a")), splice_entry(0, 2, [])], "it")


def test_digests_tell_contents_apart_and_take_anything() -> None:
    assert digest({"a": 1, "b": b"x"}) == digest({"b": b"x", "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest(float("nan")) == digest(float("nan"))
    assert digest({"a": object()}) == digest({"a": object()})


def test_storable_copies_and_names_what_it_replaces() -> None:
    named: list[str] = []
    original = {"a": [{1, 2}, b"x", ("t",)]}
    copied = storable(original, named.append)
    assert copied == {"a": ["<set>", b"x", ["t"]]}
    assert named == ["set"]
    assert storable(original) == copied


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("bad", [nested(190), nested(300), 10**3000], ids=["190", "300", "number"])
@pytest.mark.parametrize("kind", ["arguments", "result", "text"])
def test_what_cannot_be_stored_is_replaced_by_a_note(bad: Any, kind: str) -> None:
    call = {"toolUse": {"toolUseId": "1", "name": "n", "input": {"x": bad}}}
    answer = {"toolResult": {"toolUseId": "1", "status": "success", "content": [{"json": bad}, {"text": "kept"}]}}
    block = {"arguments": call, "result": answer, "text": {"image": {"source": bad}}}[kind]
    message: Any = {"role": "user", "content": [{"text": "kept"}, block]}
    said: list[str] = []
    copied = storable(message, left_out=said.append)
    assert copied["content"][0] == {"text": "kept"}
    assert len(copied["content"]) == 2
    assert len(said) == ("not stored" in str(copied))
    assert digest(message) == digest(copied)
    encode_line(1, splice_entry(0, 0, [copied]))


def test_a_state_is_stored_without_what_cannot_be() -> None:
    values = {"good": 1, "deep": nested(300), "content": [nested(300)]}
    stored = storable_values(values)
    assert stored["good"] == 1
    assert digest(values) == digest(dict(values))
    encode_line(1, state_entry(stored))
