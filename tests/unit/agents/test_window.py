"""The window: a bounded history that stays valid, and is not cut at each message."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.agents.window import (
    ConversationManager,
    Reduction,
    WindowConversationManager,
    begins_turn,
    estimated_tokens,
    whole_starts,
)
from backchannel.errors import InvalidInputError
from backchannel.messages import Messages, validate_messages
from tests.support.histories import any_histories, valid_histories
from tests.unit.test_messages import answer, assistant, call, user

LEFT_OUT = user("[Earlier messages of this conversation were left out.]")


def cut(messages: Any, *limits: Any, **more: Any) -> Messages:
    """Return what a window leaves of a history."""
    kept = list(messages)
    reduction = WindowConversationManager(*limits, **more).cut(kept)
    if reduction is not None:
        reduction.apply(kept)
    return kept


def turns(count: int, text: str = "hello") -> list[Any]:
    return [message for number in range(count) for message in (user(f"{text} {number}"), assistant(text))]


# When


@pytest.mark.parametrize("count", [0, 1, 79, 80])
def test_a_short_history_stays(count: int) -> None:
    assert WindowConversationManager().cut(turns(40)[:count]) is None  # type: ignore[arg-type]


async def test_the_oldest_messages_are_dropped() -> None:
    messages: Any = turns(41)[:81]
    manager: ConversationManager = WindowConversationManager()
    reduction = await manager.reduce(messages)
    assert reduction == Reduction(22, [])
    assert len(messages) == 81
    reduction.apply(messages)
    assert messages == turns(41)[22:81]


def test_most_messages_lead_to_no_cut() -> None:
    messages: Any = []
    cuts = 0
    for message in turns(500):
        messages.append(message)
        reduction = WindowConversationManager(40).cut(messages)
        if reduction is not None:
            cuts += 1
            reduction.apply(messages)
        assert len(messages) <= 40
    assert cuts == 80


@pytest.mark.parametrize("value", [0, -1, 2.5, "80", True])
def test_limits_are_whole_numbers(value: Any) -> None:
    for name in ("max_messages", "max_tokens", "result_limit"):
        with pytest.raises(InvalidInputError, match=name):
            WindowConversationManager(**{name: value})
    with pytest.raises(InvalidInputError, match="max_messages"):
        WindowConversationManager(None)  # type: ignore[arg-type]


# Where


@given(valid_histories(60, 100), st.integers(1, 20), st.none() | st.integers(1, 500))
def test_what_is_kept_is_valid_begins_with_the_user_and_is_final(
    messages: Messages, max_messages: int, max_tokens: int | None
) -> None:
    before = copy.deepcopy(messages)
    manager = WindowConversationManager(max_messages, max_tokens, result_limit=50)
    reduction = manager.cut(messages)
    assert messages == before
    if reduction is None:
        return
    kept = list(messages)
    reduction.apply(kept)
    assert validate_messages(kept) == []
    assert begins_turn(kept[0]) or kept[0] == messages[0]
    assert len(kept) < len(messages) or estimated_tokens(kept) < estimated_tokens(messages)
    assert manager.cut(kept) is None
    if max_messages >= 4:
        assert len(kept) <= max_messages
    last = kept[-1]["content"][-1]
    assert last == before[-1]["content"][-1] or "toolResult" in last


@given(any_histories(), st.integers(1, 5), st.none() | st.integers(1, 50))
def test_any_history_can_be_cut(messages: Any, max_messages: int, max_tokens: int | None) -> None:
    before = repr(messages)
    reduction = WindowConversationManager(max_messages, max_tokens, result_limit=5).cut(messages)
    assert repr(messages) == before
    assert reduction is None or 0 < reduction.count <= len(messages)


def test_a_call_is_not_parted_from_its_result() -> None:
    messages = [user(), call("a"), answer("a"), assistant(), user(), assistant()]
    assert cut(messages, 5) == messages[4:]
    assert whole_starts(messages) == [1, 3, 4, 5]  # type: ignore[arg-type]


def test_a_call_is_not_parted_from_a_result_that_comes_later() -> None:
    messages: Any = [user(), call("a"), user(), assistant(), answer("a"), user(), assistant()]
    assert whole_starts(messages) == [1, 5, 6]
    assert cut(messages, 6) == messages[5:]


def test_one_long_turn_is_cut_with_a_note() -> None:
    steps: Any = [message for number in range(50) for message in (call(str(number)), answer(str(number)))]
    kept = cut([user(), *steps, user("thanks")], 40)
    assert kept[0] == LEFT_OUT
    assert kept[1:] == [*steps[-28:], user("thanks")]
    assert len(kept) == 30


def test_the_note_is_there_once() -> None:
    steps: Any = [message for number in range(500) for message in (call(str(number)), answer(str(number)))]
    messages: Any = []
    for message in steps:
        messages.append(message)
        messages = cut(messages, 10)
        assert messages.count(LEFT_OUT) <= 1
    assert len(messages) <= 10


def test_the_last_call_stays_with_its_result_whatever_the_limit() -> None:
    assert cut([user(), assistant(), call("a"), answer("a")], 1) == [LEFT_OUT, call("a"), answer("a")]
    assert cut([user("x" * 1000), assistant("y" * 1000)], 80, 10) == [LEFT_OUT, assistant("y" * 1000)]
    assert cut([user("x" * 1000)], 80, 10) == [user("x" * 1000)]


@pytest.mark.parametrize("limits", [(5,), (1,), (80, 50), (1000, 1)])
def test_a_call_that_is_still_open_stays(limits: tuple[int, ...]) -> None:
    assert cut([*turns(50, "x" * 400), call("a")], *limits)[-1] == call("a")


def test_a_result_that_exceeds_the_limit_alone_is_shortened() -> None:
    kept = cut([call("a"), answer("a", content=[{"text": "x" * 100_000}])], 80, 1000)
    assert kept[0] == call("a")
    assert len(str(kept)) < 1500
    assert validate_messages(kept) == []


# Tokens


def test_long_results_are_shortened_first_but_not_in_the_last_turns() -> None:
    long = answer("a", content=[{"text": "x" * 4000}])
    recent = answer("b", content=[{"text": "y" * 4000}])
    messages = [user(), call("a"), long, assistant(), user(), call("b"), recent, *turns(2)]
    kept = cut(messages, 80, 2000)
    assert len(kept) == len(messages)
    (short,) = kept[2]["content"][0]["toolResult"]["content"]
    assert short["text"].startswith("xxxx")
    assert short["text"].endswith("(cut, 4,000 characters in all)")
    assert len(short["text"]) == 1000
    assert kept[6] is recent
    assert long == answer("a", content=[{"text": "x" * 4000}])


def test_the_oldest_messages_go_if_shortening_is_not_enough() -> None:
    messages = [user(), call("a"), answer("a", content=[{"text": "x" * 4000}]), *turns(10, "z" * 500)]
    kept = cut(messages, 80, 1600)
    assert estimated_tokens(kept) <= 1200
    assert kept == messages[-8:]


def test_messages_are_not_shortened_while_only_their_number_is_exceeded() -> None:
    long = answer("a", content=[{"text": "x" * 4000}])
    messages = [*turns(4), user(), call("a"), long, *turns(2)]
    assert cut(messages, 14, 100_000) == messages[6:]
    assert cut(messages, 14, 100_000)[4] is long


def test_json_and_pictures_in_results_are_shortened() -> None:
    content = [{"json": {"rows": [{"n": number} for number in range(1000)]}}, {"image": {"format": "png"}}]
    messages = [user(), call("a"), answer("a", content=content), *turns(3)]
    kept = cut(messages, 80, 2000, result_limit=100)
    (short,) = kept[2]["content"][0]["toolResult"]["content"]
    assert short["text"].startswith('{"rows": [{"n": 0}')
    assert len(short["text"]) <= 100
    kept = cut([user(), call("a"), answer("a", content=content[1:]), *turns(3)], 80, 1000, result_limit=100)
    assert kept[2]["content"][0]["toolResult"]["content"] == [{"text": "(image, not shown)"}]


def test_tokens_are_estimated() -> None:
    assert estimated_tokens([]) == 0
    assert estimated_tokens([user("x" * 400)]) == 100  # type: ignore[list-item]
    assert estimated_tokens([user("\N{CJK UNIFIED IDEOGRAPH-4E00}" * 400)]) == 300  # type: ignore[list-item]
    assert estimated_tokens([{"role": "user", "content": [{"image": {"source": {"bytes": b"x" * 10**6}}}]}]) == 1600
    arguments = {"text": "x" * 400}
    assert 100 < estimated_tokens([call("a", **arguments)]) < 130  # type: ignore[list-item]
    assert estimated_tokens([answer("a", content=[{"text": "x" * 200}, {"json": ["x" * 196]}])]) == 100  # type: ignore[list-item]


def test_ten_thousand_messages_are_cut_at_once() -> None:
    assert len(cut(turns(5000), 80, 10_000)) == 60
