"""Milestones: when a conversation hears of a running task. `Milestones` is pure; `MilestoneWatch` listens to a manager.

A model is told silently at each quarter, so that it can answer at once. The voice says it only where a tool asks for
that: at quarters, or every so many seconds. What comes close together is told together, each task as it is by then.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .wording import duration, percent

if TYPE_CHECKING:
    from .manager import AsyncToolManager
    from .task import Task

__all__ = ["Milestone", "MilestoneRule", "MilestoneWatch", "Milestones", "rule_fault"]

MilestoneRule: TypeAlias = Literal["quarters"] | float | None
"""When the voice tells of a task: at each quarter, every so many seconds, or never."""

ALOUD_GAP_S = 10.0
"""Least time from one spoken milestone to the next, of all tasks together, seconds."""


@dataclass(frozen=True, slots=True)
class Milestone:
    """How far a task is, at a moment when that is to be told.

    Attributes:
        text: A sentence on it.
        fraction: From 0 to 1, or None where the total is unknown.
        aloud: Whether it is to be said; otherwise the model only gets to know it.
        call_id: Id of the model's call that started the task, or None.
    """

    task_id: str
    number: int
    text: str
    fraction: float | None
    aloud: bool
    call_id: str | None = None


@dataclass(slots=True)
class _Mark:
    """What was told of one task."""

    quarter: int = 0
    spoken_at: float = 0.0
    silent_due: bool = False
    aloud_due: bool = False
    every_s: float | None = None

    def due(self, now: float) -> bool:
        """Whether it is to be said."""
        return self.aloud_due or (self.every_s is not None and now >= self.spoken_at + self.every_s)


class Milestones:
    """Decides; knows no tasks but their ids, and no clock. Not for several threads at once."""

    def __init__(self, gap_s: float = ALOUD_GAP_S) -> None:
        self._gap_s = gap_s
        self._marks: dict[str, _Mark] = {}
        self._spoken_at = -math.inf

    def started(self, task_id: str, now: float, rule: MilestoneRule = None) -> bool:
        """A task began, or begins anew; whether something becomes due as time passes."""
        self._marks[task_id] = _Mark(spoken_at=now, every_s=_seconds(rule))
        return self._marks[task_id].every_s is not None

    def progressed(self, task_id: str, fraction: float | None, rule: MilestoneRule, now: float) -> bool:
        """A task reported; whether something became due that was not."""
        mark = self._marks.setdefault(task_id, _Mark(spoken_at=now, every_s=_seconds(rule)))
        # The end is told by the result.
        quarter = 0 if fraction is None else min(int(fraction * 4 + 1e-9), 3)
        before = mark.silent_due, mark.aloud_due
        mark.every_s = _seconds(rule)
        if quarter > mark.quarter:
            mark.quarter = quarter
            mark.silent_due = True
            mark.aloud_due = mark.aloud_due or rule == "quarters"
        mark.aloud_due = mark.due(now)
        return (mark.silent_due, mark.aloud_due) != before

    def is_news(self, task_id: str, fraction: float | None, rule: MilestoneRule) -> bool:
        """Whether `progressed` may have anything to do. Most reports are none, so this is quick; from any thread."""
        mark = self._marks.get(task_id)
        if mark is None or mark.every_s is not None or not (rule is None or rule == "quarters"):
            return True
        return fraction is not None and mark.quarter < 3 and fraction * 4 + 1e-9 >= mark.quarter + 1

    def ended(self, task_id: str) -> None:
        """A task ended: nothing more is due of it."""
        self._marks.pop(task_id, None)

    def take(self, now: float) -> list[tuple[str, bool]]:
        """Return the tasks to tell of, and whether aloud, each once. What may not be said yet stays due."""
        may_speak = now - self._spoken_at >= self._gap_s
        taken = []
        for task_id, mark in self._marks.items():
            aloud = may_speak and mark.due(now)
            if aloud or mark.silent_due:
                taken.append((task_id, aloud))
                mark.silent_due = False
            if aloud:
                mark.aloud_due = False
                mark.spoken_at = self._spoken_at = now
        return taken

    def next_due(self, now: float) -> float | None:
        """When `take` has something to give; None for not before the next report."""
        marks = self._marks.values()
        if any(mark.silent_due for mark in marks):
            return now
        times = [now for mark in marks if mark.aloud_due]
        times += [mark.spoken_at + mark.every_s for mark in marks if mark.every_s is not None]
        return max(now, self._spoken_at + self._gap_s, min(times)) if times else None


class MilestoneWatch:
    """Follows the tasks of a manager for one conversation. From any thread.

    Args:
        wake: Called in whatever thread when there is something to take that was not there before, or `next_due_s` may
            be sooner. Must be short.
        wants: Whether a task is this conversation's.
        gap_s: Least time between two spoken milestones, seconds.
    """

    def __init__(
        self,
        manager: AsyncToolManager,
        wake: Callable[[], object],
        *,
        wants: Callable[[Task], bool] = lambda task: True,  # noqa: ARG005
        gap_s: float = ALOUD_GAP_S,
    ) -> None:
        self._manager = manager
        self._wake = wake
        self._wants = wants
        self._lock = threading.RLock()
        self._machine = Milestones(gap_s)
        self._tasks: dict[str, Task] = {}
        self._remove = manager.subscribe(self._note, ("started", "progressed", "finished"))
        for task in manager.tasks:
            if task.status == "running":
                self._note(task, "started")

    def take(self) -> list[Milestone]:
        """Return what is to be told now: each task once, as it stands."""
        with self._lock:
            found = [(self._tasks[task_id], aloud) for task_id, aloud in self._machine.take(self._manager.clock())]
        return [_milestone(task, aloud) for task, aloud in found if not task.done()]

    def now(self, task_id: str) -> Milestone | None:
        """Return how far a task is; None if it has ended, or is not this conversation's."""
        with self._lock:
            task = self._tasks.get(task_id)
        return None if task is None or task.done() else _milestone(task, aloud=False)

    def next_due_s(self) -> float | None:
        """In how many seconds `take` has something to give; None for not before `wake`."""
        now = self._manager.clock()
        with self._lock:
            due = self._machine.next_due(now)
        return None if due is None else due - now

    def close(self) -> None:
        """Follow no more tasks."""
        self._remove()
        with self._lock:
            self._tasks.clear()
            self._machine = Milestones()

    def _note(self, task: Task, kind: Any) -> None:
        if not self._wants(task):
            return
        if kind == "progressed" and not self._machine.is_news(task.id, task.fraction, task.options.milestones):
            return
        with self._lock:
            now, due = self._manager.clock(), False
            if kind == "finished" or task.done():
                self._machine.ended(task.id)
                self._tasks.pop(task.id, None)
            elif kind == "started":
                self._tasks[task.id] = task
                due = self._machine.started(task.id, now, task.options.milestones)
            else:
                self._tasks[task.id] = task
                due = self._machine.progressed(task.id, task.fraction, task.options.milestones, now)
        if due:
            self._wake()


def rule_fault(rule: Any) -> str:
    """Return why something cannot be a rule for milestones; "" if it can."""
    if rule is None or rule == "quarters":
        return ""
    if isinstance(rule, (int, float)) and not isinstance(rule, bool) and 0 < rule < math.inf:
        return ""
    return f'milestones={rule!r:.100} must be "quarters", a number of seconds above 0, or None'


def _seconds(rule: MilestoneRule) -> float | None:
    return None if rule is None or isinstance(rule, str) else float(rule)


def _milestone(task: Task, aloud: bool) -> Milestone:
    progress = task.progress
    parts = []
    if progress.fraction is not None:
        parts.append(percent(progress.fraction))
    elif progress.done is not None:
        parts.append(f"{progress.done:g} so far")
    if progress.eta_s is not None:
        left = duration(progress.eta_s)
        parts.append(f"{left} left" if left.startswith("less") else f"about {left} left")
    if not parts:
        parts.append(f"running for {duration(task.elapsed)}")
    text = f"Task {task.number}, {task.label}: {', '.join(parts)}."
    return Milestone(task.id, task.number, text, progress.fraction, aloud, task.call_id)
