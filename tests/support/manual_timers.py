"""Timers that a test makes due, in the order of their times."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable

import pytest

from backchannel.tasks import engine

WAIT = 10.0


class ManualTimer:
    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None


class ManualTimers:
    """Stands for the timers of the managers, and is their clock: time passes only by `advance`."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, ManualTimer]] = []
        self._numbers = itertools.count()
        self._made = threading.Condition()
        self._count = 0

    def clock(self) -> float:
        return self.now

    def after(self, seconds: float, call: Callable[[], object]) -> ManualTimer:
        timer = ManualTimer(call)
        with self._made:
            heapq.heappush(self._heap, (self.now + seconds, next(self._numbers), timer))
            self._count += 1
            self._made.notify_all()
        return timer

    def wait_made(self, count: int) -> None:
        """Wait until so many timers were made in all."""
        with self._made:
            assert self._made.wait_for(lambda: self._count >= count, WAIT), f"{self._count} timers of {count}"

    def submit(self, work: Callable[[], object]) -> None:
        """What is due is done here and now."""
        work()

    @property
    def pending(self) -> list[float]:
        """How long until each timer, seconds."""
        return sorted(at - self.now for at, _, timer in self._heap if timer.call is not None)

    def advance(self, seconds: float) -> None:
        """Let time pass, and do what becomes due."""
        end = self.now + seconds
        while self._heap and self._heap[0][0] <= end:
            self.now, _, timer = heapq.heappop(self._heap)
            call, timer.call = timer.call, None
            if call is not None:
                call()
        self.now = end

    @classmethod
    def installed(cls, monkeypatch: pytest.MonkeyPatch) -> ManualTimers:
        timers = cls()
        for name in ("_timers", "_due", "_polls"):
            monkeypatch.setattr(engine, name, timers)
        return timers
