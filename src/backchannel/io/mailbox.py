"""What waits on either side of a connection: bounded, and with a rule for when it is full. Used on one event loop."""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from ..events import BidiAudioInputEvent, BidiInputEvent

__all__ = ["Inbox", "Outbox", "encode"]

AUDIO_S = 3.0
MOST_WAITING = 100
MOST_BYTES = 4 << 20
_DEEPEST = 100


class _Changes:
    """Lets any number of coroutines wait for the next change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def next(self) -> None:
        await self._event.wait()

    def tell(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()


class Inbox:
    """Input that the agent has not taken. Of audio the oldest is dropped beyond 3 s; other input makes the sender wait.

    Attributes:
        dropped: Chunks of audio that were dropped.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._events: deque[BidiInputEvent] = deque()
        self._audio = 0
        self._others = 0
        self._most = 2 * 16000 * AUDIO_S
        self._closed = False
        self._changes = _Changes()

    def set_rate(self, bytes_per_second: int) -> None:
        """Say how much audio one second is."""
        self._most = bytes_per_second * AUDIO_S

    async def put(self, event: BidiInputEvent) -> None:
        """Add an event; with too many others wait for room. Nothing is added once it is closed."""
        audio = isinstance(event, BidiAudioInputEvent)
        while not audio and not self._closed and self._others >= MOST_WAITING:
            await self._changes.next()
        if self._closed:
            return
        self._count(event, 1)
        self._events.append(event)
        while self._audio > self._most and len(self._events) - self._others > 1:
            oldest = next(index for index, item in enumerate(self._events) if isinstance(item, BidiAudioInputEvent))
            self._count(self._events[oldest], -1)
            del self._events[oldest]
            self.dropped += 1
        self._changes.tell()

    async def get(self) -> BidiInputEvent | None:
        """Return the next event; None once it is closed and empty."""
        while not self._events:
            if self._closed:
                return None
            await self._changes.next()
        event = self._events.popleft()
        self._count(event, -1)
        self._changes.tell()
        return event

    def close(self, *, discard: bool = False) -> None:
        """There is no more; with ``discard`` what waits is not wanted either."""
        self._closed = True
        if discard:
            self._events.clear()
            self._audio = self._others = 0
        self._changes.tell()

    def _count(self, event: BidiInputEvent, sign: int) -> None:
        if isinstance(event, BidiAudioInputEvent):
            self._audio += sign * len(event.data)
        else:
            self._others += sign


class Outbox:
    """Messages that were not sent. Beyond 4 MiB whoever adds one waits for room."""

    def __init__(self) -> None:
        self._messages: deque[tuple[Sequence[str | bytes], int, bool]] = deque()
        self._size = 0
        self._sending = False
        self._closed = False
        self._changes = _Changes()

    async def put(self, frames: Sequence[str | bytes], *, audio: bool = False) -> None:
        """Add a message of one or more frames, which stay together. Nothing is added once it is closed."""
        while self._size > MOST_BYTES and not self._closed:
            await self._changes.next()
        if self._closed:
            return
        size = sum(map(len, frames))
        self._messages.append((frames, size, audio))
        self._size += size
        self._changes.tell()

    async def get(self) -> Sequence[str | bytes] | None:
        """Return the next message, which `sent` is to follow; None once it is closed."""
        while not self._messages:
            if self._closed:
                return None
            await self._changes.next()
        frames, size, _ = self._messages.popleft()
        self._size -= size
        self._sending = True
        self._changes.tell()
        return frames

    def sent(self) -> None:
        """The message that `get` gave was sent."""
        self._sending = False
        self._changes.tell()

    async def drained(self) -> None:
        """Wait until everything was sent, or it is closed."""
        while (self._messages or self._sending) and not self._closed:
            await self._changes.next()

    def drop_audio(self) -> None:
        """Discard the audio that waits."""
        self._messages = deque(message for message in self._messages if not message[2])
        self._size = sum(size for _, size, _ in self._messages)
        self._changes.tell()

    def close(self) -> None:
        """Nothing is sent any more."""
        self._closed = True
        self._messages.clear()
        self._size = 0
        self._changes.tell()


def encode(event: Mapping[str, Any]) -> str:
    """Return an event as JSON that every parser reads; what JSON does not know is written as text."""
    try:
        return json.dumps(event, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(_plain(event, 0), allow_nan=False)


def _plain(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - whatever a value's own __str__ raises
        return f"<{type(value).__name__}>"
