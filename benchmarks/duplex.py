"""DuplexModel: a model that speaks all the time and notes when each chunk of the microphone comes. For a kernel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from backchannel.events import (
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiConnectionStartEvent,
    BidiInterruptionEvent,
    BidiResponseStartEvent,
    TypedEvent,
)
from backchannel.models.realtime import ModelProfile

__all__ = ["DuplexModel", "key"]

RATE = 16000
CHUNK_S = 0.04
LEAD_S = 2.0
"""How far the model is ahead of real time, as providers are."""
CALM_S = 0.25
"""How long it speaks between two interruptions, seconds."""
PAUSE_S = 0.1


def key(pcm: bytes) -> str:
    """Return what tells a chunk of noise from all others: its last samples."""
    return pcm[-16:].hex()


class DuplexModel:
    """Hears, and speaks a quiet ramp without end.

    Attributes:
        arrivals: (`key`, time.time()) of each chunk of the microphone.
        interruptions: time.time() of each barge-in that it reported.
        interrupting: Whether it reports one every now and then.
    """

    def __init__(self) -> None:
        self.profile = ModelProfile(name="duplex", place="stays on this computer")
        self.config: dict[str, Any] = {"audio": {"input_rate": RATE, "output_rate": RATE, "channels": 1}}
        self.arrivals: list[tuple[str, float]] = []
        self.interruptions: list[float] = []
        self.interrupting = False
        self._open = False

    async def start(self, system_prompt: Any = None, tools: Any = None, messages: Any = None, **kwargs: Any) -> None:
        self._open = True

    async def stop(self) -> None:
        self._open = False

    async def send(self, content: TypedEvent) -> None:
        if isinstance(content, BidiAudioInputEvent):
            self.arrivals.append((key(content.data), time.time()))

    async def receive(self) -> AsyncIterator[TypedEvent]:
        yield BidiConnectionStartEvent("duplex", "duplex")
        samples = b"".join((number % 200).to_bytes(2, "little") for number in range(int(RATE * CHUNK_S)))
        number = 0
        while self._open:
            number += 1
            response = f"response-{number}"
            yield BidiResponseStartEvent(response)
            began, spoken = time.monotonic(), 0.0
            while self._open:
                yield BidiAudioStreamEvent.from_data(samples, RATE, response)
                spoken += CHUNK_S
                await asyncio.sleep(max(0.0, began + spoken - LEAD_S - time.monotonic()))
                if self.interrupting and spoken > LEAD_S:
                    await asyncio.sleep(CALM_S)
                    break
            self.interruptions.append(time.time())
            yield BidiInterruptionEvent("user_speech")
            # A model hears the user out before it answers.
            await asyncio.sleep(PAUSE_S)

    def take(self) -> dict[str, list[Any]]:
        """Return what was noted since the last time."""
        taken: dict[str, list[Any]] = {"arrivals": self.arrivals, "interruptions": self.interruptions}
        self.arrivals, self.interruptions = [], []
        return taken
