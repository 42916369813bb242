"""Again: a task that has ended is run once more, by its tool as it is declared now."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from ..errors import TaskRefusedError, ToolArgumentsError

if TYPE_CHECKING:
    from .decorator import AsyncTool
    from .manager import AsyncToolManager
    from .task import Task

__all__ = ["UNBOUND", "hindrance", "run_again"]

UNBOUND: weakref.WeakValueDictionary[str, AsyncTool] = weakref.WeakValueDictionary()
"""The newest tools by name that use the default manager, whichever that is."""

_claiming = threading.Lock()
_WHY = {
    "no JSON": "was no plain data, so that the ledger has only its text",
    "secret": "looks like a secret, so that the ledger does not have it",
    "too long": "was too long for the ledger",
}


def hindrance(task: Task, tool: AsyncTool | None) -> str | None:
    """Return why a task cannot be run again by ``tool``, in a sentence that ends with what to do; None if it can."""
    if not task.done():
        return "It has not ended: wait for it, or cancel it first."
    if task.forgotten:
        return f"It was forgotten, and its arguments with it. Call {task.tool_name} yourself."
    if task.status == "lost" and task.again is not None:
        return f"It was run again already, as task {_name(task, task.again)}; run that one again if need be."
    if tool is None:
        return (
            f"The tool {task.tool_name!r} is not known to its manager here. Declare the tool {task.tool_name!r} again "
            "(in a notebook: run its cell), then run the task again."
        )
    if task.record is not None and task.record.unwritten:
        name, why = next(iter(task.record.unwritten.items()))
        return f"Its argument {name!r} {_WHY.get(why, why)}. Call {task.tool_name} yourself, with all its arguments."
    for name in task.references:
        needed = _needed(task, name)
        if needed is None or (needed.restored and needed.status == "done" and not _has_value(needed)):
            return (
                f"Its argument {name!r} is the result of a task whose value is not here any more. Run that one again, "
                f"then call {task.tool_name} with it."
            )
    return None


def run_again(manager: AsyncToolManager, task: Task) -> Task:
    """Start the task's tool with its arguments, and return the new task.

    Raises:
        TaskRefusedError: If that cannot be; says why and what to do.
    """
    tool = manager.tool(task.tool_name)
    lost = task.status == "lost"
    with _claiming:
        why = hindrance(task, tool)
        if why is None and lost:
            task.again = task.id  # Until the new one is known: a second click must not start a second one.
    if why is not None or tool is None:
        raise TaskRefusedError(f"Task {task.number}, {task.label}, was not run again. {why}")
    try:
        arguments: dict[str, Any] = {**task.arguments, **{name: _needed(task, name) for name in task.references}}
        again = tool.start_again(arguments, manager, task.owner)
    except BaseException as error:
        if lost:
            task.again = None
        if isinstance(error, ToolArgumentsError):
            raise TaskRefusedError(
                f"Task {task.number}, {task.label}, was not run again, because its arguments do not fit the tool as it "
                f"is now: {str(error).removesuffix('.')}. Call {task.tool_name} yourself."
            ) from error
        raise
    task.again = again.id
    if task.awaits_agent and again.owner is None:
        again.awaits_agent = True
    if manager.ledger is not None:
        manager.ledger.run_again(task, again)
    if lost:
        task.delivered = True
    return again


def _needed(task: Task, name: str) -> Task | None:
    from .dependencies import REFERENCE

    reference = task.arguments.get(name)
    return task.manager.task(reference.get(REFERENCE, "")) if isinstance(reference, dict) else None


def _has_value(task: Task) -> bool:
    return task.record is None or task.record.has_value


def _name(task: Task, task_id: str) -> str:
    found = task.manager.task(task_id)
    return f"{found.number}" if found is not None and found is not task else task_id
