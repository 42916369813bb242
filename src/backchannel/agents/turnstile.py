"""Turnstile: lets one at a time through, in the order of coming, whatever thread or event loop they come from."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterator

from ..errors import AgentStateError
from ..tasks import current_task
from ..tools.forks import watch_forks

__all__ = ["Turnstile"]


class _Passage:
    """One stay inside; what runs in it can tell, also in other threads."""

    def __init__(self, turnstile: Turnstile) -> None:
        self.turnstile = turnstile
        self.active = True


_passage: contextvars.ContextVar[_Passage | None] = contextvars.ContextVar("backchannel_passage", default=None)


class Turnstile:
    """Guards an agent's invocations.

    Args:
        name: Who is guarded, for errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """This is a forked child, or the beginning: nobody is inside, and nobody waits."""
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[concurrent.futures.Future[None]] = deque()

    @property
    def taken(self) -> bool:
        """Whether somebody is inside."""
        return self._taken

    @contextlib.asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Wait until nobody is inside, and be inside for the block.

        Raises:
            AgentStateError: If the one who waits is inside: it would wait for ever.
        """
        outer = _passage.get()
        if outer is not None and outer.active and outer.turnstile is self and current_task() is None:
            raise AgentStateError(f"{self._name} cannot be invoked by its own tool or hook while it waits for that")
        await self._enter()
        passage = _Passage(self)
        _passage.set(passage)
        try:
            yield
        finally:
            passage.active = False
            self._leave()

    async def _enter(self) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            turn: concurrent.futures.Future[None] = concurrent.futures.Future()
            self._waiting.append(turn)
        try:
            await asyncio.wrap_future(turn)
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        with self._lock:
            while self._waiting:
                turn = self._waiting.popleft()
                if turn.set_running_or_notify_cancel():
                    break
            else:
                self._taken = False
                return
        turn.set_result(None)
