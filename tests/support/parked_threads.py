"""Threads that go on only when a test says so, one at a time: what they do in which order is the test's choice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

LIMIT_S = 60.0
"""Longest wait for a thread that should come to rest, seconds; it means a deadlock."""


class Point:
    """Where a thread rests."""

    def __init__(self, kind: str, payload: Any) -> None:
        self.kind = kind
        self.payload = payload
        self.order: Any = None
        self.go_on = threading.Event()


class ParkedThreads:
    """Threads that rest at known points: before they begin, where they wait for a condition, and at gates of the test.

    Attributes:
        points: Where the threads rest, in the order of their coming.
    """

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._unborn: list[threading.Thread] = []
        self._rest = threading.Condition()
        self._active = 0
        self._moves = 0

    def submit(self, work: Callable[[], object]) -> None:
        """Do the work in a thread, as a pool of worker threads does."""

        def run() -> None:
            try:
                work()
            finally:
                self._came_to_rest(moved=True)

        self._unborn.append(threading.Thread(target=run, daemon=True))

    def stand_in(self) -> Any:
        """Return what a module may take for the module ``threading`` if it only waits for conditions."""
        parked = self

        class Condition:
            def __init__(self, lock: Any = None) -> None:
                self._lock = threading.RLock() if lock is None else lock
                self.acquire, self.release = self._lock.acquire, self._lock.release

            def __enter__(self) -> bool:
                return bool(self._lock.__enter__())

            def __exit__(self, *error: Any) -> None:
                self._lock.__exit__(*error)

            def wait(self, timeout: float | None = None) -> bool:
                state = self._lock._release_save()
                try:
                    parked.park("wait", moved=False)
                finally:
                    self._lock._acquire_restore(state)
                return True

            def notify_all(self) -> None:
                """Whoever waits is woken each time the threads go on."""

        kept = {name: getattr(threading, name) for name in ("RLock", "Lock", "current_thread", "get_ident")}
        return SimpleNamespace(Condition=Condition, **kept)

    def park(self, kind: str, payload: Any = None, *, moved: bool = True) -> Any:
        """Rest here until the test gives an order, and return that. Called by the threads."""
        point = Point(kind, payload)
        self.points.append(point)
        self._came_to_rest(moved=moved)
        assert point.go_on.wait(LIMIT_S), "the test left a thread behind"
        return point.order

    def at(self, kind: str) -> list[Point]:
        """Return the points of a kind where threads rest."""
        return [point for point in self.points if point.kind == kind]

    def release(self, point: Point, order: Any = None) -> None:
        """Let the thread that rests there go on, and wait until it rests again or ends."""
        self.points.remove(point)
        point.order = order
        self._one_goes(point.go_on.set)

    def settle(self) -> None:
        """Let all threads go on that rest at no gate, until nothing moves any more."""
        while True:
            before = self._moves
            while self._unborn:
                self._one_goes(self._unborn.pop(0).start)
            for point in self.at("wait"):
                self.release(point)
            if self._moves == before:
                return

    def alive(self) -> bool:
        """Whether there is a thread that has not ended."""
        return bool(self._unborn or self.points)

    def _one_goes(self, go: Callable[[], object]) -> None:
        with self._rest:
            self._active += 1
        go()
        with self._rest:
            assert self._rest.wait_for(lambda: self._active == 0, LIMIT_S), "a thread neither rests nor ends"

    def _came_to_rest(self, *, moved: bool) -> None:
        with self._rest:
            self._moves += moved
            self._active -= 1
            self._rest.notify_all()
