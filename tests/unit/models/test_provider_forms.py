"""Whatever an agent's history holds, what a model sends of it is what its provider takes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel import AsyncTaskResult
from backchannel.agents.delivery import results_text
from backchannel.agents.history import history_for_model
from backchannel.agents.window import WindowConversationManager
from backchannel.messages import merged
from backchannel.models import BedrockConverseModel
from backchannel.models.chat_messages import chat_messages, reasoning_seal
from backchannel.models.responses_items import input_items, sealed
from tests.support.histories import any_histories, valid_histories
from tests.support.provider_rules import chat_fault, converse_fault, responses_fault

PDF = st.sampled_from(["a.pdf", "  ", "größe  測試", "x" * 300]).map(
    lambda name: {"document": {"format": "pdf", "name": name, "source": {"bytes": b"x"}}}
)
IMAGE = {"image": {"format": "png", "source": {"bytes": b"x"}}}
SIGNATURES = st.sampled_from(["c2ln", "", sealed("m", "rs_1", "x"), sealed("other", "rs_1", "x"), reasoning_seal("m")])
REASONING = SIGNATURES.map(
    lambda signature: {"reasoningContent": {"reasoningText": {"text": "hm", "signature": signature}}}
)
IDS = st.sampled_from(["a", "b/1", "ü", "x" * 80, "call_1"])
NAMES = st.sampled_from(["train", "functions.train", "größe", "y" * 90])
SAID = st.text(min_size=1, max_size=8).filter(lambda text: not text.isspace()).map(lambda text: {"text": text})


def acknowledgement(task_id: str) -> str:
    return f"Started train. It runs in the background as task 1 (id {task_id}, tool train, arguments {{}}). It"


@st.composite
def conversations(draw: st.DrawFn) -> list[Any]:
    """Turns with calls of all kinds, tasks that are told at any time, in any order, some twice, some never."""
    messages: list[Any] = []
    running: list[str] = []
    for number in range(draw(st.integers(1, 10))):
        match draw(st.sampled_from(["say", "call", "tell"])):
            case "say":
                messages.append({"role": "user", "content": draw(st.lists(SAID | PDF, min_size=1, max_size=3))})
                said = draw(st.lists(REASONING | SAID, min_size=1, max_size=3))
                messages.append({"role": "assistant", "content": said})
            case "tell" if running:
                ids = draw(st.lists(st.sampled_from(running), min_size=1, max_size=4, unique=True))
                results = [AsyncTaskResult(task_id, "train", {}, f"result {task_id}", None, 1.0) for task_id in ids]
                messages.append({"role": "user", "content": [{"text": results_text(results)}]})
            case _:
                uses, results = [], []
                for place in range(draw(st.integers(1, 3))):
                    call_id = f"{draw(IDS)}{number}{place}"
                    uses.append({"toolUse": {"toolUseId": call_id, "name": draw(NAMES), "input": {"x": 1}}})
                    content: list[Any] = draw(
                        st.lists(SAID | st.just({"json": [1]}) | PDF | st.just(IMAGE), max_size=2)
                    )
                    if draw(st.booleans()):
                        task_id = f"{draw(st.integers(0, 5)):08x}"
                        running.append(task_id)
                        content = [{"text": acknowledgement(task_id)}]
                    result = {"toolUseId": call_id, "status": "success", "content": content}
                    results.append({"toolResult": result})
                before = draw(st.lists(REASONING | SAID, max_size=2))
                messages.append({"role": "assistant", "content": [*before, *draw(st.permutations(uses))]})
                messages.append({"role": "user", "content": results})
    return [*messages, {"role": "user", "content": [{"text": "go on"}]}]


def given_to_a_model(messages: Any) -> Any:
    return merged(history_for_model(messages, {}, "note"))


HISTORIES = conversations() | conversations() | valid_histories() | any_histories()


@settings(max_examples=100)
@given(HISTORIES, st.sampled_from(["anthropic.claude", "amazon.nova-lite", "meta.llama", "arn:aws:bedrock:x"]))
def test_bedrock_takes_any_history(messages, model_id):
    history = given_to_a_model([*messages, {"role": "user", "content": [{"text": "go on"}]}])
    before = json.dumps(history, default=repr)
    request = BedrockConverseModel(model_id)._request_for(history, None, None)
    rules = "anthropic.claude" if model_id.startswith("arn:") else model_id
    fault = converse_fault(request, rules)
    assert fault == "" or ("nova" in model_id and "same turn" in fault)
    assert json.dumps(history, default=repr) == before


@settings(max_examples=100)
@given(HISTORIES)
def test_chat_completions_take_any_history(messages):
    sent = chat_messages(given_to_a_model(messages), "Be brief.", "m")
    assert chat_fault({"messages": sent}) == ""
    json.dumps(sent, allow_nan=False).encode()


@settings(max_examples=100)
@given(HISTORIES, st.sets(st.sampled_from(["train", "search", "größe"])))
def test_responses_take_any_history(messages, async_tools):
    history = given_to_a_model([*messages, {"role": "user", "content": [{"text": "go on"}]}])
    items = input_items(history, "m", async_tools)
    assert responses_fault({"input": items}) == ""
    json.dumps(items, allow_nan=False).encode()


@settings(max_examples=100)
@given(conversations(), st.integers(1, 12))
def test_each_result_is_told_once_as_an_output_or_a_message_whatever_is_pruned(messages, most):
    reduction = WindowConversationManager(max_messages=most).cut(messages)
    if reduction is not None:
        messages = list(messages)
        reduction.apply(messages)
    history = given_to_a_model(messages)
    items = input_items(history, "m", ["train", "functions.train"])
    assert responses_fault({"input": items}) == ""
    sent = json.dumps(items)
    for number in range(6):
        told = f"result {number:08x}"
        assert sent.count(told) == json.dumps(history, default=repr).count(told)
