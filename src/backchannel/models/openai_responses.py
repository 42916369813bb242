"""Text models behind OpenAI's Responses API, whose tools need not keep the model waiting."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from ..errors import ModelError
from ..messages import BACKGROUND_NOTICE, Messages, ToolResult, ToolSpec
from .openai_access import OpenAIAccess
from .responses_items import input_items, sealed, tool_param
from .task_notes import started
from .text import StreamEvent

__all__ = ["OpenAIResponsesModel"]

_STOP_REASONS = {"max_output_tokens": "max_tokens", "content_filter": "content_filtered"}


class OpenAIResponsesModel:
    """A `TextModel` behind OpenAI's Responses API.

    Nothing is kept at OpenAI: each request has the whole history, with the model's own reasoning, encrypted, and asks
    for ``store=False``.

    With ``async_tools`` the background tools of an `Agent` are declared with ``async: true``. The model then goes on
    after a call without an answer to it. While the task runs the call stays open, without an output; when an
    `AsyncAgent` tells the result, that is sent as the call's own output, in a later request, and not as a message.
    The protocol is described at https://developers.openai.com/api/docs/guides/async-tool-calling; GPT-6 Astra and
    later models know it. That guide keeps the conversation at OpenAI; that calls are open in a history which is sent
    whole in the same way is taken from there, and was not tried against the service.

    Args:
        model_id: The model's name at the server.
        async_tools: Whether background tools do not keep the model waiting.
        base_url: The API's address; None for OPENAI_BASE_URL or OpenAI's.
        api_key: The key; None for OPENAI_API_KEY. With an address of your own it may be left out.
        client: An ``openai.AsyncOpenAI`` to use and to leave open, on the event loop that it belongs to; None for a
            new one with each request.
        timeout_s: The longest wait for the next piece, seconds.
        max_retries: How often a request is made again that the server did not take.
        request: More of the request, as ``responses.create`` takes it: ``reasoning``, ``max_output_tokens`` ... None
            leaves out what is sent otherwise.

    Raises:
        InvalidInputError: If the name is blank.
        MissingExtraError: If the package ``openai`` is not installed.
    """

    def __init__(
        self,
        model_id: str,
        *,
        async_tools: bool = False,
        base_url: str | None = None,
        api_key: str | None = None,
        client: Any = None,
        timeout_s: float = 120.0,
        max_retries: int = 2,
        request: Mapping[str, Any] | None = None,
    ) -> None:
        self._access = OpenAIAccess(
            "OpenAIResponsesModel", model_id, base_url=base_url, api_key=api_key, client=client, timeout_s=timeout_s,
            max_retries=max_retries,
        )  # fmt: skip
        self.model_id = model_id
        self.async_tools = async_tools
        self._request = dict(request or {})

    def leaves_open(self, spec: ToolSpec, result: ToolResult) -> bool:
        """Return whether a result only acknowledges a task, so that the call stays open until the task has ended."""
        return self._is_async(spec) and started(result) is not None

    async def stream(
        self,
        messages: Messages,
        tool_specs: list[ToolSpec] | None = None,
        system_prompt: str | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[StreamEvent]:
        names = frozenset(spec["name"] for spec in tool_specs or () if self._is_async(spec))
        request: dict[str, Any] = {
            "model": self.model_id,
            "input": input_items(messages, self.model_id, names),
            "store": False,
            **self._request,
            "stream": True,
        }
        if system_prompt and system_prompt.strip():
            request["instructions"] = system_prompt
        if tool_specs:
            own = [tool_param(spec, is_async=spec["name"] in names) for spec in tool_specs]
            request["tools"] = [*self._request.get("tools", ()), *own]
        request = {name: value for name, value in request.items() if value is not None}
        async with self._access.client() as client:
            reader = _EventReader(self._access, self.model_id)
            async with await client.responses.create(**request) as answer:
                async for event in answer:
                    for part in reader.take(event):
                        yield part

    def _is_async(self, spec: ToolSpec) -> bool:
        return self.async_tools and BACKGROUND_NOTICE in spec.get("description", "")


class _EventReader:
    """Turns the API's events into ours. Pure.

    Servers of other makes leave out events; what an item's own events did not bring is taken from its last one.
    """

    def __init__(self, access: OpenAIAccess, model_id: str) -> None:
        self._access = access
        self._model_id = model_id
        self._begun: dict[int, str] = {}
        self._written: set[int] = set()

    def take(self, event: Any) -> Iterator[StreamEvent]:
        index = _field(event, "output_index") or 0
        match _field(event, "type"):
            case "response.output_item.added":
                yield from self._begin(index, event.item)
            case "response.output_text.delta" | "response.refusal.delta":
                yield from self._delta(index, {"text": event.delta})
            case "response.function_call_arguments.delta":
                yield from self._delta(index, {"toolUse": {"input": event.delta}})
            case "response.output_item.done":
                yield from self._end(index, event.item)
            case "response.completed" | "response.incomplete":
                yield from self._finish(event.response)
            case "response.failed":
                raise self._failed(_field(event.response, "error"))
            case "error":
                raise self._failed(event)

    def _failed(self, error: Any) -> ModelError:
        return self._access.failed(_field(error, "code"), _field(error, "message") or "no reason was given")

    def _begin(self, index: int, item: Any) -> Iterator[StreamEvent]:
        self._begun[index] = kind = _field(item, "type")
        if kind == "function_call":
            start = {"toolUse": {"toolUseId": _field(item, "call_id"), "name": _field(item, "name")}}
            yield {"contentBlockStart": {"contentBlockIndex": index, "start": start}}

    def _delta(self, index: int, delta: dict[str, Any]) -> Iterator[StreamEvent]:
        self._written.add(index)
        yield {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}

    def _end(self, index: int, item: Any) -> Iterator[StreamEvent]:
        if index not in self._begun:
            yield from self._begin(index, item)
        kind = _field(item, "type")
        if kind == "reasoning":
            yield from self._reasoning(index, item)
        elif index not in self._written:
            if kind == "function_call" and _field(item, "arguments"):
                yield from self._delta(index, {"toolUse": {"input": _field(item, "arguments")}})
            elif kind == "message":
                parts = _field(item, "content") or ()
                text = "".join(str(_field(part, "text") or _field(part, "refusal") or "") for part in parts)
                yield from self._delta(index, {"text": text})
        yield {"contentBlockStop": {"contentBlockIndex": index}}

    def _reasoning(self, index: int, item: Any) -> Iterator[StreamEvent]:
        encrypted = _field(item, "encrypted_content")
        if encrypted:
            summary = "\n\n".join(str(_field(part, "text") or "") for part in _field(item, "summary") or ())
            signature = sealed(self._model_id, str(_field(item, "id") or ""), encrypted)
            reasoning = {"text": summary, "signature": signature}
            yield {"contentBlockDelta": {"contentBlockIndex": index, "delta": {"reasoningContent": reasoning}}}

    def _finish(self, response: Any) -> Iterator[StreamEvent]:
        reason = _field(_field(response, "incomplete_details"), "reason")
        if reason is not None:
            stop_reason = _STOP_REASONS.get(reason, reason)
        else:
            stop_reason = "tool_use" if "function_call" in self._begun.values() else "end_turn"
        yield {"messageStop": {"stopReason": stop_reason}}
        usage = _field(response, "usage")
        if usage is not None:
            read, written = _field(usage, "input_tokens") or 0, _field(usage, "output_tokens") or 0
            total = _field(usage, "total_tokens") or read + written
            yield {"metadata": {"usage": {"inputTokens": read, "outputTokens": written, "totalTokens": total}}}


def _field(value: Any, name: str) -> Any:
    """Return what is there by this name, or None; what the package does not know it leaves as a dict."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
