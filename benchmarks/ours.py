"""OurSide: a `backchannel.BidiAgent` with a fake provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from backchannel import BidiAgent, tool
from backchannel.events import (
    BidiAudioStreamEvent,
    BidiInterruptionEvent,
    BidiResponseStartEvent,
    ToolUseStreamEvent,
    TypedEvent,
)
from backchannel.models.realtime import ModelProfile

from .sides import Feed

__all__ = ["OurSide"]


class _FeedModel:
    """Emits a feed."""

    def __init__(self, feed: Feed, result: Callable[[], object]) -> None:
        self.config: dict[str, Any] = {"audio": {"input_rate": 16000, "output_rate": 16000, "channels": 1}}
        self.profile = ModelProfile(name="feed", place="stays in this process")
        self._feed = feed
        self._result = result

    async def start(self, system_prompt: Any = None, tools: Any = None, messages: Any = None, **kwargs: Any) -> None:
        pass

    async def stop(self) -> None:
        pass

    def receive(self) -> AsyncIterator[Any]:
        return self._feed()

    async def send(self, content: TypedEvent) -> None:
        if content["type"] == "tool_result":
            self._result()


class OurSide:
    """See `Side`."""

    name = "backchannel"

    def agent(
        self, feed: Feed, tools: Sequence[Callable[..., Any]] = (), result: Callable[[], object] = lambda: None
    ) -> BidiAgent:
        return BidiAgent(_FeedModel(feed, result), tools=[tool(function) for function in tools])

    def opening(self, response: str) -> list[Any]:
        return [BidiResponseStartEvent(response)]

    def audio(self, base64: str, response: str) -> BidiAudioStreamEvent:
        event = BidiAudioStreamEvent(base64, "pcm", 16000, 1)
        event.response_id = response
        return event

    def interruption(self) -> BidiInterruptionEvent:
        return BidiInterruptionEvent("user_speech")

    def call(self, call_id: str, name: str, arguments: dict[str, Any]) -> ToolUseStreamEvent:
        return ToolUseStreamEvent({"toolUse": {}}, {"toolUseId": call_id, "name": name, "input": arguments})

    def is_audio(self, event: Any) -> bool:
        return isinstance(event, BidiAudioStreamEvent)

    def is_interruption(self, event: Any) -> bool:
        return isinstance(event, BidiInterruptionEvent)
