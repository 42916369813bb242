"""The agent's side of background tasks: whose they are, which were answered at once, which are still to be told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..events import TaskFinished, TaskStarted, TaskUpdateEvent, TypedEvent
from ..tasks import AsyncTool, AsyncToolManager, Task

if TYPE_CHECKING:
    from .bidi import BidiAgent

__all__ = ["BackgroundTasks"]

UPDATE_S = 0.2
"""The shortest time between two updates of progress in the event stream, seconds."""


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
        self._unanswered: dict[str, Task] = {}
        self._answered: dict[str, None] = {}
        self._owed: set[str] = set()
        self._moved: set[Task] = set()
        self._scheduled = False
        self._closed = False

    def watch(self) -> None:
        """Listen to the managers of all tools that the agent has now, and take what an earlier conversation left."""
        for tool in self._agent.tool_registry.tools():
            if isinstance(tool, AsyncTool) and tool.manager not in self._watched:
                self._watched[tool.manager] = tool.manager.subscribe(self._listen)
                for task in tool.manager.tasks:
                    if task.owner is self._agent and task.done() and not task.delivered:
                        self._feed(replace(task.finished_fact(), perhaps_told=task.id in self._agent.announced))

    def close(self) -> None:
        """Stop listening. Running tasks go on."""
        self._closed = True
        for unsubscribe in self._watched.values():
            unsubscribe()
        self._watched.clear()

    def answered(self, call_id: str, acknowledged: TaskStarted | None) -> None:
        """The call was answered: with the acknowledgement of a task, whose result is owed, or with its result."""
        task = self._unanswered.pop(call_id, None)
        if acknowledged is None:
            self._answered[call_id] = None
            if len(self._answered) > 1000:
                del self._answered[next(iter(self._answered))]
        elif task is not None:
            self._feed(task.finished_fact())
        else:
            self._owed.add(acknowledged.task_id)

    def announced(self, tasks: tuple[TaskFinished, ...]) -> None:
        """Note that the model is given these results, should the conversation end before it is known to tell them."""
        self._agent.announced.update(task.task_id for task in tasks)

    def told(self, tasks: tuple[TaskFinished, ...]) -> None:
        """Mark finished tasks as delivered."""
        ids = {task.task_id for task in tasks}
        self._agent.announced -= ids
        for manager in self._watched:
            for task in manager.tasks:
                if task.id in ids:
                    task.delivered = True

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
        self._emit(TaskUpdateEvent(task.snapshot()))
        if kind != "finished" or task.delivered:
            return
        call_id = task.call_id
        if task.id in self._owed:
            self._owed.discard(task.id)
            self._feed(task.finished_fact())
        elif call_id is not None and call_id in self._agent.open_calls:
            self._unanswered[call_id] = task
        elif call_id is not None and call_id in self._answered:
            del self._answered[call_id]
        else:
            self._feed(task.finished_fact())

    def _publish_moved(self) -> None:
        self._scheduled = False
        moved, self._moved = self._moved, set()
        if self._closed:
            return
        for task in moved:
            if not task.done():
                self._emit(TaskUpdateEvent(task.snapshot()))
