"""What makes a history valid for a provider."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given

from backchannel.messages import is_json, is_text, merged, tool_pair, validate_messages
from tests.support.histories import any_histories, valid_histories


def user(text: str = "hello") -> dict[str, Any]:
    return {"role": "user", "content": [{"text": text}]}


def assistant(text: str = "hello") -> dict[str, Any]:
    return {"role": "assistant", "content": [{"text": text}]}


def call(*ids: str, **arguments: Any) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": [{"toolUse": {"toolUseId": call_id, "name": "train", "input": arguments}} for call_id in ids],
    }


def answer(*ids: str, **fields: Any) -> dict[str, Any]:
    result = {"status": "success", "content": [{"text": "done"}], **fields}
    return {"role": "user", "content": [{"toolResult": {"toolUseId": call_id, **result}} for call_id in ids]}


class Strange:
    def __repr__(self) -> str:
        raise RuntimeError("not to be looked at")


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [user()],
        [assistant(), assistant()],
        [call("a"), answer("a")],
        [call("a", "b"), answer("b", "a")],
        [{"role": "assistant", "content": [{"text": "x"}, *call("a")["content"]]}, answer("a"), call("b"), answer("b")],
        [call("a"), {"role": "user", "content": [*answer("a")["content"], {"text": "and more"}]}],
        [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": b"x"}}}]}],
        [call("a"), answer("a", content=[])],
        [{"role": "assistant", "content": [{"somethingNew": {"of": "the provider"}}]}],
        [call("a"), answer("a", content=[{"json": {"score": 1}}, {"text": "x"}], status="error")],
        list(tool_pair({"toolUseId": "ü", "name": "n", "input": {}}, answer("ü")["content"][0]["toolResult"])),
    ],
)
def test_these_histories_are_valid(messages: Any) -> None:
    assert validate_messages(messages) == []


@pytest.mark.parametrize(
    "messages, says",
    [
        (["text"], "message 0: it is a str, not a dict"),
        ([None], "NoneType"),
        ([Strange()], "Strange"),
        ([{"content": [{"text": "x"}]}], "role None"),
        ([{**user(), "role": "USER"}], "role 'USER'"),
        ([{**user(), "role": []}], "role of type list"),
        ([{"role": "user"}], "content is a NoneType"),
        ([{"role": "user", "content": []}], "no content"),
        ([{"role": "user", "content": "hello"}], "content is a str, not a list of blocks; write"),
        ([{"role": "user", "content": ["hello"]}], "content[0]: it is a str, not a dict"),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}]}], "of several kinds, ['text', 'type']"),
        ([user("")], "text is blank"),
        ([user(" \n")], "text is blank"),
        ([user("a\ud800")], "surrogate pair at position 1"),
        ([{"role": "user", "content": [{"text": 5}]}], "text is a int"),
        ([{"role": "user", "content": [{"image": None}]}], "'image' is a NoneType"),
        ([{"role": "user", "content": [{}]}], "it is empty"),
        ([{**call("a"), "role": "user"}, answer("a")], "a call in a message that is not the assistant's"),
        ([call("a"), {**answer("a"), "role": "assistant"}], "a result in a message that is not the user's"),
        ([call("a")], "the history ends with the calls ['a'] open"),
        ([call("a"), user(), answer("a")], "message 1: no result for the calls ['a']"),
        ([call("a"), user(), answer("a")], "message 2: results for unknown calls ['a']"),
        ([call("a", "b"), answer("a"), answer("b")], "no result for the calls ['b']"),
        ([answer("a")], "results for unknown calls ['a']"),
        ([call("a"), answer("a"), call("a"), answer("a")], "the ids ['a'] were given to earlier calls"),
        ([call("a", "a"), answer("a")], "the ids ['a'] were given to earlier calls"),
        ([call("a"), answer("a", "a")], "several results for one call"),
        (
            [call("a"), {"role": "user", "content": [{"text": "x"}, *answer("a")["content"]]}],
            "results do not come first",
        ),
        ([call("")], "toolUse has no toolUseId"),
        ([call(" ")], "the name or the id of the call is blank"),
        ([call(5)], "toolUse has no toolUseId"),  # type: ignore[arg-type]
        ([{"role": "assistant", "content": [{"toolUse": "train"}]}], "toolUse is a str"),
        ([{"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "input": {}}}]}], "toolUse has no name"),
        ([call("a", value=Strange()), answer("a")], "input of the call 'a' is not a JSON object"),
        ([call("a", value=float("nan")), answer("a")], "not a JSON object"),
        ([call("a", value="\ud800"), answer("a")], "not a JSON object"),
        (
            [{"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "n", "input": "{}"}}]}],
            "not a JSON",
        ),
        ([call("a"), answer("a", status="done")], "the status 'done'"),
        ([call("a"), answer("a", content="done")], "toolResult has no list of content blocks"),
        ([call("a"), answer("a", content=[{"text": ""}])], "text is blank"),
        ([call("a"), answer("a", content=[{"json": {1, 2}}])], "its json is not JSON"),
        ([call("a"), answer("a", content=["done"])], "toolResult has no list of content blocks"),
        ([call("a"), answer("a", content=[{"image": None}])], "'image' is a NoneType"),
        ([call("a"), answer("a", content=[{}])], "a block of it is of no kind"),
    ],
)
def test_these_histories_are_not_valid(messages: Any, says: str) -> None:
    assert says in "\n".join(validate_messages(messages))


def test_calls_that_may_be_open_need_no_result() -> None:
    assert validate_messages([call("a", "b"), answer("b"), user(), call("c")], open_ok=("a", "c")) == []  # type: ignore[list-item]
    assert validate_messages([call("a"), answer("a")], open_ok={"a"}) == []  # type: ignore[list-item]
    assert validate_messages([call("a"), user(), answer("a")], open_ok={"a"})  # type: ignore[list-item]


def test_a_fault_stays_short_however_long_the_names_are() -> None:
    faults = validate_messages([call(*(f"{number}{'x' * 10_000}" for number in range(1000)))])  # type: ignore[list-item]
    assert "and 995 more" in faults[0]
    assert all(len(fault) < 600 for fault in faults)


def test_a_cyclic_or_deep_input_is_a_fault() -> None:
    cyclic: dict[str, Any] = {}
    cyclic["self"] = cyclic
    deep: Any = {}
    for _ in range(100_000):
        deep = {"deeper": deep}
    for value in (cyclic, deep):
        assert "not a JSON object" in "".join(validate_messages([call("a", value=value)]))  # type: ignore[list-item]


@given(any_histories())
def test_whatever_a_history_holds_it_is_only_looked_at(messages: Any) -> None:
    before = repr(messages)
    assert all(isinstance(fault, str) for fault in validate_messages(messages))
    assert repr(messages) == before


def test_neighbours_of_one_role_become_one_message() -> None:
    first, second, third = user("one"), user("two"), assistant("three")
    messages: Any = [first, second, third]
    assert merged(messages) == [{"role": "user", "content": [{"text": "one"}, {"text": "two"}]}, assistant("three")]
    assert messages == [user("one"), user("two"), assistant("three")]
    assert merged([third])[0] is third  # type: ignore[list-item]
    assert merged([]) == []


@given(valid_histories())
def test_a_merged_history_is_valid_and_alternates(messages: Any) -> None:
    result = merged(messages)
    assert validate_messages(result) == []
    assert all(one["role"] != two["role"] for one, two in itertools.pairwise(result))
    assert [block for message in result for block in message["content"]] == [
        block for message in messages for block in message["content"]
    ]


def test_what_is_text_and_what_is_json() -> None:
    assert is_text("x")
    assert is_text("\N{GRINNING FACE}")
    assert not any(map(is_text, ("", " \t", "\udfff", None, 5, b"x")))
    assert is_json({"a": [1, 2.5, None, True, "ü"]})
    assert not any(map(is_json, (float("inf"), {1, 2}, b"x", {(1, 2): 3}, object())))
