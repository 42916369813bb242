"""Text models: the contract between a text agent and its model, and how a stream becomes a message.

A stream is made of dicts, each with one key, as Bedrock's ConverseStream has them; ``contentBlockIndex`` may be left
out where blocks do not overlap:

    {"messageStart": {"role": "assistant"}}
    {"contentBlockStart": {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "...", "name": "..."}}}}
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "..."}}}          or {"toolUse": {"input": "..."}}
    {"contentBlockStop": {"contentBlockIndex": 0}}
    {"messageStop": {"stopReason": "end_turn"}}
    {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}}
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from ..errors import ModelError
from ..messages import ContentBlock, Message, Messages, ToolResult, ToolSpec, ToolUse, is_text

__all__ = [
    "FOREIGN",
    "LeavesCallsOpen",
    "MessageBuilder",
    "StreamEvent",
    "TextModel",
    "message_events",
    "plain_id",
    "plain_name",
]

StreamEvent: TypeAlias = Mapping[str, Any]

FOREIGN = "backchannel:"
"""What the signature of a reasoning block begins with that means nothing to Bedrock."""

_PLAIN = re.compile(r"[a-zA-Z0-9_-]+")
_NOT_PLAIN = re.compile(r"[^a-zA-Z0-9_-]")


@runtime_checkable
class TextModel(Protocol):
    """A model that reads a conversation and writes the next message of it.

    Models written for Strands fit. Closing the iterator ends the request; what goes wrong is raised, by models of
    ours as a `ModelError`.
    """

    def stream(
        self,
        messages: Messages,
        tool_specs: list[ToolSpec] | None = None,
        system_prompt: str | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[StreamEvent]: ...


@runtime_checkable
class LeavesCallsOpen(TextModel, Protocol):
    """A text model that goes on while background tools run.

    Where it has said something besides making calls, and leaves all of them open, an `Agent` does not call it again
    for them.
    """

    def leaves_open(self, spec: ToolSpec, result: ToolResult) -> bool:
        """Return whether a result of this tool is none yet, so that the call is open."""
        ...


def plain_id(call_id: str, limit: int = 64) -> str:
    """Return a call's id as providers take it: of letters, digits, "_" and "-", and not longer than ``limit``."""
    if len(call_id) <= limit and _PLAIN.fullmatch(call_id):
        return call_id
    return f"call_{hashlib.sha256(call_id.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"


def plain_name(name: str) -> str:
    """Return a tool's name as providers take it; a model may have called one that there cannot be."""
    return name if len(name) <= 64 and _PLAIN.fullmatch(name) else _NOT_PLAIN.sub("_", name)[:64] or "unnamed"


def message_events(message: Message, stop_reason: str | None = None) -> Iterator[StreamEvent]:
    """Return the stream of a message that is there as a whole; the stop reason is the one that fits, or this."""
    calls = False
    yield {"messageStart": {"role": "assistant"}}
    for index, block in enumerate(message["content"]):
        if "toolUse" in block:
            calls = True
            use = block["toolUse"]
            start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
            yield {"contentBlockStart": {"contentBlockIndex": index, "start": start}}
            delta: dict[str, Any] = {"toolUse": {"input": json.dumps(use["input"], ensure_ascii=False)}}
        elif "text" in block:
            delta = {"text": block["text"]}
        elif "reasoningContent" in block:
            reasoning: Any = block.get("reasoningContent")
            delta = {"reasoningContent": reasoning.get("reasoningText", reasoning)}
        else:
            continue
        yield {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}
        yield {"contentBlockStop": {"contentBlockIndex": index}}
    yield {"messageStop": {"stopReason": stop_reason or ("tool_use" if calls else "end_turn")}}


