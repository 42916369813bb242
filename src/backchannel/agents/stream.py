"""The public event stream: one reader, interruptions overtake audio, a reader far behind loses audio only."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from ..errors import AgentStateError
from ..events import BidiAudioStreamEvent, BidiErrorEvent, BidiTranscriptStreamEvent, TypedEvent

__all__ = ["BEHIND_S", "EventStream", "ReaderBehindError", "expendable"]

BEHIND_S = 10.0
"""How old an unread event may get before audio and partial transcripts are given up, seconds."""
MOST_EVENTS = 20_000
"""How many events wait for a reader, of which some may never come; of more the oldest are given up."""


class ReaderBehindError(Exception):
    """The reader of the event stream is so far behind that audio was dropped."""


class EventStream:
    """Events from the agent to the one who reads them. Used on one event loop only.

    Args:
        clock: Seconds, monotonic.
        dropped: Called with audio that is given up because the reader is behind.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        dropped: Callable[[BidiAudioStreamEvent], object] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._dropped = dropped
        self._events: deque[tuple[float, TypedEvent]] = deque()
        self._oldest = 0
        self._error: BaseException | None = None
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._events)

    @property
    def closed(self) -> bool:
        """Whether the reader gets no more than what is queued."""
        return self._closed or self._error is not None

    def put(self, event: TypedEvent) -> None:
        """Add an event at the end."""
        now = self._clock()
        if self._events and now - self._events[0][0] > BEHIND_S:
            self._shed(now)
        self._events.append((now, event))
        if len(self._events) > MOST_EVENTS:
            self._events.popleft()
            self._oldest += 1
        self._wake()

    def overtake(self, event: TypedEvent) -> int:
        """Drop all queued audio and put the event where the first of it was. Return how many chunks were dropped."""
        kept: deque[tuple[float, TypedEvent]] = deque()
        placed, dropped = False, 0
        for item in self._events:
            if isinstance(item[1], BidiAudioStreamEvent):
                dropped += 1
                if not placed:
                    kept.append((self._clock(), event))
                    placed = True
            else:
                kept.append(item)
        if not placed:
            kept.append((self._clock(), event))
        self._events = kept
        self._wake()
        return dropped

    def drop(self, event: TypedEvent) -> None:
        """Do not give the reader this event, which is `expendable`."""
        if isinstance(event, BidiAudioStreamEvent):
            self._dropped(event)

    def silence(self) -> None:
        """Drop all audio that was not read yet."""
        self._events = deque(item for item in self._events if not isinstance(item[1], BidiAudioStreamEvent))

    def fail(self, error: BaseException) -> None:
        """Raise ``error`` to the reader after the events that are queued; the first error wins."""
        self._error = self._error or error
        self._wake()

    def close(self) -> None:
        """End the stream after the events that are queued."""
        self._closed = True
        self._wake()

    async def get(self) -> TypedEvent | None:
        """Return the next event, or None at the end of the stream.

        Raises:
            AgentStateError: If somebody else is waiting for it.
        """
        while True:
            if self._events:
                return self._events.popleft()[1]
            if self._error is not None:
                error, self._error, self._closed = self._error, None, True
                raise error
            if self._closed:
                return None
            if self._waiter is not None:
                raise AgentStateError(
                    "receive() has a reader already; read the events in one place and share them from there"
                )
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _shed(self, now: float) -> None:
        kept = deque(item for item in self._events if not expendable(item[1]))
        dropped = len(self._events) - len(kept)
        lost = [event for _, event in self._events if isinstance(event, BidiAudioStreamEvent)]
        if dropped:
            # One word of it is enough for a reader that has not read the last one.
            told = [item for item in kept if _tells_of_it(item[1])]
            for item in told:
                kept.remove(item)
                dropped += item[1]["details"]["dropped"]
            oldest = f" and the {self._oldest} oldest events" if self._oldest else ""
            error = ReaderBehindError(
                f"the reader of receive() is more than {BEHIND_S:.0f} s behind: {dropped} audio chunks and partial "
                f"transcripts{oldest} were dropped; read faster, or hand slow work to another task"
            )
            kept.append((now, BidiErrorEvent(error, {"dropped": dropped})))
        self._events = deque((now, event) for _, event in kept)
        for event in lost:
            self._dropped(event)


def _tells_of_it(event: TypedEvent) -> bool:
    return isinstance(event, BidiErrorEvent) and isinstance(event.error, ReaderBehindError)


def expendable(event: TypedEvent) -> bool:
    """Whether a reader that is far behind can do without this event."""
    return isinstance(event, BidiAudioStreamEvent) or (
        isinstance(event, BidiTranscriptStreamEvent) and not event["is_final"]
    )
