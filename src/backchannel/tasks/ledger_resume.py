"""Resuming: the tasks of a ledger become tasks of a manager again, each with what is left of it."""

from __future__ import annotations

import contextvars
import dataclasses
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast, get_args

from ..errors import TaskError
from ..tools.text import LIMIT, error_text, shown
from . import lifecycle
from .capture import inside
from .deferred import Deferred
from .ledger_state import TaskRecord
from .lifecycle import Life
from .options import Announce, TaskOptions
from .results import Reading
from .task import Task

if TYPE_CHECKING:
    from .decorator import AsyncTool
    from .ledger import Ledger
    from .manager import AsyncToolManager

__all__ = ["resume", "take_up"]

_log = logging.getLogger(__name__)

ENDED = "the process that ran it ended before it did"
"""Why a task is lost whose process could not say so itself."""

LAST_LOOK_S = 30.0
"""How long a value may be asked for that perhaps came in time while nobody could ask, seconds."""

_CUT = " (The rest of it went with the process that had it.)"


def resume(manager: AsyncToolManager, ledger: Ledger, kept: int) -> None:
    """Give a new manager the tasks of its ledger: at most ``kept`` that have ended, and all others.

    Deferred ones stay open, those on a cluster are looked for there, and the rest is lost, which is written down.
    """
    state = ledger.open()
    manager.store.count_on(state.highest)
    ended = sum(record.ended for record in state.tasks.values())
    for record in list(state.tasks.values()):
        if record.ended:
            ended -= 1
            if ended >= kept and not record.owed:
                continue
        _resume(manager, ledger, record)
    if ledger.failure is None:
        ledger.flush()


def _resume(manager: AsyncToolManager, ledger: Ledger, record: TaskRecord) -> None:
    now, wall = manager.clock(), ledger.now()

    def moment(at: float | None) -> float | None:
        return None if at is None else now - max(wall - at, 0.0)

    created, started, finished = moment(record.created) or now, moment(record.started), moment(record.finished)
    life = Life(created, record.status, started, finished, record.reason, attempts=int(started is not None))
    if finished is not None and started is not None:
        life = life._replace(started=finished - record.elapsed)
    elif finished is None and started is not None:
        life = life._replace(state="running", phase="body" if record.outside is None else "outside")
    announce = record.announce if record.announce in get_args(Announce) else "when_free"
    timeout = record.options.get("timeout")
    options = TaskOptions(
        cast("Announce", announce),
        timeout=timeout if isinstance(timeout, (int, float)) and timeout > 0 else None,
        deferred=record.deferred,
    )
    task = Task(
        manager, record.id, record.number, record.tool, record.arguments, life, label=record.label, options=options
    )
    task.record, task.recorded = record, True
    task.where = str(record.where.get("kind", "runner"))
    task.references = tuple(record.references)
    task.awaits_agent = record.owned
    task.again, task.superseded_by = record.again, record.superseded_by
    progress = record.progress
    if progress:
        task.restore_progress(progress.get("done"), progress.get("total"), str(progress.get("message") or ""))
    task.restore(_value(record), _error(record), _reading(record), told=record.told, announced=record.announced)
    with manager.lock:
        manager.store.add(task)
        for hashed in record.tokens:
            manager.store.accept(hashed, task)
        if record.ended:
            manager.store.ended(task, len(manager.store.tasks))
            return
        manager.add_open(task)
    _go_on(manager, task, record, wall)


def _go_on(manager: AsyncToolManager, task: Task, record: TaskRecord, wall: float) -> None:
    """Decide what becomes of a task that had not ended."""
    outside = record.outside
    if outside is not None and (not outside.get("poll") or "handle" in outside):
        left_s = _left_s(task, record, wall)
        if left_s is not None and (left_s > 0 or not outside.get("poll")):
            manager.limit(task, left_s)
        if outside.get("poll"):
            manager.await_tool(task)
        return
    if outside is None and record.where.get("kind") == "dask" and "key" in record.where:
        from .runners.dask_attach import attach

        if task.timeout is not None and record.started is not None:
            manager.limit(task, max(task.timeout - (wall - record.started), 0.0))
        manager.wait_for(task)
        attach(task, record.where, manager)
        return
    seen = manager.clock() - max(wall - record.seen, 0.0)
    manager.feed(task, lifecycle.Vanished(seen, ENDED))


def _left_s(task: Task, record: TaskRecord, wall: float) -> float | None:
    """Return how much is left of a task's time-out, seconds; None where it has none."""
    if task.timeout is None or record.started is None:
        return None
    return max(task.timeout - (wall - record.started), 0.0)


def take_up(task: Task, tool: AsyncTool, take: Callable[[Deferred, contextvars.Context], None]) -> None:
    """Ask for a task's value again, as its tool says, which is there again; else the task is lost."""
    manager, record = task.manager, task.record
    if task.done():
        return
    handle = None if record is None or record.outside is None else record.outside.get("handle")
    resume_with = tool.resume
    task.options = dataclasses.replace(tool.task_options, announce=task.announce, timeout=task.timeout, deferred=True)
    why = f"its tool {tool.tool_name} was declared without resume=, so nobody knows how to ask for its value"
    if resume_with is not None:
        try:
            with inside(task):
                deferred: Any = resume_with(handle)
            if isinstance(deferred, Deferred):
                ledger = manager.ledger
                if record is not None and ledger is not None and _left_s(task, record, ledger.now()) == 0:
                    manager.limit(task, LAST_LOOK_S)
                take(deferred, contextvars.copy_context())
                return
            why = f"resume of its tool {tool.tool_name} returned {type(deferred).__name__} instead of Deferred"
        except Exception as error:  # noqa: BLE001 - it is the user's code
            _log.warning("resume of %s raised for task %s", tool.tool_name, task.id, exc_info=error)
            why = f"resume of its tool {tool.tool_name} failed: {type(error).__name__}: {error_text(error, 300)}"
    manager.feed(task, lifecycle.Vanished(manager.clock(), why))


def _value(record: TaskRecord) -> Any:
    return record.value if record.has_value else None


def _error(record: TaskRecord) -> TaskError | None:
    if record.status != "failed":
        return None
    said, name = record.error or record.text, record.error_type
    return TaskError(said if said.startswith(name) else f"{name}: {said}")


def _reading(record: TaskRecord) -> Reading | None:
    """Return what is told of the result, where it is not what its value says by itself."""
    if record.status not in ("done", "failed"):
        return None
    if record.has_value and shown(record.value) == (record.text, record.whole):
        return None
    if record.whole or record.has_value:
        return Reading(record.text, True)
    return Reading(f"{record.text[: LIMIT - len(_CUT)]}{_CUT}", True)
