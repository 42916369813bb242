"""OurSide: a `backchannel.BidiAgent` with a fake provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Literal

from backchannel import AgentTool, AsyncToolManager, BidiAgent, async_tool, tool
from backchannel.events import (
    AnnouncementEvent,
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiInterruptionEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTranscriptStreamEvent,
    ToolUseStreamEvent,
    TypedEvent,
)
from backchannel.models.realtime import ModelProfile

from .sides import Feed, nothing

__all__ = ["OurSide"]


class _FeedModel:
    """Emits a feed."""

    def __init__(self, feed: Feed, result: Callable[[], object], heard: Callable[[], object]) -> None:
        self.config: dict[str, Any] = {"audio": {"input_rate": 16000, "output_rate": 16000, "channels": 1}}
        self.profile = ModelProfile(name="feed", place="stays in this process")
        self._feed = feed
        self._result = result
        self._heard = heard

    async def start(self, system_prompt: Any = None, tools: Any = None, messages: Any = None, **kwargs: Any) -> None:
        pass

    async def stop(self) -> None:
        pass

    def receive(self) -> AsyncIterator[Any]:
        return self._feed()

    async def send(self, content: TypedEvent) -> None:
        kind = content["type"]
        if kind == "tool_result" or isinstance(content, AnnouncementEvent):
            self._result()
        elif kind == "bidi_audio_input":
            self._heard()


class OurSide:
    """See `Side`."""

    name = "backchannel"

    def agent(
        self,
        feed: Feed,
        tools: Sequence[Callable[..., Any]] = (),
        result: Callable[[], object] = nothing,
        heard: Callable[[], object] = nothing,
    ) -> BidiAgent:
        made = [function if isinstance(function, AgentTool) else tool(function) for function in tools]
        return BidiAgent(_FeedModel(feed, result, heard), tools=made)

    def background(self, function: Callable[..., Any]) -> Any:
        # The peer acknowledges nothing, so it waits for nothing.
        return async_tool(AsyncToolManager(grace_s=0))(function)

    def opening(self, response: str) -> list[Any]:
        return [BidiResponseStartEvent(response)]

    def closing(self, response: str) -> list[Any]:
        return [BidiResponseCompleteEvent(response, "complete")]

    def audio(self, base64: str, response: str) -> BidiAudioStreamEvent:
        event = BidiAudioStreamEvent(base64, "pcm", 16000, 1)
        event.response_id = response
        return event

    def interruption(self) -> BidiInterruptionEvent:
        return BidiInterruptionEvent("user_speech")

    def call(self, call_id: str, name: str, arguments: dict[str, Any]) -> ToolUseStreamEvent:
        return ToolUseStreamEvent({"toolUse": {}}, {"toolUseId": call_id, "name": name, "input": arguments})

    def calls(self, calls: Sequence[tuple[str, str, dict[str, Any]]]) -> list[Any]:
        return [self.call(*call) for call in calls]

    def utterance(self, role: Literal["user", "assistant"], pieces: Sequence[str], name: str) -> Iterator[Any]:
        said = ""
        for piece in pieces:
            said += piece
            yield BidiTranscriptStreamEvent({"text": piece}, piece, role, False, said)
        yield BidiTranscriptStreamEvent({"text": said}, said, role, True, said)

    def microphone(self, samples: bytes) -> BidiAudioInputEvent:
        return BidiAudioInputEvent.from_data(samples, 16000)

    def is_audio(self, event: Any) -> bool:
        return isinstance(event, BidiAudioStreamEvent)

    def is_interruption(self, event: Any) -> bool:
        return isinstance(event, BidiInterruptionEvent)

    def is_whole_transcript(self, event: Any) -> bool:
        return isinstance(event, BidiTranscriptStreamEvent) and event["is_final"]
