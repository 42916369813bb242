"""StrandsSide: a `strands.bidi.BidiAgent` with a fake provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Literal

from strands import tool
from strands.bidi import BidiAgent
from strands.bidi.models.model import BidiModel
from strands.bidi.types.content import BidiMessage
from strands.bidi.types.events import (
    BidiAudioDeltaEvent,
    BidiAudioStartEvent,
    BidiAudioStopEvent,
    BidiBargeInEvent,
    BidiResponseStartEvent,
    BidiResponseStopEvent,
    BidiToolUseBlocksEvent,
    BidiTranscriptBlockEvent,
    BidiTranscriptDeltaEvent,
    BidiTranscriptStartEvent,
    BidiTranscriptStopEvent,
)
from strands.bidi.types.media import AudioDelta
from strands.types.tools import ToolResultBlock

from .sides import Feed, nothing

__all__ = ["StrandsSide"]


class _FeedModel(BidiModel):
    """Emits a feed."""

    def __init__(self, feed: Feed, result: Callable[[], object], heard: Callable[[], object]) -> None:
        self._feed = feed
        self._result = result
        self._heard = heard

    def update_config(self, **model_config: Any) -> None:
        pass

    def get_config(self) -> dict[str, Any]:
        return {"model_id": "feed"}

    async def start(self, system_prompt: Any = None, tools: Any = None, messages: Any = None, **kwargs: Any) -> None:
        pass

    async def stop(self) -> None:
        pass

    def receive(self) -> AsyncIterator[Any]:
        return self._feed()

    async def send(self, content: Any) -> None:
        if isinstance(content, AudioDelta):
            self._heard()
        elif isinstance(content, BidiMessage):
            for block in content.content:
                if isinstance(block, ToolResultBlock):
                    self._result()


class StrandsSide:
    """See `Side`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def agent(
        self,
        feed: Feed,
        tools: Sequence[Callable[..., Any]] = (),
        result: Callable[[], object] = nothing,
        heard: Callable[[], object] = nothing,
    ) -> Any:
        return BidiAgent(_FeedModel(feed, result, heard), tools=[tool(function) for function in tools])

    def background(self, function: Callable[..., Any]) -> Any:
        return function

    def opening(self, response: str) -> list[Any]:
        return [BidiResponseStartEvent(response), BidiAudioStartEvent(response)]

    def closing(self, response: str) -> list[Any]:
        return [BidiAudioStopEvent(response), BidiResponseStopEvent(response)]

    def audio(self, base64: str, response: str) -> Any:
        return BidiAudioDeltaEvent(base64, "pcm", 16000, 1, response)

    def interruption(self) -> Any:
        return BidiBargeInEvent()

    def call(self, call_id: str, name: str, arguments: dict[str, Any]) -> Any:
        return BidiToolUseBlocksEvent([{"toolUseId": call_id, "name": name, "input": arguments}])

    def calls(self, calls: Sequence[tuple[str, str, dict[str, Any]]]) -> list[Any]:
        return [
            BidiToolUseBlocksEvent(
                [{"toolUseId": call_id, "name": name, "input": arguments} for call_id, name, arguments in calls]
            )
        ]

    def utterance(self, role: Literal["user", "assistant"], pieces: Sequence[str], name: str) -> Iterator[Any]:
        yield BidiTranscriptStartEvent(role, name)
        for piece in pieces:
            yield BidiTranscriptDeltaEvent(piece, role, name)
        yield BidiTranscriptStopEvent(role, name)

    def microphone(self, samples: bytes) -> Any:
        return AudioDelta(format="pcm", source={"bytes": samples})

    def is_audio(self, event: Any) -> bool:
        return isinstance(event, BidiAudioDeltaEvent)

    def is_interruption(self, event: Any) -> bool:
        return isinstance(event, BidiBargeInEvent)

    def is_whole_transcript(self, event: Any) -> bool:
        return isinstance(event, BidiTranscriptBlockEvent)
