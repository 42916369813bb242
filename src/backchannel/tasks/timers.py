"""Timers: functions called at a time, on one daemon thread that exists while there are any."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

from ..tools.forks import watch_forks

__all__ = ["Timer", "Timers"]

_log = logging.getLogger(__name__)


class Timer:
    """One function to be called; `cancel` makes that undone, and forgets the function."""

    __slots__ = ("_timers", "call")

    def __init__(self, timers: Timers, call: Callable[[], object]) -> None:
        self._timers = timers
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Do not call it. May come too late."""
        if self.call is not None:
            self.call = None
            self._timers.forget()


class Timers:
    """Calls functions when their time has come. They must be short; what they raise is logged."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """This is a forked child, or the beginning: there is no thread, and no timer."""
        self._changed = threading.Condition(threading.RLock())
        self._heap: list[tuple[float, int, Timer]] = []
        self._cancelled = 0
        self._running = False

    def after(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Call ``call`` in that many seconds."""
        timer = Timer(self, call)
        with self._changed:
            heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._numbers), timer))
            if not self._running:
                threading.Thread(target=self._work, name="backchannel-timers", daemon=True).start()
                self._running = True
            elif self._heap[0][2] is timer:
                self._changed.notify()
        return timer

    def forget(self) -> None:
        """One timer was cancelled: drop the cancelled ones when they are the larger part."""
        with self._changed:
            self._cancelled += 1
            if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if entry[2].call is not None]
                heapq.heapify(self._heap)
                self._cancelled = 0

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._heap and self._heap[0][2].call is None:
                    heapq.heappop(self._heap)
                    self._cancelled = max(self._cancelled - 1, 0)
                if not self._heap:
                    self._running = False
                    return
                left = self._heap[0][0] - time.monotonic()
                if left > 0:
                    self._changed.wait(min(left, threading.TIMEOUT_MAX))
                    continue
                timer = heapq.heappop(self._heap)[2]
            call, timer.call = timer.call, None
            try:
                if call is not None:
                    call()
            except Exception:  # noqa: BLE001 - the thread serves other timers, too
                _log.exception("a timer's function raised")
