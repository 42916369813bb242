"""Tools through which a model lists, looks at and cancels tasks, and looks into results."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

from ..tools.text import cut
from ..tools.tool import AgentTool, tool
from .look import Action, look
from .manager import AsyncToolManager
from .results import RESULT_TOOL
from .task import Task
from .wording import duration, percent

__all__ = ["RESULT_TOOL", "TASK_TOOL", "background_tasks_tool", "describe", "look_at_result_tool"]

TASK_TOOL = "background_tasks"

_RECENT = 3
_LISTED = 8
_RESULT = 200
_NUMBERS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_NUMBER_WORDS = {word: number for number, word in enumerate(_NUMBERS.split(), 1)}
_ENDINGS = {
    "done": "is done",
    "failed": "failed",
    "cancelled": "was cancelled",
    "timed_out": "timed out",
    "lost": "was lost",
}


def background_tasks_tool(managers: Callable[[], Sequence[AsyncToolManager]], owner: Any = None) -> AgentTool:
    """Return the tool for the tasks of these managers, asked for at each call.

    Args:
        owner: The agent whose tasks are meant, with those that were started by hand; None for everybody's.
    """

    @tool(name=TASK_TOOL)
    async def background_tasks(
        action: Literal["list", "look", "cancel"] = "list", task: int | str | None = None
    ) -> str:
        """List the tasks that run in the background, look how far one is, or cancel one.

        Args:
            action: What to do: list all, look at one, or cancel.
            task: The task's number, its id, or "all". May be left out where only one is running.
        """
        known = _known(managers(), owner)
        if action == "cancel":
            return _cancel(known, task)
        return _look(known, task) if action == "look" else _list(known)

    return background_tasks


def look_at_result_tool(managers: Callable[[], Sequence[AsyncToolManager]], owner: Any = None) -> AgentTool:
    """Return the tool that looks into what the tasks of these managers have returned.

    Args:
        owner: As for `background_tasks_tool`.
    """

    # A plain function: it runs in a thread, where a large value may take its time.
    @tool(name=RESULT_TOOL)
    def look_at_result(
        task: int | str, action: Action = "head", key: str = "", start: int = 0, count: int = 10, text: str = ""
    ) -> str:
        """Look into the result of a task that is done, where its message did not show all of it.

        Args:
            task: The task's number or id.
            action: The first items, a description, items from start on, the names of its parts, or those with a text.
            key: The part to look at, such as a column or an entry; parts of parts with dots, as in rows.0.name.
            start: For slice: the first item, counted from 0; negative from the end.
            count: How many items, at most 50.
            text: For search: what to look for.
        """
        known = _known(managers(), owner)
        found = [entry for entry in _found(known, task) if entry.status == "done"][-1:] or _found(known, task)[-1:]
        if not found:
            return _unknown(known, task)
        if found[0].status != "done":
            return f"There is no result to look into. {describe(found[0], result=False)}"
        if found[0].record is not None and not found[0].record.has_value:
            return f"Only this is left of it, from before its kernel ended: {found[0].summary()}"
        return look(found[0].value, action, key=key, start=start, count=count, text=text)

    return look_at_result


def _known(managers: Sequence[AsyncToolManager], owner: Any) -> list[Task]:
    """Return the tasks that an agent may know of: no other agent's, whose user may be somebody else."""
    tasks = [task for manager in managers for task in manager.tasks]
    return tasks if owner is None else [task for task in tasks if task.concerns(owner)]


