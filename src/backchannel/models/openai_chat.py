"""Text models that speak OpenAI's chat completions: OpenAI itself, Ollama, vLLM and others."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from ..errors import InvalidInputError, MissingExtraError, ModelError, ModelThrottledError
from ..messages import ContentBlock, Message, Messages, ToolResult, ToolSpec
from ..tools.text import error_text
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
        if not isinstance(model_id, str) or not model_id.strip():
            raise InvalidInputError(f"OpenAIChatModel: model_id must be the name of a model, not {model_id!r}")
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError("OpenAIChatModel", "openai") from error
        self.model_id = model_id
        self._openai = openai
        self._client = client
        self._base_url = base_url
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._max_retries = max_retries
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
            "messages": _chat_messages(messages, system_prompt),
            "stream_options": {"include_usage": True},
            **self._request,
            "stream": True,
        }
        if tool_specs:
            request["tools"] = [_tool(spec) for spec in tool_specs]
        client = self._client
        try:
            if client is None:
                client = self._new_client()
            answer = await client.chat.completions.create(**request)
            reader = _ChunkReader()
            async with answer:
                async for chunk in answer:
                    for event in reader.take(chunk):
                        yield event
            for event in reader.end():
                yield event
        except self._openai.OpenAIError as error:
            raise self._in_words(error) from error
        finally:
            if client is not None and client is not self._client:
                await client.close()

    def _new_client(self) -> Any:
        key = self._api_key or os.environ.get("OPENAI_API_KEY")
        if not key and (self._base_url or os.environ.get("OPENAI_BASE_URL")):
            key = "none"
        return self._openai.AsyncOpenAI(
            api_key=key, base_url=self._base_url, timeout=self._timeout_s, max_retries=self._max_retries
        )

    def _in_words(self, error: Exception) -> ModelError:
        openai = self._openai
        where = f" at {self._base_url}" if self._base_url else ""
        name = f"the model {self.model_id!r}{where}"
        said = error_text(error, 1000)
        match error:
            case openai.RateLimitError():
                return ModelThrottledError(f"{name} takes no more requests for now: {said}; try again in a while")
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                return ModelError(f"{name} refused the key: {said} - check api_key or OPENAI_API_KEY")
            case openai.NotFoundError():
                return ModelError(f"{name} was not found: {said} - check model_id and base_url")
            case openai.APITimeoutError():
                return ModelError(f"{name} did not answer within {self._timeout_s:g} s; give a longer timeout_s")
            case openai.APIConnectionError():
                return ModelError(f"{name} cannot be reached ({said}); check base_url, and that the server runs")
            case openai.APIError():
                return ModelError(f"{name} answered with an error: {said}")
        return ModelError(f"{name} cannot be asked: {said}")


class _ChunkReader:
    """Turns chunks into events. Pure."""

    def __init__(self) -> None:
        self._blocks = 0
        self._text: int | None = None
        self._calls: dict[int, tuple[str, int]] = {}
        self._last = -1
        self._stop_reason = ""

    def take(self, chunk: Any) -> Iterator[StreamEvent]:
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            read, written = usage.prompt_tokens or 0, usage.completion_tokens or 0
            tokens = {"inputTokens": read, "outputTokens": written, "totalTokens": usage.total_tokens or read + written}
            yield {"metadata": {"usage": tokens}}
        for choice in (chunk.choices or ())[:1]:
            delta = choice.delta
            text = getattr(delta, "content", None) or getattr(delta, "refusal", None)
            if text:
                if self._text is None:
                    self._text = self._new_block()
                yield {"contentBlockDelta": {"contentBlockIndex": self._text, "delta": {"text": text}}}
            for call in getattr(delta, "tool_calls", None) or ():
                yield from self._call(call)
            if choice.finish_reason:
                self._stop_reason = _STOP_REASONS.get(choice.finish_reason, choice.finish_reason)

    def end(self) -> Iterator[StreamEvent]:
        if self._stop_reason:
            yield {"messageStop": {"stopReason": self._stop_reason}}

    def _call(self, call: Any) -> Iterator[StreamEvent]:
        function = call.function
        index = call.index
        if index is None:  # some servers do not count
            index = self._last + 1 if call.id or self._last < 0 else self._last
        known = self._calls.get(index)
        if known is None or (call.id and call.id != known[0] and function is not None and function.name):
            block = self._new_block()
            self._calls[index] = known = (call.id or "", block)
            self._text = None
            use = {"toolUseId": call.id, "name": function.name if function is not None else ""}
            yield {"contentBlockStart": {"contentBlockIndex": block, "start": {"toolUse": use}}}
        self._last = index
        if function is not None and function.arguments:
            part = {"toolUse": {"input": function.arguments}}
            yield {"contentBlockDelta": {"contentBlockIndex": known[1], "delta": part}}

    def _new_block(self) -> int:
        self._blocks += 1
        return self._blocks - 1


def _tool(spec: ToolSpec) -> dict[str, Any]:
    schema = spec["inputSchema"].get("json", spec["inputSchema"])
    return {
        "type": "function",
        "function": {"name": spec["name"], "description": spec.get("description", ""), "parameters": schema},
    }


def _chat_messages(messages: Messages, system_prompt: str | None) -> list[dict[str, Any]]:
    chat: list[dict[str, Any]] = []
    if system_prompt and system_prompt.strip():
        chat.append({"role": "system", "content": system_prompt})
    for message in messages:
        chat.extend(_assistant(message) if message["role"] == "assistant" else _user(message))
    return chat


def _assistant(message: Message) -> Iterator[dict[str, Any]]:
    text = "\n".join(block["text"] for block in message["content"] if "text" in block)
    calls = [
        {
            "id": call["toolUseId"],
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["input"], ensure_ascii=False)},
        }
        for block in message["content"]
        if "toolUse" in block and (call := block["toolUse"])
    ]
    if text or calls:
        yield {"role": "assistant", "content": text or None, **({"tool_calls": calls} if calls else {})}


def _user(message: Message) -> Iterator[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for block in message["content"]:
        if "toolResult" in block:
            result = block["toolResult"]
            yield {"role": "tool", "tool_call_id": result["toolUseId"], "content": _result_text(result)}
            parts += [_part(piece) for piece in result["content"] if "image" in piece]  # type: ignore[arg-type]
        else:
            parts.append(_part(block))
    if parts:
        only_text = all(part["type"] == "text" for part in parts)
        yield {"role": "user", "content": "\n".join(part["text"] for part in parts) if only_text else parts}


def _result_text(result: ToolResult) -> str:
    pieces = []
    for piece in result["content"]:
        if "text" in piece:
            pieces.append(piece["text"])
        elif "json" in piece:
            pieces.append(json.dumps(piece["json"], ensure_ascii=False))
        else:
            pieces.append(f"({next(iter(piece), 'nothing')} follows)" if "image" in piece else "(not shown)")
    return "\n".join(pieces) or '""'


def _part(block: ContentBlock) -> dict[str, Any]:
    if "text" in block:
        return {"type": "text", "text": block["text"]}
    image = block.get("image")
    data = image.get("source", {}).get("bytes") if isinstance(image, Mapping) else None
    if image is not None and isinstance(data, bytes):
        url = f"data:image/{image.get('format', 'png')};base64,{base64.b64encode(data).decode()}"
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "text", "text": f"({next(iter(block), 'nothing')}, not shown)"}