class MessageBuilder:
    """Makes a message of the events of one stream. Pure.

    Attributes:
        stop_reason: Why the model stopped; "" while it has not.
        usage: Tokens, as the provider counts them: ``inputTokens``, ``outputTokens``, ``totalTokens``.
        faults: Why a call cannot be run, by its id.
    """

    def __init__(self) -> None:
        self.stop_reason = ""
        self.usage: dict[str, int] = {}
        self.faults: dict[str, str] = {}
        self._blocks: dict[int, _Block] = {}
        self._current = -1

    def take(self, event: StreamEvent) -> str:
        """Take in an event; returns the text that it added. What it does not know is left out."""
        for kind, value in event.items():
            if not isinstance(value, Mapping):
                continue
            match kind:
                case "contentBlockStart":
                    self._begin(value)
                case "contentBlockDelta":
                    return self._add(value)
                case "contentBlockStop":
                    self._block(value).closed = True
                case "messageStop":
                    self.stop_reason = str(value.get("stopReason") or "end_turn")
                case "metadata":
                    usage = value.get("usage")
                    if isinstance(usage, Mapping):
                        self.usage = {name: count for name, count in usage.items() if isinstance(count, int)}
        return ""

    def message(self) -> Message:
        """Return the message; its content is empty if the model wrote nothing.

        Raises:
            ModelError: If the stream has not come to its end.
        """
        if not self.stop_reason:
            raise ModelError(
                "the model's answer broke off: its stream ended before the message did. Nothing of it is kept; "
                "ask again"
            )
        content: list[ContentBlock] = []
        last = max(self._blocks, default=-1)
        for index, block in sorted(self._blocks.items()):
            if block.call is not None:
                content.append(
                    {"toolUse": self._call(block, cut_off=self.stop_reason == "max_tokens" and index == last)}
                )
            elif block.reasoning:
                content.append({"reasoningContent": block.reasoning})  # type: ignore[typeddict-unknown-key]
            elif is_text(block.text):
                content.append({"text": block.text})
        return {"role": "assistant", "content": content}

    def _begin(self, value: Mapping[str, Any]) -> None:
        index = value.get("contentBlockIndex")
        self._current = index if isinstance(index, int) else max(self._blocks, default=-1) + 1
        block = self._blocks[self._current] = _Block()
        start = value.get("start")
        call = start.get("toolUse") if isinstance(start, Mapping) else None
        if isinstance(call, Mapping):
            block.call = call

    def _block(self, value: Mapping[str, Any]) -> _Block:
        index = value.get("contentBlockIndex")
        if not isinstance(index, int):
            index = self._current
            if index not in self._blocks or self._blocks[index].closed:
                index = max(self._blocks, default=-1) + 1
        if index not in self._blocks:
            self._blocks[index] = _Block()
        self._current = index
        return self._blocks[index]

    def _add(self, value: Mapping[str, Any]) -> str:
        delta = value.get("delta")
        if not isinstance(delta, Mapping):
            return ""
        block = self._block(value)
        if isinstance(delta.get("text"), str):
            block.text += delta["text"]
            return str(delta["text"])
        call = delta.get("toolUse")
        if isinstance(call, Mapping) and isinstance(call.get("input"), str):
            block.text += call["input"]
        reasoning = delta.get("reasoningContent")
        if isinstance(reasoning, Mapping):
            block.reason(reasoning)
        return ""

    def _call(self, block: _Block, *, cut_off: bool) -> ToolUse:
        given = block.call or {}
        call_id = str(given.get("toolUseId") or f"call_{secrets.token_hex(8)}")
        name = str(given.get("name") or "unnamed")
        arguments: Any = {}
        if block.text.strip():
            try:
                arguments = json.loads(block.text)
            except ValueError as error:
                self.faults[call_id] = f"the arguments are not JSON ({error}); they were: {block.text[:500]}"
        if not isinstance(arguments, dict):
            self.faults[call_id] = f"the arguments are not a JSON object: {block.text[:500]}"
            arguments = {}
        if cut_off:
            self.faults[call_id] = "the call was cut off where the answer became too long; make it shorter"
        return {"toolUseId": call_id, "name": name, "input": arguments}


class _Block:
    def __init__(self) -> None:
        self.call: Mapping[str, Any] | None = None
        self.text = ""
        self.reasoning: dict[str, Any] = {}
        self.closed = False

    def reason(self, delta: Mapping[str, Any]) -> None:
        """Take in a piece of the model's reasoning, which some providers want back with its signature."""
        if isinstance(delta.get("redactedContent"), bytes):
            self.reasoning["redactedContent"] = self.reasoning.get("redactedContent", b"") + delta["redactedContent"]
            return
        text = self.reasoning.setdefault("reasoningText", {"text": ""})
        text["text"] += str(delta.get("text") or "")
        if isinstance(delta.get("signature"), str):
            text["signature"] = text.get("signature", "") + delta["signature"]
