"""The calls of a session and the background tasks that came of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .signals import Attribute, label
from .trace import Trace

__all__ = ["Calls"]

MAX_OPEN = 2000
"""Calls, and tasks, that are followed at once; more of them are only counted."""

REMEMBERED = 1000
"""Ended tasks whose late updates are recognized, and tasks whose call is known before they are."""

_ENDED = ("done", "failed", "cancelled", "timed_out")
_FAILED = ("failed", "timed_out")


@dataclass(slots=True)
class _Tool:
    span: int
    name: str
    started: float


@dataclass(slots=True)
class _Task:
    """A task; its span waits until it is known which call it belongs to."""

    name: str
    seen: float
    running: float | None = None
    span: int | None = None


class Calls:
    """Follows calls of the model by their id, and tasks by theirs."""

    def __init__(self, trace: Trace, session_span: int) -> None:
        self.tools = 0
        self.tasks = 0
        self.dropped = 0
        self._trace = trace
        self._session = session_span
        self._open: dict[str, _Tool] = {}
        self._tasks: dict[str, _Task] = {}
        self._waiting: dict[str, None] = {}
        self._past: dict[str, None] = {}
        self._parents: dict[str, int] = {}

    # Tools

    def called(self, call_id: str, name: str, arguments: object, link: int | None) -> None:
        """The model calls a tool."""
        if call_id in self._open:
            return
        self.tools += 1
        if len(self._open) >= MAX_OPEN:
            self.dropped += 1
            return
        attributes: dict[str, Attribute] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": label(call_id),
            "gen_ai.tool.type": "function",
            **self._trace.content("gen_ai.tool.call.arguments", arguments),
        }
        span = self._trace.start(f"execute_tool {name}", self._session, attributes, link=link)
        self._open[call_id] = _Tool(span, name, self._trace.now)

    def returned(
        self, call_id: str, status: str, result: object, *, task_id: str | None, exception: BaseException | None
    ) -> None:
        """A call has its result, or the acknowledgement of the task ``task_id``."""
        tool = self._open.pop(call_id, None)
        if tool is None:
            return
        self._adopt(tool, task_id)
        failed = status == "error"
        measured: dict[str, Attribute] = {
            "gen_ai.tool.name": tool.name,
            "backchannel.tool.status": "error" if failed else "success",
            "backchannel.tool.background": task_id is not None,
        }
        attributes: dict[str, Attribute] = {
            "backchannel.tool.status": measured["backchannel.tool.status"],
            "backchannel.tool.background": task_id is not None,
            **self._trace.content("gen_ai.tool.call.result", result),
        }
        if task_id is not None:
            attributes["backchannel.task.id"] = label(task_id)
        error = (label(type(exception).__name__) if exception is not None else "tool_error") if failed else None
        self._trace.end(tool.span, attributes, error=error)
        if error is not None:
            measured["error.type"] = error
        self._trace.record("backchannel.tool.duration", self._trace.now - tool.started, measured)

    def _adopt(self, tool: _Tool, task_id: str | None) -> None:
        """Begin the spans of the tasks that a returning call may have started."""
        if task_id is not None:
            if task_id in self._waiting:
                self._place(task_id, tool.span)
            elif task_id not in self._tasks:
                self._parents[task_id] = tool.span
                if len(self._parents) > REMEMBERED:
                    del self._parents[next(iter(self._parents))]
        if self._waiting and not any(other.name == tool.name for other in self._open.values()):
            for waiting in [item for item in self._waiting if self._tasks[item].name == tool.name]:
                self._place(waiting, tool.span if task_id is None else self._session)

    # Tasks

    def task(self, row: Mapping[str, Any]) -> None:
        """A task started, moved or ended; ``row`` is its snapshot."""
        task_id, status = row.get("id"), row.get("status")
        if not isinstance(task_id, str) or task_id in self._past:
            return
        task = self._tasks.get(task_id) or self._new_task(task_id, label(row.get("tool", "unknown")))
        if task is None:
            return
        if status == "running" and task.running is None:
            task.running = self._trace.now
        if isinstance(status, str) and status in _ENDED:
            self._end_task(task_id, task, row, status)

    def _new_task(self, task_id: str, name: str) -> _Task | None:
        if len(self._tasks) >= MAX_OPEN:
            self.dropped += 1
            self._forget(task_id)
            return None
        self.tasks += 1
        task = self._tasks[task_id] = _Task(name, self._trace.now)
        self._waiting[task_id] = None
        parent = self._parents.pop(task_id, None)
        if parent is not None:
            self._place(task_id, parent)
        elif not any(tool.name == name for tool in self._open.values()):
            self._place(task_id, self._session)
        return task

    def _place(self, task_id: str, parent: int) -> None:
        """Begin the span of a task under its call, or under the session."""
        self._waiting.pop(task_id, None)
        task = self._tasks[task_id]
        attributes: dict[str, Attribute] = {
            "gen_ai.tool.name": task.name,
            "backchannel.task.id": label(task_id),
        }
        task.span = self._trace.start(f"task {task.name}", parent, attributes, at=task.seen)

    def _place_somewhere(self, task_id: str, task: _Task) -> int:
        if task.span is None:
            spans = [tool.span for tool in self._open.values() if tool.name == task.name]
            self._place(task_id, spans[0] if len(spans) == 1 else self._session)
        return task.span or self._session

    def _end_task(self, task_id: str, task: _Task, row: Mapping[str, Any], status: str) -> None:
        span = self._place_somewhere(task_id, task)
        del self._tasks[task_id]
        self._forget(task_id)
        said = row.get("error") if status in _FAILED else row.get("text")
        attributes: dict[str, Attribute] = {
            "backchannel.task.status": status,
            **self._trace.content("gen_ai.tool.call.result", said),
        }
        self._trace.end(span, attributes, error=status if status in _FAILED else None)
        elapsed = row.get("elapsed_s")
        if task.running is not None:
            duration = self._trace.now - task.running
        elif isinstance(elapsed, int | float) and 0 <= elapsed < 1e9:
            duration = float(elapsed)
        else:
            duration = self._trace.now - task.seen
        self._trace.record(
            "backchannel.task.duration",
            duration,
            {"gen_ai.tool.name": task.name, "backchannel.task.status": status},
        )

    def _forget(self, task_id: str) -> None:
        self._past[task_id] = None
        if len(self._past) > REMEMBERED:
            del self._past[next(iter(self._past))]

    # End

    def close(self) -> None:
        """The session ends: so do all spans, of tasks that go on without it too."""
        for task_id, task in self._tasks.items():
            span = self._place_somewhere(task_id, task)
            self._trace.end(span, {"backchannel.task.status": "open at session end"})
        for tool in self._open.values():
            self._trace.end(tool.span, {"backchannel.tool.status": "open at session end"})
        self._tasks.clear()
        self._waiting.clear()
        self._open.clear()
