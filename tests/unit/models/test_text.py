"""MessageBuilder: any stream becomes a message that a history can hold, or an error that says why not."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import ModelError
from backchannel.messages import message_faults
from backchannel.models.text import MessageBuilder, message_events, plain_id, plain_name


def built(*events: dict) -> MessageBuilder:
    builder = MessageBuilder()
    for event in events:
        builder.take(event)
    return builder


def start(index: int | None = None, **use: str) -> dict:
    where = {} if index is None else {"contentBlockIndex": index}
    return {"contentBlockStart": {**where, "start": {"toolUse": use} if use else {}}}


def delta(index: int | None = None, **part: object) -> dict:
    where = {} if index is None else {"contentBlockIndex": index}
    return {"contentBlockDelta": {**where, "delta": part}}


STOP = {"contentBlockStop": {}}
END = {"messageStop": {"stopReason": "end_turn"}}


def test_pieces_of_text_become_one_block():
    builder = built({"messageStart": {"role": "assistant"}}, delta(text="Hel"), delta(text="lo"), STOP, END)
    assert builder.message() == {"role": "assistant", "content": [{"text": "Hello"}]}


def test_taking_a_piece_of_text_returns_it_and_nothing_else_does():
    builder = MessageBuilder()
    assert builder.take(delta(text="Hel")) == "Hel"
    assert builder.take(delta(toolUse={"input": "{"})) == ""
    assert builder.take(END) == ""


def test_blocks_without_numbers_follow_each_other():
    builder = built(
        start(), delta(text="Well."), STOP,
        start(toolUseId="a", name="add"), delta(toolUse={"input": '{"x": '}), delta(toolUse={"input": "1}"}), STOP,
        start(toolUseId="b", name="add"), STOP,
        END,
    )  # fmt: skip
    kinds = [next(iter(block)) for block in builder.message()["content"]]
    assert kinds == ["text", "toolUse", "toolUse"]
    calls = [block["toolUse"] for block in builder.message()["content"][1:]]
    assert [(call["toolUseId"], call["input"]) for call in calls] == [("a", {"x": 1}), ("b", {})]


def test_blocks_that_overlap_are_told_apart_by_number():
    builder = built(
        start(1, toolUseId="a", name="add"), start(0, toolUseId="b", name="sub"),
        delta(1, toolUse={"input": '{"x": 1}'}), delta(0, toolUse={"input": '{"y": 2}'}), END,
    )  # fmt: skip
    assert [block["toolUse"]["input"] for block in builder.message()["content"]] == [{"y": 2}, {"x": 1}]


def test_reasoning_is_kept_with_its_signature():
    builder = built(
        delta(0, reasoningContent={"text": "Hm"}), delta(0, reasoningContent={"text": "m."}),
        delta(0, reasoningContent={"signature": "s"}), delta(1, reasoningContent={"redactedContent": b"x"}),
        delta(2, text="So."), END,
    )  # fmt: skip
    assert builder.message()["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hmm.", "signature": "s"}}},
        {"reasoningContent": {"redactedContent": b"x"}},
        {"text": "So."},
    ]


def test_a_stream_without_an_end_is_no_message():
    with pytest.raises(ModelError, match="broke off"):
        built(delta(text="Hel")).message()


@pytest.mark.parametrize("arguments", ['{"x": ', "[1]", "3", "null", '"text"'])
def test_a_call_with_unusable_arguments_has_a_fault_and_a_valid_form(arguments):
    builder = built(start(toolUseId="a", name="add"), delta(toolUse={"input": arguments}), END)
    message = builder.message()
    assert "JSON" in builder.faults["a"]
    assert message_faults(message) == []


def test_a_call_without_an_id_or_a_name_gets_one():
    (block,) = built(start(name=""), END).message()["content"]
    assert block["toolUse"]["toolUseId"].startswith("call_")
    assert block["toolUse"]["name"] == "unnamed"


def test_only_the_last_call_of_an_answer_that_is_too_long_was_cut_off():
    builder = built(
        start(toolUseId="a", name="add"), STOP, start(toolUseId="b", name="add"), STOP,
        {"messageStop": {"stopReason": "max_tokens"}},
    )  # fmt: skip
    builder.message()
    assert list(builder.faults) == ["b"]


def test_tokens_are_those_of_the_provider():
    assert built({"metadata": {"usage": {"inputTokens": 3, "details": {}}, "metrics": {}}}).usage == {"inputTokens": 3}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["contentBlockIndex", "delta", "start", "toolUse", "toolUseId", "name", "input", "text",
                         "stopReason", "usage", "reasoningContent", "signature"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
KINDS = st.sampled_from(
    ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "other"]
)


@given(st.lists(st.dictionaries(KINDS, VALUES, max_size=2), max_size=12))
def test_whatever_a_server_sends_there_is_a_message_of_valid_form(events):
    builder = built(*events, END)
    message = builder.message()
    assert not [fault for fault in message_faults(message) if fault != "no content"]
    json.dumps(message)


@pytest.mark.parametrize("reasoning", [{"reasoningText": {"text": "hm", "signature": "x"}}, {"redactedContent": b"x"}])
def test_a_message_as_a_stream_becomes_that_message_again(reasoning):
    use = {"toolUseId": "a", "name": "add", "input": {"größe": [1]}}
    message = {"role": "assistant", "content": [{"reasoningContent": reasoning}, {"text": "Hm."}, {"toolUse": use}]}
    builder = built(*message_events(message))
    assert (builder.message(), builder.stop_reason, builder.faults) == (message, "tool_use", {})
    other = {"role": "assistant", "content": [{"citationsContent": {}}]}
    builder = built(*message_events(other, "guardrail_intervened"))
    assert (builder.message()["content"], builder.stop_reason) == ([], "guardrail_intervened")


@given(st.text())
def test_names_and_ids_are_plain_and_stay_different(text):
    for plain in (plain_id(text), plain_id(text, 40)):
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", plain)
        assert plain_id(plain, 40) == plain_id(plain, 40)
    assert plain_id(text + "ü") != plain_id(text + "ö")
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", plain_name(text))
