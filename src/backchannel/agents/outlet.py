"""What leaves the agent loop: events for the reader and hooks for the user's callbacks, in one order."""

from __future__ import annotations

import asyncio
from collections import deque

from ..events import BidiAudioStreamEvent, TypedEvent
from ..hooks import BaseHookEvent, HookRegistry
from .stream import EventStream, expendable

__all__ = ["Outlet"]

MOST_WAITING = 2000
"""How many events wait for an async hook that takes its time; of more, audio and partial transcripts are dropped."""


class Outlet:
    """Plain callbacks are called at once; async ones in order, and before the events that come after them.

    Attributes:
        stream: What the reader reads.
    """

    def __init__(self, hooks: HookRegistry, stream: EventStream) -> None:
        self.stream = stream
        self._hooks = hooks
        self._waiting: deque[BaseHookEvent | TypedEvent] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._ending = False

    @property
    def pump(self) -> asyncio.Task[None] | None:
        """The task that calls async hooks now, if there is one."""
        return self._pump

    def emit(self, event: TypedEvent) -> None:
        """Give an event to the reader, after the hooks that come before it."""
        if self._pump is None:
            self.stream.put(event)
        elif len(self._waiting) >= MOST_WAITING and expendable(event):
            self.stream.drop(event)
        else:
            self._waiting.append(event)

    def overtake(self, event: TypedEvent) -> None:
        """Give an event to the reader in place of all audio that was not read yet."""
        if self._pump is not None:
            self._waiting = deque(item for item in self._waiting if not isinstance(item, BidiAudioStreamEvent))
        self.stream.overtake(event)

    def hook(self, event: BaseHookEvent) -> None:
        """Call the callbacks of a hook event; what one of them raises goes to the reader."""
        if not self._hooks.has_callbacks(type(event)):
            return
        if self._pump is None and self._hooks.is_plain(event):
            try:
                self._hooks.invoke_callbacks(event)
            except Exception as error:  # noqa: BLE001 - whatever a user's hook raises goes to receive()
                self.stream.fail(error)
            return
        self._waiting.append(event)
        if self._pump is None:
            self._pump = asyncio.create_task(self._run(), name="backchannel-hooks")

    def end(self) -> None:
        """End the stream after everything that is on its way."""
        if self._pump is None:
            self.stream.close()
        else:
            self._ending = True

    def close(self) -> None:
        """Call no more hooks, and give the reader what is left."""
        self._pump = None
        self._release()
        self.stream.close()

    def _release(self) -> None:
        for item in self._waiting:
            if isinstance(item, TypedEvent):
                self.stream.put(item)
        self._waiting.clear()

    async def _run(self) -> None:
        try:
            while self._waiting:
                item = self._waiting.popleft()
                if isinstance(item, TypedEvent):
                    self.stream.put(item)
                else:
                    await self._hooks.invoke_callbacks_async(item)
        except Exception as error:  # noqa: BLE001 - whatever a user's hook raises goes to receive()
            self.stream.fail(error)
        finally:
            if self._pump is asyncio.current_task():
                self._pump = None
            self._release()
            if self._ending:
                self.stream.close()
