"""The agent's side of background tasks: whose they are, which were answered at once, which are still to be told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..events import TaskEnded, TaskFinished, TaskProgressed, TaskStarted, TaskSuperseded, TaskUpdateEvent, TypedEvent
from ..tasks import AsyncTool, AsyncToolManager, Task
from ..tasks.milestones import MilestoneWatch

if TYPE_CHECKING:
    from .bidi import BidiAgent

__all__ = ["BackgroundTasks"]

_log = logging.getLogger(__name__)

UPDATE_S = 0.2
"""The shortest time between two updates of progress in the event stream, seconds."""
MOST_UPDATES = 50
"""Updates of progress at one time; where more tasks move than that, each is published in its turn."""


class BackgroundTasks:
    """Carries what happens to an agent's tasks, in whatever thread, to the agent's loop."""

    def __init__(
        self,
        agent: BidiAgent,
        loop: asyncio.AbstractEventLoop,
        feed: Callable[[object], None],
        emit: Callable[[TypedEvent], None],
    ) -> None:
        self._agent = agent
        self._loop = loop
        self._feed = feed
        self._emit = emit
        self._watched: dict[AsyncToolManager, Callable[[], None]] = {}
        self._milestones: list[MilestoneWatch] = []
        self._due: asyncio.TimerHandle | None = None
        self._untold: dict[str, Task] = {}
        self._early: dict[str, TaskProgressed] = {}
        self._unanswered: dict[str, Task] = {}
        self._answered: dict[str, None] = {}
        self._owed: set[str] = set()
        self._moved: set[Task] = set()
        self._scheduled = False
        self._waking = False
        self._closed = False

    def watch(self) -> None:
        """Listen to the managers of all tools that the agent has now, and take what an earlier conversation left."""
        for tool in self._agent.tool_registry.tools():
            if isinstance(tool, AsyncTool) and tool.manager not in self._watched:
                self._watched[tool.manager] = tool.manager.subscribe(self._listen)
                tool.manager.claim_restored(self._agent)
                # The conversation says itself when one is to be said.
                self._milestones.append(MilestoneWatch(tool.manager, self._wake, wants=self._wants, gap_s=0.0))
                for task in tool.manager.tasks:
                    if task.owner is self._agent and task.done() and not task.delivered:
                        fact = task.finished_fact()
                        told = fact.perhaps_told or task.id in self._agent.announced
                        self._feed(replace(fact, perhaps_told=told))

    def close(self) -> None:
        """Stop listening. Running tasks go on."""
        self._closed = True
        for unsubscribe in self._watched.values():
            unsubscribe()
        self._watched.clear()
        for watch in self._milestones:
            watch.close()
        if self._due is not None:
            self._due.cancel()

    def answered(self, call_id: str, acknowledged: TaskStarted | None) -> None:
        """The call was answered: with the acknowledgement of a task, whose result is owed, or with its result."""
        task, early = self._unanswered.pop(call_id, None), self._early.pop(call_id, None)
        if acknowledged is None:
            self._answered[call_id] = None
            if len(self._answered) > 1000:
                del self._answered[next(iter(self._answered))]
        elif task is not None:
            self._finished(task)
        elif any((known := manager.task(acknowledged.task_id)) and known.done() for manager in self._watched):
            # Another call's task, which has ended meanwhile: its end is told by itself.
            self._feed(TaskEnded(acknowledged.task_id))
        else:
            self._owed.add(acknowledged.task_id)
            for note in self.refreshed(() if early is None else (early,)):
                self._feed(note)

    def announced(self, tasks: tuple[TaskFinished, ...]) -> None:
        """Note that the model is given these results, should the conversation end before it is known to tell them."""
        self._agent.announced.update(task.task_id for task in tasks)
        for given in tasks:
            if (task := self._task(given.task_id)) is not None:
                task.announced = True

    def told(self, tasks: tuple[TaskFinished, ...]) -> None:
        """Mark finished tasks as delivered."""
        for given in tasks:
            self._agent.announced.discard(given.task_id)
            if (task := self._task(given.task_id)) is not None:
                self._untold.pop(task.id, None)
                task.delivered = True

    def running(self, call_id: str) -> Task | None:
        """Return the task under way that a call of the agent has started, or None."""
        tasks = (task for manager in self._watched for task in manager.tasks)
        return next((task for task in tasks if task.call_id == call_id and self._wants(task) and not task.done()), None)

    def _task(self, task_id: str) -> Task | None:
        """Return a task that has ended; its manager may not keep it any more."""
        if task_id in self._untold:
            return self._untold[task_id]
        found = (manager.task(task_id) for manager in self._watched)
        return next((task for task in found if task is not None and task.id == task_id), None)

    def _listen(self, task: Task, kind: str) -> None:
        """Called by a manager, in any thread."""
        if task.owner is not self._agent or self._closed:
            return
        if kind == "progressed":
            self._moved.add(task)
            if self._scheduled:
                return
            self._scheduled = True
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take, task, kind)

    def _take(self, task: Task, kind: str) -> None:
        if self._closed:
            return
        if kind == "progressed":
            self._loop.call_later(UPDATE_S, self._publish_moved)
            return
        self._publish(task)
        if kind == "queued":
            for other in self._untold.values():
                if other.superseded_by == task.id:
                    self._feed(TaskSuperseded(other.id, task.id))
        if kind != "finished":
            return
        if task.delivered:
            self._feed(TaskEnded(task.id))
            return
        call_id = task.call_id
        if task.id in self._owed:
            self._owed.discard(task.id)
            self._finished(task)
        elif call_id is not None and call_id in self._agent.open_calls:
            self._unanswered[call_id] = task
        elif call_id is not None and call_id in self._answered:
            del self._answered[call_id]
        else:
            self._finished(task)

    def _finished(self, task: Task) -> None:
        if task.announce != "never":
            self._untold[task.id] = task
        self._feed(task.finished_fact())

    def _publish_moved(self) -> None:
        self._scheduled = False
        if self._closed:
            return
        # One by one: the set must stay the same object, or a report that comes meanwhile from a thread is lost.
        for _ in range(min(len(self._moved), MOST_UPDATES)):
            task = self._moved.pop()
            if not task.done():
                self._publish(task)
        if self._moved and not self._scheduled:
            self._scheduled = True
            self._loop.call_later(UPDATE_S, self._publish_moved)

    def _publish(self, task: Task) -> None:
        try:
            self._emit(TaskUpdateEvent(task.snapshot()))
        except Exception:  # noqa: BLE001 - one task that cannot be shown holds up no other
            _log.exception("task %s cannot be shown; the others go on", task.id)

    # Milestones

    def refreshed(self, notes: tuple[TaskProgressed, ...]) -> tuple[TaskProgressed, ...]:
        """Return milestones as the tasks are now, without those that have ended."""
        now = ((note, watch.now(note.task_id)) for note in notes for watch in self._milestones)
        return tuple(replace(note, text=milestone.text) for note, milestone in now if milestone is not None)

    def _wants(self, task: Task) -> bool:
        return task.owner is self._agent

    def _wake(self) -> None:
        """Called in any thread."""
        if self._waking:
            return
        self._waking = True
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take_milestones)

    def _take_milestones(self) -> None:
        self._waking = False
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._closed:
            return
        for watch in self._milestones:
            for milestone in watch.take():
                note = TaskProgressed(milestone.task_id, milestone.text, milestone.aloud)
                if milestone.call_id is not None and milestone.call_id in self._agent.open_calls:
                    # The model does not know the task before its call is answered.
                    self._early[milestone.call_id] = note
                else:
                    self._feed(note)
        later = [wait for watch in self._milestones if (wait := watch.next_due_s()) is not None]
        if later:
            self._due = self._loop.call_later(min(later), self._take_milestones)
