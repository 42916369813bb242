"""Reports of what was heard: what a player took is heard a little later, and is told to the agent then."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any

from .playout import Mark

__all__ = ["HeardReports"]


class HeardReports:
    """Tells an agent what was played, when it was. Used on the agent's event loop.

    Args:
        agent: Its ``played`` is called.
    """

    def __init__(self, agent: Any) -> None:
        self._agent = agent
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, Mark]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, marks: Iterable[Mark], delay_s: float = 0.0) -> None:
        """Report these in ``delay_s`` seconds, and after all that was added before."""
        due = self._loop.time() + delay_s
        if self._waiting:
            due = max(due, self._waiting[-1][0])
        self._waiting.extend((due, mark) for mark in marks)
        self._report()

    def close(self) -> None:
        """Report nothing any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _report(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            _, mark = self._waiting.popleft()
            self._agent.played(mark.response_id, mark.samples, mark.finished)
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][0], self._report)
