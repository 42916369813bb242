"""Timers on an event loop with virtual time: what is due happens there, in the order of its times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from backchannel.tasks import engine


class LoopTimer:
    def __init__(self, timers: LoopTimers, seconds: float, call: Callable[[], object]) -> None:
        self._timers = timers
        self._call = call
        timers.pending.add(self)
        self._handle = timers.loop.call_later(seconds, self._due)

    def cancel(self) -> None:
        self._handle.cancel()
        self._timers.pending.discard(self)

    def _due(self) -> None:
        self._timers.pending.discard(self)
        self._call()


class LoopTimers:
    """Stands for the timers of the managers, and is their clock.

    Attributes:
        pending: The timers that are neither due nor cancelled.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pending: set[LoopTimer] = set()

    def clock(self) -> float:
        return self.loop.time()

    def after(self, seconds: float, call: Callable[[], object]) -> LoopTimer:
        return LoopTimer(self, seconds, call)

    def submit(self, work: Callable[[], object]) -> None:
        """What is due is done here and now."""
        work()

    @classmethod
    def installed(cls, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> LoopTimers:
        timers = cls(loop)
        for name in ("_timers", "_due", "_polls"):
            monkeypatch.setattr(engine, name, timers)
        return timers
