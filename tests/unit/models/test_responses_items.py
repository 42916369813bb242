"""Responses items: whatever a valid history holds becomes input that the API takes."""

from __future__ import annotations

import json

import pytest

from backchannel import AsyncTaskResult, AsyncToolManager
from backchannel.agents.delivery import results_text
from backchannel.messages import tool_pair
from backchannel.models.responses_items import input_items, sealed, tool_param
from backchannel.models.text import plain_id


def user(*blocks):
    return {"role": "user", "content": [{"text": block} if isinstance(block, str) else block for block in blocks]}


def assistant(*blocks):
    return {**user(*blocks), "role": "assistant"}


def reasoning(model_id="m", signature=None):
    text = {"text": "because", "signature": signature or sealed(model_id, "rs_1", "secret")}
    return {"reasoningContent": {"reasoningText": text}}


def background(task_id="12345678", call_id="a", number=1):
    use = {"toolUseId": call_id, "name": "train", "input": {}}
    text = (
        f"Started train. It runs in the background as task {number} (id {task_id}, tool train, arguments {{}}). There "
        "is no result yet"
    )
    return tool_pair(use, {"toolUseId": call_id, "status": "success", "content": [{"text": text}]})


def test_ids_that_are_too_long_are_replaced_in_the_same_way_everywhere():
    long = "x" * 65
    pair = tool_pair(
        {"toolUseId": long, "name": "f", "input": {}},
        {"toolUseId": long, "status": "success", "content": [{"text": "1"}]},
    )
    call, output = input_items(list(pair), "m")
    assert call["call_id"] == output["call_id"] == plain_id(long)
    assert len(call["call_id"]) <= 64


def test_reasoning_goes_back_only_before_what_it_led_to():
    items = input_items([user("go"), assistant(reasoning(), "Well."), assistant(reasoning())], "m")
    assert [item["type"] for item in items] == ["message", "reasoning", "message"]
    assert items[1] == {
        "type": "reasoning", "id": "rs_1", "encrypted_content": "secret",
        "summary": [{"type": "summary_text", "text": "because"}],
    }  # fmt: skip


@pytest.mark.parametrize("signature", ["c2ln", "backchannel:openai-responses {", sealed("other", "rs", "x")])
def test_reasoning_of_others_and_broken_reasoning_is_left_out(signature):
    items = input_items([user("go"), assistant(reasoning(signature=signature), "Well.")], "m")
    assert [item["type"] for item in items] == ["message", "message"]


def test_reasoning_without_a_signature_or_with_other_content_is_left_out():
    blocks = [{"reasoningContent": {"redactedContent": b"x"}}, {"reasoningContent": {"reasoningText": {"text": "t"}}}]
    assert [item["type"] for item in input_items([assistant(*blocks, "Well.")], "m")] == ["message"]


def test_results_are_text_or_parts():
    pdf = {"document": {"format": "pdf", "name": "report", "source": {"bytes": b"%PDF"}}}
    content = [{"text": "one"}, {"json": {"two": 2}}, {"image": {"format": "png", "source": {"bytes": b"x"}}}, pdf]
    outputs = []
    for count in (0, 1, 2, 4):
        result = {"toolUseId": "a", "status": "success", "content": content[:count]}
        outputs.append(input_items([user({"toolResult": result})], "m")[0]["output"])
    assert outputs[:3] == ['""', "one", 'one\n{"two": 2}']
    assert [part["type"] for part in outputs[3]] == ["input_text", "input_text", "input_image", "input_file"]
    assert outputs[3][3]["filename"] == "report.pdf"


def test_what_the_api_does_not_take_is_named():
    video = {"video": {"format": "mp4", "source": {"bytes": b"x"}}}
    (item,) = input_items([user(video, {"document": {"format": "csv", "source": {"bytes": b"x"}}})], "m")
    assert [part["text"] for part in item["content"]] == ["(video, not shown)", "(document, not shown)"]


def test_without_open_calls_all_stays_as_it_is():
    call, result = background()
    late = user(results_text([AsyncTaskResult("12345678", "train", {}, 1, None, 1.0)]))
    items = input_items([user("go"), call, result, assistant("Started."), late], "m")
    assert [item["type"] for item in items] == [
        "message", "function_call", "function_call_output", "message", "message",
    ]  # fmt: skip


def test_a_result_that_is_told_twice_is_an_output_once():
    call, result = background()
    late = user(results_text([AsyncTaskResult("12345678", "train", {}, 1, None, 1.0)]))
    items = input_items([user("go"), call, result, late, assistant("There."), late], "m", ["train"])
    assert [item["type"] for item in items] == [
        "message", "function_call", "function_call_output", "message", "message",
    ]  # fmt: skip


def test_a_thousand_open_calls_and_their_results_keep_together():
    messages = [user("go")]
    results = []
    for number in range(1000):
        messages += background(f"{number:08x}", f"call_{number}", number)
        results.append(AsyncTaskResult(f"{number:08x}", "train", {}, f"result {number}", None, 1.0))
    messages += [user(results_text(results[start : start + 32])) for start in range(0, 1000, 32)]
    items = input_items(messages, "m", ["train"])
    outputs = {item["call_id"]: item["output"] for item in items if item["type"] == "function_call_output"}
    assert len(outputs) == 1000
    for number in (0, 31, 32, 999):
        assert outputs[f"call_{number}"].endswith(f"Result: result {number}")
    assert len(items) == 2001


def test_the_words_of_a_real_task_are_known():
    with AsyncToolManager() as manager:
        task = manager.task(manager.submit("train", lambda: None))
        use = {"toolUseId": "a", "name": "train", "input": {}}
        pair = tool_pair(use, {"toolUseId": "a", "status": "success", "content": [{"text": str(task)}]})
    items = input_items([user("go"), *pair], "m", ["train"])
    assert items[1:] == [{"type": "function_call", "call_id": "a", "name": "train", "arguments": "{}", "async": True}]


def test_a_schema_is_sent_as_it_is_and_not_strictly():
    schema = {"type": "object", "properties": {}}
    spec = {"name": "f", "description": "Do.", "inputSchema": {"json": schema}}
    assert tool_param(spec, is_async=False)["parameters"] == schema
    assert tool_param({**spec, "inputSchema": schema}, is_async=True)["async"] is True
    assert json.dumps(tool_param(spec, is_async=False)).count("async") == 0


def test_a_tool_that_is_not_in_the_background_cannot_leave_its_call_open():
    items = input_items([user("go"), *background(), user("and?")], "m", ["other"])
    assert [item["type"] for item in items] == ["message", "function_call", "function_call_output", "message"]
    assert "async" not in items[1]