def describe(task: Task, *, result: bool = True) -> str:
    """Return a sentence on how a task stands: "Task 1, research solar power: 35 percent, 12 seconds left."."""
    name = f"Task {task.number}, {task.label}"
    if task.done():
        ending = f"{name}, {_ENDINGS[task.status]} after {duration(task.elapsed)}"
        if result and task.status != "cancelled" and _will_be_told(task):
            return f"{ending}; more about it comes next."
        if not result or task.status == "cancelled":
            return f"{ending}."
        return _sentence(f"{ending}: {' '.join(task.summary(_RESULT).split())}")
    if task.status == "queued":
        return f"{name}: waiting for its turn."
    progress = task.progress
    parts = []
    if progress.fraction is not None:
        parts.append(percent(progress.fraction))
    elif progress.done:
        parts.append(f"{progress.done:g} {progress.message or 'steps'} so far")
    if progress.eta_s is not None:
        parts.append(f"{duration(progress.eta_s)} left")
    else:
        parts.append(f"running for {duration(task.elapsed)}")
    return f"{name}: {', '.join(parts)}."


def _list(tasks: Sequence[Task]) -> str:
    active = [task for task in tasks if not task.done()]
    ended = [task for task in tasks if task.done()][-_RECENT:]
    said = [describe(task) for task in active[:_LISTED]] or ["No tasks are running."]
    if len(active) > _LISTED:
        said.append(f"And {len(active) - _LISTED} more.")
    return " ".join([*said, *(describe(task) for task in ended)])


def _look(tasks: Sequence[Task], which: int | str | None) -> str:
    if which is None or _means_all(which):
        active = [task for task in tasks if not task.done()]
        if len(active) == 1 or (not active and tasks):
            return describe((active or tasks)[-1])
        return _list(tasks)
    found = _found(tasks, which)
    return " ".join(describe(task) for task in found) if found else _unknown(tasks, which)


def _cancel(tasks: Sequence[Task], which: int | str | None) -> str:
    active = [task for task in tasks if not task.done()]
    if which is None or _means_all(which):
        if not active:
            return "No tasks are running, so there is nothing to cancel."
        if which is None and len(active) > 1:
            return f"Which one? {_names(active)}."
        chosen = active
    else:
        found = _found(tasks, which)
        if not found:
            return _unknown(tasks, which)
        chosen = [task for task in found if not task.done()] or found
        if len(chosen) > 1:
            return f"Which one? {_names(chosen)}."
    return " ".join(map(_cancel_one, chosen))


def _cancel_one(task: Task) -> str:
    if not task.answer_with_end():
        return f"Nothing to cancel: {describe(task, result=False)}"
    if task.cancel("cancelled on request"):
        return f"Cancelled task {task.number}, {task.label}."
    # It has ended by itself just now, and nobody else tells how.
    return f"Nothing to cancel: {describe(task)}"


def _will_be_told(task: Task) -> bool:
    """Whether an agent still owes the result, so that saying it here would say it twice."""
    return task.owner is not None and task.owed


def _found(tasks: Sequence[Task], which: int | str) -> list[Task]:
    """Return the tasks that are meant: by id, by number in digits or words, else by what they are called."""
    said = str(which).strip().casefold()
    by_id = [task for task in tasks if task.id == said]
    if by_id:
        return by_id
    number = re.sub(r"^(task|number|no\.?|#|\s)+", "", said)
    wanted = int(number) if number.isdecimal() and len(number) < 10 else _NUMBER_WORDS.get(number)
    if wanted is not None:
        return [task for task in tasks if task.number == wanted]
    named = [task for task in tasks if said and said in task.label.casefold()]
    return [task for task in named if not task.done()] or named[-1:]


def _means_all(which: int | str) -> bool:
    return isinstance(which, str) and which.strip().casefold() in ("all", "everything", "all tasks", "all of them", "")


def _unknown(tasks: Sequence[Task], which: int | str) -> str:
    active = [task for task in tasks if not task.done()]
    there = f"Running are: {_names(active)}." if active else "No tasks are running."
    return f"There is no task {cut(str(which), 60)}. {there}"


def _names(tasks: Sequence[Task]) -> str:
    numbers = [task.number for task in tasks]
    said = "; ".join(
        # Two managers count from 1 each.
        f"task {task.number}, {task.label}" + (f", id {task.id}" if numbers.count(task.number) > 1 else "")
        for task in tasks[:_LISTED]
    )
    return said if len(tasks) <= _LISTED else f"{said}; and {len(tasks) - _LISTED} more"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
