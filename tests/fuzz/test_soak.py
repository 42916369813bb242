"""Hours of conversation in virtual time: memory stays where it is."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backchannel import AsyncToolManager, BidiAgent, async_tool, tool
from backchannel.agents.window import WindowConversationManager
from backchannel.errors import BidiModelTimeoutError
from backchannel.events import (
    AnnouncementEvent,
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiConnectionStartEvent,
    BidiInterruptionEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTranscriptStreamEvent,
    ToolUseStreamEvent,
    UserSpeechEvent,
)
from backchannel.messages import validate_messages
from backchannel.models.realtime import ModelProfile
from tests.support.soak import amount
from tests.support.virtual_time import run

RATE = 16000
CHUNK_S = 0.04
LIMIT_S = 480.0
GROWTH = 5 * 1024 * 1024
STATM = Path("/proc/self/statm")


class Talker:
    """A model that talks for as long as it is listened to, and keeps nothing of it."""

    def __init__(self) -> None:
        self.profile = ModelProfile(interruption="agent", session_limit_s=LIMIT_S)
        self.config: dict[str, Any] = {}
        self.connections = self.heard = self.told = self.responses = 0
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._number = 0
        self._announced = False

    async def start(self, prompt: Any = None, tools: Any = None, messages: Any = None, **kwargs: Any) -> None:
        assert len(messages) <= 100
        self.connections += 1
        self._events = asyncio.Queue()

    async def stop(self) -> None:
        self._events.put_nowait(None)

    async def send(self, content: Any) -> None:
        if isinstance(content, BidiAudioInputEvent):
            self.heard += 1
            self._talk()
        elif isinstance(content, AnnouncementEvent):
            self.told += len(content.tasks)
            self._announced = True

    async def receive(self) -> AsyncIterator[Any]:
        yield BidiConnectionStartEvent(f"c{self.connections}", "talker")
        while (event := await self._events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    def _talk(self) -> None:
        """One minute: a question, two calls, an answer in pieces, every third one cut off, a result told later."""
        put, at = self._events.put_nowait, self.heard % 1500
        name = f"r{self.responses}"
        if at == 10:
            put(UserSpeechEvent(True))
        elif at == 60:
            put(UserSpeechEvent(False))
            put(BidiTranscriptStreamEvent({"text": "How far is it?"}, "How far is it?", "user", is_final=True))
            self._number += 1
            put(ToolUseStreamEvent({}, {"toolUseId": f"c{self._number}", "name": "look", "input": {}}))
            put(ToolUseStreamEvent({}, {"toolUseId": f"b{self._number}", "name": "work", "input": {}}))
        elif at == 70:
            self.responses += 1
            put(BidiResponseStartEvent(f"r{self.responses}"))
        elif 70 < at < 400:
            put(BidiAudioStreamEvent.from_data(bytes(int(2 * RATE * CHUNK_S)), RATE, name))
            if at % 50 == 0:
                put(BidiTranscriptStreamEvent({"text": "And so on. "}, "And so on. ", "assistant", is_final=False))
        elif at == 400 and self.responses % 3 == 0:
            put(UserSpeechEvent(True))
            put(UserSpeechEvent(False))
        elif at == 400:
            put(BidiTranscriptStreamEvent({"text": "That is all."}, "That is all.", "assistant", is_final=True))
            put(BidiResponseCompleteEvent(name, "complete"))
        elif at == 900 and self._announced:
            self._announced = False
            self.responses += 1
            name = f"r{self.responses}"
            put(BidiResponseStartEvent(name))
            put(BidiAudioStreamEvent.from_data(bytes(2 * RATE), RATE, name))
            put(BidiResponseCompleteEvent(name, "complete"))
        elif self.heard % 97_500 == 0:
            put(BidiModelTimeoutError("limit"))


@pytest.mark.skipif(not STATM.exists(), reason="the memory of a process is read from /proc")
def test_hours_of_conversation_do_not_grow() -> None:
    minutes = amount(10, 8 * 60)
    model, manager = Talker(), AsyncToolManager()
    sizes: list[int] = []
    seen = {"interruptions": 0}

    @tool
    async def look() -> str:
        """Look."""
        return "Seven of twenty."

    @async_tool(manager, grace_s=0)
    async def work() -> str:
        """Work for a while."""
        await asyncio.sleep(20)
        return "x" * 2000

    async def converse() -> None:
        agent = BidiAgent(model, tools=[look, work], conversation_manager=WindowConversationManager(max_messages=60))
        left = int(minutes * 60 / CHUNK_S)
        warm = left - int(5 * 60 / CHUNK_S)
        chunk = bytes(int(2 * RATE * CHUNK_S))

        async def microphone() -> BidiAudioInputEvent:
            nonlocal left
            left -= 1
            if left == 0:
                await agent.stop()
            if left == warm or left == 1:
                gc.collect()
                sizes.append(int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
            await asyncio.sleep(CHUNK_S)
            return BidiAudioInputEvent.from_data(chunk, RATE)

        async def speaker(event: Any) -> None:
            seen["interruptions"] += isinstance(event, BidiInterruptionEvent)

        await agent.run(inputs=[microphone], outputs=[speaker])
        assert validate_messages(agent.messages) == []
        assert len(agent.messages) < 100

    run(converse())
    assert model.connections > minutes * 60 / LIMIT_S
    assert model.told > minutes / 2
    assert seen["interruptions"] >= minutes / 4
    assert sizes[1] - sizes[0] <= GROWTH, f"grew by {(sizes[1] - sizes[0]) / 2**20:.1f} MiB in {minutes} minutes"
