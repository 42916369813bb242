"""BoardPump: brings what tasks do to the boards, and is the one place that sends rows."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .board_state import RowBudget

if TYPE_CHECKING:
    from ..tasks import Task
    from .board import Board

__all__ = ["BoardPump"]

_log = logging.getLogger(__name__)


class BoardPump:
    """Coalesces: a task may report any number of times between two messages.

    `note` is for any thread, the rest for the loop.

    Args:
        boards: Returns all boards.
        place: Returns the boards that show a task.
        submit: Calls a function on the loop, soon.
        clock: Seconds.
    """

    TICK_S = 1.0
    MAX_TICKING = 200

    def __init__(
        self,
        boards: Callable[[], Iterable[Board]],
        place: Callable[[Task], list[Board]],
        submit: Callable[..., None],
        clock: Callable[[], float],
    ) -> None:
        self._boards = boards
        self._place = place
        self._submit = submit
        self._clock = clock
        self._budget = RowBudget()
        self._running: dict[str, Task] = {}
        self._changed: deque[Task] = deque()
        self._moved: dict[str, Task] = {}
        self._logged: dict[str, Task] = {}
        self._woken = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._ticked = 0.0
        self._next_ticking = 0
        self._turn = 0
        self.messages = 0

    def note(self, task: Task, kind: str) -> None:
        """A task was queued, started or finished, or it ``progressed`` or ``logged``."""
        if kind == "progressed":
            self._moved[task.id] = task
        elif kind == "logged":
            self._logged[task.id] = task
        else:
            self._changed.append(task)
        if not self._woken:
            self._woken = True
            self._submit(self.wake)

    def wake(self) -> None:
        """Send what may be sent now, and see to it that the rest follows."""
        now = self._clock()
        if now < self._budget.next_free():
            self._sleep_until(self._budget.next_free(), now)
            return
        self._woken = False
        try:
            self._collect(now)
            self._send(now)
            self._save(now)
        except Exception:  # noqa: BLE001 (the next step may go well)
            _log.exception("boards: one step failed")
        self._sleep(self._clock())

    def stop(self) -> None:
        """Send nothing any more."""
        self._submit = _drop
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _collect(self, now: float) -> None:
        # Single steps only: other threads put entries in meanwhile, and none may be lost.
        changed: dict[str, Task] = {}
        while self._changed:
            task = self._changed.popleft()
            changed[task.id] = task
        while self._logged:
            name, task = self._logged.popitem()
            changed[name] = task
        moved: dict[str, Task] = {}
        if now >= self._ticked + self.TICK_S:
            self._ticked = now
            moved.update(self._ticking())
        while self._moved:
            name, task = self._moved.popitem()
            moved[name] = task
        for task in changed.values():
            self._put(task)
        by_board: dict[Board, list[Task]] = {}
        for name, task in moved.items():
            if name not in changed:
                for board in self._place(task):
                    by_board.setdefault(board, []).append(task)
        for board, tasks in by_board.items():
            board.move(tasks)

    def _ticking(self) -> dict[str, Task]:
        """Return the tasks under way whose rows are looked at again; of many, each time the next ones."""
        if len(self._running) <= self.MAX_TICKING:
            return self._running
        names = list(self._running)
        at = self._next_ticking % len(names)
        self._next_ticking = at + self.MAX_TICKING
        return {name: self._running[name] for name in (names[at:] + names[:at])[: self.MAX_TICKING]}

    def _put(self, task: Task) -> None:
        for board in self._place(task):
            board.put(task)
        if task.done():
            self._running.pop(task.id, None)
        else:
            self._running[task.id] = task

    def _send(self, now: float) -> None:
        waiting = [board for board in self._boards() if board.rows.due(now)]
        if not waiting:
            return
        self._turn += 1
        board = waiting[self._turn % len(waiting)]
        self._budget.spend(board.send(now), now)
        self.messages += 1

    def _save(self, now: float) -> None:
        for board in self._boards():
            at = board.next_save()
            if at is not None and at <= now:
                board.save(now)

    def _sleep(self, now: float) -> None:
        times: list[float] = []
        if self._changed or self._moved or self._logged:
            times.append(0.0)
        if self._running:
            times.append(self._ticked + self.TICK_S)
        for board in self._boards():
            times += [at for at in (board.rows.next_due(), board.next_save()) if at is not None]
        if times:
            self._sleep_until(max(min(times), self._budget.next_free()), now)

    def _sleep_until(self, at: float, now: float) -> None:
        if self._timer is not None:
            if self._timer_at <= at and not self._timer.cancelled() and self._timer_at > now:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = asyncio.get_running_loop().call_later(max(0.0, at - now), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.wake()


def _drop(*_: object) -> None:
    return None
