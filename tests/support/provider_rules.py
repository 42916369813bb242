"""What providers of text models refuse, as far as it is documented or reported: why they refuse a request, or ""."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

PLAIN = re.compile(r"[a-zA-Z0-9_-]+")
DOCUMENT = re.compile(r"[a-zA-Z0-9\s\-()\[\]]+")


def converse_fault(request: dict[str, Any], model_id: str) -> str:
    """Of Bedrock's Converse, with the rules of all its models."""
    return next(_converse_faults(request, model_id), "")


def _converse_faults(request: dict[str, Any], model_id: str) -> Iterator[str]:
    messages, open_calls, documents = request["messages"], [], []
    if not messages or messages[0]["role"] != "user":
        yield "A conversation must start with a user message."
    for number, message in enumerate(messages):
        kinds = [kind for block in message["content"] for kind in block]
        if number and message["role"] == messages[number - 1]["role"]:
            yield f"messages.{number}: roles must alternate"
        if not kinds or len(kinds) != len(message["content"]):
            yield f"messages.{number}: content is empty, or a block has several kinds"
        if set(kinds) == {"reasoningContent"}:
            yield "This model does not support assistant message prefill."
        if "document" in kinds and "text" not in kinds:
            yield f"messages.{number}: a document needs a text"
        if "claude" not in model_id and "toolResult" in kinds and set(kinds) != {"toolResult"}:
            yield "Conversation blocks and tool result blocks cannot be provided in the same turn."
        results = [block["toolResult"] for block in message["content"] if "toolResult" in block]
        if sorted(result["toolUseId"] for result in results) != sorted(open_calls):
            yield f"Expected toolResult blocks at messages.{number}.content for the following Ids: {open_calls}"
        uses = [block["toolUse"] for block in message["content"] if "toolUse" in block]
        open_calls = [use["toolUseId"] for use in uses]
        for name in [*open_calls, *(use["name"] for use in uses)]:
            if not PLAIN.fullmatch(name) or len(name) > 64:
                yield f"Value {name!r} must satisfy regular expression pattern: [a-zA-Z0-9_-]+"
        if any(not isinstance(use["input"], dict) for use in uses):
            yield "input must be an object"
        pieces = [*message["content"], *(piece for result in results for piece in result["content"])]
        documents += [piece["document"]["name"] for piece in pieces if "document" in piece]
        for piece in pieces:
            if not piece.get("text", "x").strip():
                yield f"messages.{number}: the text field is blank"
            if not isinstance(piece.get("json", {}), dict):
                yield "The format of the value at toolResult.content.0.json is invalid. Provide a json object."
            signature = piece.get("reasoningContent", {}).get("reasoningText", {"signature": "x"}).get("signature", "")
            if "reasoningContent" in piece and ("claude" not in model_id or not signature or ":" in signature):
                yield "reasoningText: signature: field required"
        if any(not result["content"] for result in results):
            yield "toolResult.content is empty"
        if "claude" not in model_id and any("status" in result for result in results):
            yield "status is not supported by this model"
    if open_calls:
        yield f"Expected toolResult blocks for the following Ids: {open_calls}"
    called = any("toolUse" in block for message in messages for block in message["content"])
    if called and not request.get("toolConfig", {}).get("tools"):
        yield "The toolConfig field must be defined when using toolUse and toolResult content blocks."
    if len(set(documents)) < len(documents) or not all(map(DOCUMENT.fullmatch, documents)):
        yield f"document names must be different and plain: {documents}"


def chat_fault(request: dict[str, Any]) -> str:
    """Of OpenAI's chat completions."""
    waiting: list[str] = []
    for message in request["messages"]:
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
            waiting.remove(message["tool_call_id"])
            if not message["content"]:
                return "Missing content."
            continue
        if waiting:
            return f"These tool_call_ids did not have response messages: {waiting}"
        for call in message.get("tool_calls", ()):
            if len(call["id"]) > 40 or call["id"] in waiting:
                return f"Invalid id {call['id']}."
            if not PLAIN.fullmatch(call["function"]["name"]) or len(call["function"]["name"]) > 64:
                return "name: string does not match pattern '^[a-zA-Z0-9_-]+$'."
            if not isinstance(json.loads(call["function"]["arguments"]), dict):
                return "arguments must be a JSON object."
            waiting.append(call["id"])
        if not message["content"] and not message.get("tool_calls"):
            return "Missing content."
    return f"These tool_call_ids did not have response messages: {waiting}" if waiting else ""


def responses_fault(request: dict[str, Any]) -> str:
    """Of OpenAI's Responses, with nothing stored."""
    items = request["input"]
    calls: dict[str, bool] = {}
    answered: set[str] = set()
    if not items:
        return "Missing required parameter: 'input'."
    for item, following in zip(items, [*items[1:], None], strict=True):
        kind = item.get("type")
        if kind == "function_call":
            if not isinstance(json.loads(item["arguments"]), dict) or not PLAIN.fullmatch(item["name"]):
                return f"Invalid call {item}."
            if item["call_id"] in calls or not item["call_id"] or len(item["call_id"]) > 64:
                return f"Invalid call_id {item['call_id']}."
            calls[item["call_id"]] = item.get("async", False)
        elif kind == "function_call_output":
            if item["call_id"] not in calls or item["call_id"] in answered:
                return f"No tool call found for function call output with call_id {item['call_id']}."
            answered.add(item["call_id"])
        elif kind == "reasoning":
            if not item.get("encrypted_content"):
                return f"Item with id '{item['id']}' not found. Items are not persisted when `store` is false."
            after = following or {}
            if after.get("type") not in ("reasoning", "function_call") and after.get("role") != "assistant":
                return f"Item '{item['id']}' of type 'reasoning' was provided without its required following item."
        elif kind != "message" or not item["content"]:
            return f"Invalid value: {item}."
    waiting = [call for call, is_async in calls.items() if not is_async and call not in answered]
    if waiting:
        return f"No tool output found for function call {waiting[0]}."
    for tool in request.get("tools", ()):
        if tool["type"] == "function" and ("parameters" not in tool or "function" in tool):
            return "Missing required parameter: 'tools[0].name'."
        if tool.get("strict", True) and tool["type"] == "function":
            return f"Invalid schema for function '{tool['name']}': 'additionalProperties' is required."
    return ""
