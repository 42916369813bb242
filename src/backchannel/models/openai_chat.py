"""Text models that speak OpenAI's chat completions: OpenAI itself, Ollama, vLLM and others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..messages import Messages, ToolSpec
from .chat_messages import chat_messages, reasoning_seal
from .openai_access import OpenAIAccess
from .text import StreamEvent

__all__ = ["OpenAIChatModel"]

_STOP_REASONS = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "length": "max_tokens",
    "content_filter": "content_filtered",
}


class OpenAIChatModel:
    """A `TextModel` behind an API of the kind of OpenAI's chat completions.

    ``OpenAIChatModel("llama3.2", base_url="http://localhost:11434/v1")`` is a model of Ollama's.

    Args:
        model_id: The model's name at the server.
        base_url: The API's address; None for OPENAI_BASE_URL or OpenAI's.
        api_key: The key; None for OPENAI_API_KEY. With an address of your own it may be left out.
        client: An ``openai.AsyncOpenAI`` to use and to leave open, on the event loop that it belongs to; None for a
            new one with each request.
        timeout_s: The longest wait for the next piece, seconds.
        max_retries: How often a request is made again that the server did not take.
        request: More of the request, as ``chat.completions.create`` takes it: ``temperature``, ``max_tokens`` ...
            None leaves out what is sent otherwise, such as ``stream_options`` for a server that does not know it.
            ``stream=False`` is for servers that lose calls when they stream; the answer then comes in one piece.

    Raises:
        InvalidInputError: If the name is blank.
        MissingExtraError: If the package ``openai`` is not installed.
    """

    def __init__(
        self,
        model_id: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        client: Any = None,
        timeout_s: float = 120.0,
        max_retries: int = 2,
        request: Mapping[str, Any] | None = None,
    ) -> None:
        self._access = OpenAIAccess(
            "OpenAIChatModel", model_id, base_url=base_url, api_key=api_key, client=client, timeout_s=timeout_s,
            max_retries=max_retries,
        )  # fmt: skip
        self.model_id = model_id
        self._request = dict(request or {})

    async def stream(
        self,
        messages: Messages,
        tool_specs: list[ToolSpec] | None = None,
        system_prompt: str | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[StreamEvent]:
        request: dict[str, Any] = {
            "model": self.model_id,
            "messages": chat_messages(messages, system_prompt, self.model_id),
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._request,
        }
        if not request["stream"]:
            del request["stream_options"]
        if tool_specs:
            request["tools"] = [*self._request.get("tools", ()), *map(_tool, tool_specs)]
        request = {name: value for name, value in request.items() if value is not None}
        async with self._access.client() as client:
            reader = _ChunkReader(self._access, self.model_id)
            answer = await client.chat.completions.create(**request)
            if not request.get("stream"):
                for event in reader.take(answer):
                    yield event
            else:
                async with answer:
                    async for chunk in answer:
                        for event in reader.take(chunk):
                            yield event
            for event in reader.end():
                yield event


class _ChunkReader:
    """Turns chunks into events. Pure.

    Servers leave out what OpenAI sends, number and name calls in their own ways, or send them whole: no field is
    taken to be there.
    """

    def __init__(self, access: OpenAIAccess, model_id: str) -> None:
        self._access = access
        self._seal = reasoning_seal(model_id)
        self._blocks = 0
        self._text: int | None = None
        self._thoughts: int | None = None
        self._calls: dict[int, _OpenCall] = {}
        self._last = -1
        self._stop_reason = ""

    def take(self, chunk: Any) -> Iterator[StreamEvent]:
        if getattr(chunk, "object", None) == "error":  # as older servers of vLLM say it
            raise self._access.failed(_code(chunk), str(getattr(chunk, "message", "")) or "no reason was given")
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            yield {"metadata": {"usage": _usage(usage)}}
        for choice in (getattr(chunk, "choices", None) or ())[:1]:
            delta = getattr(choice, "delta", None) or getattr(choice, "message", None)
            thought = getattr(delta, "reasoning_content", None)
            if thought and isinstance(thought, str):
                yield from self._think(thought)
            text = _text_of(getattr(delta, "content", None)) or _text_of(getattr(delta, "refusal", None))
            if text:
                if self._text is None:
                    self._text = self._new_block()
                yield {"contentBlockDelta": {"contentBlockIndex": self._text, "delta": {"text": text}}}
            for call in getattr(delta, "tool_calls", None) or ():
                yield from self._call(call)
            reason = getattr(choice, "finish_reason", None)
            if reason:
                self._stop_reason = _STOP_REASONS.get(reason, reason)

    def end(self) -> Iterator[StreamEvent]:
        if self._calls and self._stop_reason == "end_turn":  # some servers say "stop" with calls, too
            self._stop_reason = "tool_use"
        if self._stop_reason:
            yield {"messageStop": {"stopReason": self._stop_reason}}

    def _call(self, call: Any) -> Iterator[StreamEvent]:
        function = getattr(call, "function", None)
        call_id, name = getattr(call, "id", None) or "", getattr(function, "name", None) or ""
        index = getattr(call, "index", None)
        if index is None:
            index = self._last + 1 if call_id or name or self._last < 0 else self._last
        known = self._calls.get(index)
        if known is None or (name and known.is_over(call_id)):
            self._calls[index] = known = _OpenCall(call_id, self._new_block())
            self._text = None
            use = {"toolUseId": call_id, "name": name}
            yield {"contentBlockStart": {"contentBlockIndex": known.block, "start": {"toolUse": use}}}
        self._last = index
        arguments = getattr(function, "arguments", None)
        if arguments:
            piece = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            known.arguments += piece
            yield {"contentBlockDelta": {"contentBlockIndex": known.block, "delta": {"toolUse": {"input": piece}}}}

    def _think(self, thought: str) -> Iterator[StreamEvent]:
        reasoning = {"text": thought}
        if self._thoughts is None:
            self._thoughts = self._new_block()
            reasoning["signature"] = self._seal
        yield {"contentBlockDelta": {"contentBlockIndex": self._thoughts, "delta": {"reasoningContent": reasoning}}}

    def _new_block(self) -> int:
        self._blocks += 1
        return self._blocks - 1


@dataclass(slots=True)
class _OpenCall:
    id: str
    block: int
    arguments: str = ""

    def is_over(self, call_id: str) -> bool:
        """Whether a piece with a name, and this id, begins another call."""
        if call_id and self.id:
            return call_id != self.id
        try:
            json.loads(self.arguments)
        except ValueError:
            return False
        return True


def _usage(usage: Any) -> dict[str, int]:
    read = getattr(usage, "prompt_tokens", None) or 0
    written = getattr(usage, "completion_tokens", None) or 0
    total = getattr(usage, "total_tokens", None) or read + written
    return {"inputTokens": read, "outputTokens": written, "totalTokens": total}


def _text_of(content: Any) -> str:
    """Return the text of a piece; some servers send it in parts, among them what the model thinks."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, Mapping) and _is_text_part(part))
    return content if isinstance(content, str) else ""


def _is_text_part(part: Mapping[str, Any]) -> bool:
    return part.get("type") == "text" and isinstance(part.get("text"), str)


def _code(chunk: Any) -> str | None:
    code = getattr(chunk, "code", None)
    return None if code is None else str(code)


def _tool(spec: ToolSpec) -> dict[str, Any]:
    schema = spec["inputSchema"].get("json", spec["inputSchema"])
    return {
        "type": "function",
        "function": {"name": spec["name"], "description": spec.get("description", ""), "parameters": schema},
    }
