"""What makes a history valid, and what is said of one that is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import InvalidInputError
from backchannel.messages import ToolResult, ToolUse, check_messages, tool_pair, validate_messages

CALL: ToolUse = {"toolUseId": "c1", "name": "add", "input": {"a": 1}}
RESULT: ToolResult = {"toolUseId": "c1", "status": "success", "content": [{"text": "3"}]}


def said(role: str, text: str = "x") -> Any:
    return {"role": role, "content": [{"text": text}]}


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [said("user"), said("assistant")],
        [said("user"), *tool_pair(CALL, RESULT)],
        [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": b"x"}}}, {"cachePoint": {}}]}],
    ],
)
def test_a_history_in_the_right_form_is_taken_as_it_is(messages):
    assert check_messages(messages) is messages
    assert validate_messages(messages) == []


def test_what_only_a_provider_refuses_has_the_right_form():
    for messages in ([said("user", "")], [{"role": "user", "content": [{"type": "text", "text": "x"}]}]):
        assert check_messages(messages) is messages
        assert validate_messages(messages) != []


@pytest.mark.parametrize("messages", [(), {}, "hello", 5, None, iter([])])
def test_a_history_is_a_list(messages):
    with pytest.raises(TypeError, match=f"messages must be a list of messages, not {type(messages).__name__}"):
        check_messages(messages)


BROKEN = [
    ("hello", "it is a str, not a dict"),
    (None, "it is a NoneType"),
    ({}, "role None is neither"),
    ({"content": [{"text": "x"}]}, "role None is neither"),
    ({"role": "system", "content": [{"text": "x"}]}, "role 'system' is neither"),
    ({"role": ["user"], "content": [{"text": "x"}]}, "role"),
    ({"role": "user"}, "content is a NoneType"),
    ({"role": "user", "content": "hello"}, "content is a str, not a list of blocks; write"),
    ({"role": "user", "content": []}, "no content"),
    ({"role": "user", "content": ["hello"]}, r"content\[0\]: it is a str"),
    ({"role": "user", "content": [{}]}, r"content\[0\]: it is empty"),
    ({"role": "user", "content": [{"text": "x"}, {"text": 5}]}, r"content\[1\]: text is a int, not a str"),
    ({"role": "user", "content": [{"text": "a\ud800"}]}, "surrogate pair at position 1"),
    ({"role": "assistant", "content": [{"toolUse": "add"}]}, "toolUse is a str"),
    ({"role": "assistant", "content": [{"toolUse": {"name": "add", "input": {}}}]}, "toolUse has no toolUseId"),
    ({"role": "assistant", "content": [{"toolUse": {"toolUseId": "c", "input": {}}}]}, "toolUse has no name"),
    ({"role": "assistant", "content": [{"toolUse": {"toolUseId": "c", "name": "add"}}]}, "toolUse has no input"),
    ({"role": "user", "content": [{"toolResult": {"content": []}}]}, "toolResult has no toolUseId"),
    ({"role": "user", "content": [{"toolResult": {"toolUseId": ["c"], "content": []}}]}, "no toolUseId"),
    ({"role": "user", "content": [{"toolResult": {"toolUseId": "c", "content": "3"}}]}, "no list of content blocks"),
]


@pytest.mark.parametrize(("message", "match"), BROKEN)
def test_a_broken_message_is_named_with_its_place(message, match):
    with pytest.raises(InvalidInputError, match=rf"messages\[1\]: .*{match}"):
        check_messages([said("user"), message])
    (fault, *_) = validate_messages([said("user"), message])
    assert fault.startswith("message 1: ")


def test_calls_and_results_belong_together():
    asked, answered = tool_pair(CALL, RESULT)
    assert validate_messages([asked]) == ["the history ends with the calls ['c1'] open"]
    assert validate_messages([asked, said("user")]) == ["message 1: no result for the calls ['c1']"]
    assert validate_messages([answered]) == ["message 0: results for unknown calls ['c1']"]
    assert check_messages([answered, asked]) == [answered, asked]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["user", "assistant"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "text", "toolUse", "toolResult", "toolUseId", "name", "input"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(values, max_size=4) | values)
def test_whatever_is_given_is_a_history_or_one_of_two_errors(value):
    said = ""
    try:
        check_messages(value)
    except (TypeError, InvalidInputError) as error:
        said = str(error)
    if isinstance(value, list):
        assert not said or validate_messages(value)
    else:
        assert said.startswith("messages must be a list")
