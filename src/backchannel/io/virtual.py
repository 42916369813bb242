"""A microphone and a speaker without a device, in real time: for demonstrations, servers and tests."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from ..events import (
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiInterruptionEvent,
    BidiOutputEvent,
    BidiResponseCompleteEvent,
)

__all__ = ["VirtualMicrophone", "VirtualSpeaker"]


class VirtualMicrophone:
    """An input that hears what it is given, and silence in between, chunk by chunk in real time.

    Args:
        rate: Samples per second, Hz.
        chunk_ms: Length of one chunk, ms.
    """

    def __init__(self, rate: int = 16000, chunk_ms: int = 20) -> None:
        self._rate = rate
        self._chunk = rate * chunk_ms // 1000
        self._waiting = bytearray()
        self._next: float | None = None
        self._silent = asyncio.Event()
        self._silent.set()

    async def start(self, agent: Any) -> None:
        self._next = None

    async def stop(self) -> None:
        self._waiting.clear()
        self._silent.set()

    def say(self, data: bytes) -> None:
        """Speak signed 16 bit little-endian mono samples after what is still to be spoken."""
        self._waiting += data
        self._silent.clear()

    async def said(self) -> None:
        """Wait until everything has been spoken."""
        await self._silent.wait()

    async def __call__(self) -> BidiAudioInputEvent:
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = now if self._next is None else self._next
        if due > now:
            await asyncio.sleep(due - now)
        self._next = due + self._chunk / self._rate
        size = 2 * self._chunk
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        if not self._waiting:
            self._silent.set()
        return BidiAudioInputEvent.from_data(data.ljust(size, b"\0"), self._rate)


class VirtualSpeaker:
    """An output that plays in real time to nobody, reports what was heard, and records it.

    Args:
        rate: Samples per second of the model's voice, Hz.
        step_ms: How often it plays on and reports, ms.

    Attributes:
        recording: What was really played, signed 16 bit little-endian mono.
    """

    def __init__(self, rate: int = 16000, step_ms: int = 40) -> None:
        self._rate = rate
        self._step = rate * step_ms // 1000
        self._queue: deque[tuple[str, bytearray]] = deque()
        self._heard: dict[str, int] = {}
        self._complete: set[str] = set()
        self._agent: Any = None
        self._player: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.recording = bytearray()

    async def start(self, agent: Any) -> None:
        self._agent = agent
        agent.expect_played()
        self._player = asyncio.create_task(self._play(), name="backchannel-speaker")

    async def stop(self) -> None:
        if self._player is not None:
            self._player.cancel()
            await asyncio.gather(self._player, return_exceptions=True)
            self._player = None

    async def __call__(self, event: BidiOutputEvent) -> None:
        if isinstance(event, BidiAudioStreamEvent):
            response_id = event.response_id or ""
            if not self._queue or self._queue[-1][0] != response_id:
                self._queue.append((response_id, bytearray()))
            self._queue[-1][1].extend(event.data)
            self._quiet.clear()
            self._wake.set()
        elif isinstance(event, BidiInterruptionEvent):
            self._queue.clear()
            self._quiet.set()
        elif isinstance(event, BidiResponseCompleteEvent):
            self._complete.add(event["response_id"])
            self._report(event["response_id"])

    async def quiet(self) -> None:
        """Wait until nothing is left to play."""
        await self._quiet.wait()

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                due = loop.time()
            due += self._step / self._rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            wanted = 2 * self._step
            while wanted and self._queue:
                response_id, data = self._queue[0]
                self.recording += data[:wanted]
                played = min(wanted, len(data))
                del data[:wanted]
                wanted -= played
                self._heard[response_id] = self._heard.get(response_id, 0) + played // 2
                if not data:
                    self._queue.popleft()
                self._report(response_id)
            if not self._queue:
                self._quiet.set()

    def _report(self, response_id: str) -> None:
        left = any(response_id == waiting for waiting, _ in self._queue)
        finished = response_id in self._complete and not left
        self._agent.played(response_id, self._heard.get(response_id, 0), finished)
        if finished:
            self._complete.discard(response_id)
            self._heard.pop(response_id, None)
