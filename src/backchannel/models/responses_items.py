"""Responses items: a history in the form that OpenAI's Responses API takes. Pure.

A call whose task still runs may be sent open: with ``async: true`` and without an output. Its result, which the history
holds as a later message, is then the call's output, sent where that message stands.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ..messages import ContentBlock, Message, Messages, ToolResult, ToolSpec, ToolUse
from .task_notes import started, told
from .text import FOREIGN, plain_id, plain_name

__all__ = ["input_items", "sealed", "tool_param"]

_SEAL = f"{FOREIGN}openai-responses "


def sealed(model_id: str, item_id: str, encrypted: str) -> str:
    """Return what a reasoning item has to be remembered by, as the signature of a reasoning block."""
    return _SEAL + json.dumps([model_id, item_id, encrypted])


def tool_param(spec: ToolSpec, *, is_async: bool) -> dict[str, Any]:
    """Return a tool as the API takes it; an async one does not keep the model waiting."""
    schema = spec["inputSchema"].get("json", spec["inputSchema"])
    param = {
        "type": "function",
        "name": spec["name"],
        "description": spec.get("description", ""),
        "parameters": schema,
        "strict": False,
    }
    return {**param, "async": True} if is_async else param


def input_items(messages: Messages, model_id: str, async_tools: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return a history as input items.

    Args:
        messages: The history.
        model_id: The model's own reasoning goes back to it; that of other models is left out.
        async_tools: The tools whose calls are marked as asynchronous, and have no output while their tasks run.
    """
    return list(_Items(messages, model_id, async_tools).all())


class _Items:
    def __init__(self, messages: Messages, model_id: str, async_tools: Collection[str]) -> None:
        self._messages = messages
        self._model_id = model_id
        self._async_tools = async_tools
        self._open = self._open_calls()
        self._left_open = set(self._open.values())
        self._made: set[str] = set()

    def all(self) -> Iterator[dict[str, Any]]:
        for message in self._messages:
            yield from self._assistant(message) if message["role"] == "assistant" else self._user(message)

    def _open_calls(self) -> dict[str, str]:
        """Return the calls that are answered by tasks; where several are by one task, it is owed to the first."""
        found: dict[str, str] = {}
        background: set[str] = set()
        for message in self._messages if self._async_tools else ():
            for block in message["content"]:
                if "toolUse" in block and block["toolUse"]["name"] in self._async_tools:
                    background.add(block["toolUse"]["toolUseId"])
                elif "toolResult" in block and block["toolResult"]["toolUseId"] in background:
                    task = started(block["toolResult"])
                    if task is not None:
                        found.setdefault(task.task_id, block["toolResult"]["toolUseId"])
        return found

    def _assistant(self, message: Message) -> Iterator[dict[str, Any]]:
        # Reasoning is refused where what it led to does not follow.
        reasoning: list[dict[str, Any]] = []
        for block in message["content"]:
            if "text" in block:
                yield from reasoning
                reasoning = []
                yield {"type": "message", "role": "assistant", "content": block["text"]}
            elif "toolUse" in block:
                yield from reasoning
                reasoning = []
                yield self._call(block["toolUse"])
            elif (item := _reasoning(block, self._model_id)) is not None:
                reasoning.append(item)

    def _call(self, use: ToolUse) -> dict[str, Any]:
        self._made.add(use["toolUseId"])
        item = {
            "type": "function_call",
            "call_id": plain_id(use["toolUseId"]),
            "name": plain_name(use["name"]),
            "arguments": json.dumps(use["input"], ensure_ascii=False),
        }
        return {**item, "async": True} if use["name"] in self._async_tools else item

    def _user(self, message: Message) -> Iterator[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        for block in message["content"]:
            if "toolResult" in block:
                result = block["toolResult"]
                if result["toolUseId"] not in self._left_open:
                    yield _output(result["toolUseId"], _result_output(result))
                continue
            outputs, block = self._late(block)
            if outputs:
                yield from _user_message(parts)
                yield from outputs
                parts = []
            if block:
                parts.append(_part(block))
        yield from _user_message(parts)

    def _late(self, block: ContentBlock) -> tuple[list[dict[str, Any]], ContentBlock]:
        """Return the outputs of open calls that a message tells, and what else it says."""
        text = block.get("text", "")
        outputs = []
        rest = text
        for task in told(text) if self._open else ():
            call_id = self._open.get(task.task_id)
            if call_id in self._made:
                call_id = self._open.pop(task.task_id)
                outputs.append(_output(call_id, task.words))
                rest = rest.replace(task.words, "", 1)
        if not outputs:
            return [], block
        return outputs, {"text": rest.strip()} if told(rest) else {}


def _reasoning(block: ContentBlock, model_id: str) -> dict[str, Any] | None:
    content: Any = block.get("reasoningContent")
    text = content.get("reasoningText") if isinstance(content, Mapping) else None
    signature = text.get("signature") if isinstance(text, Mapping) else None
    if text is None or not isinstance(signature, str) or not signature.startswith(_SEAL):
        return None
    try:
        made_by, item_id, encrypted = json.loads(signature.removeprefix(_SEAL))
    except ValueError:
        return None
    if made_by != model_id:
        return None
    summary = [{"type": "summary_text", "text": text["text"]}] if text.get("text") else []
    return {"type": "reasoning", "id": item_id, "summary": summary, "encrypted_content": encrypted}


def _output(call_id: str, output: str | list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": plain_id(call_id), "output": output}


def _user_message(parts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    if parts:
        yield {"type": "message", "role": "user", "content": parts}


def _result_output(result: ToolResult) -> str | list[dict[str, Any]]:
    parts = [_part(piece) for piece in result["content"]]  # type: ignore[arg-type]
    if all(part["type"] == "input_text" for part in parts):
        return "\n".join(part["text"] for part in parts) or '""'
    return parts


def _part(block: ContentBlock) -> dict[str, Any]:
    if "text" in block:
        return {"type": "input_text", "text": block["text"]}
    kind = next(iter(block), "nothing")
    value: Any = block.get(kind)
    if kind == "json":
        return {"type": "input_text", "text": json.dumps(value, ensure_ascii=False)}
    source = value.get("source") if isinstance(value, Mapping) else None
    data = source.get("bytes") if isinstance(source, Mapping) else None
    if isinstance(data, bytes) and kind in ("image", "document"):
        encoded = base64.b64encode(data).decode()
        if kind == "image":
            url = f"data:image/{value.get('format', 'png')};base64,{encoded}"
            return {"type": "input_image", "image_url": url, "detail": "auto"}
        if value.get("format") == "pdf":
            name = f"{value.get('name', 'document')}.pdf"
            return {"type": "input_file", "filename": name, "file_data": f"data:application/pdf;base64,{encoded}"}
    return {"type": "input_text", "text": f"({kind}, not shown)"}
