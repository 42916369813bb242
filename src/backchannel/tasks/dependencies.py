"""Dependencies: tasks that start when others are done, and arguments that are the others' results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from ..errors import TaskError
from .task import Task

__all__ = ["After", "Lookup", "all_of", "filled", "obstacle", "reference", "shown", "split"]

After: TypeAlias = "Task | str | int | Iterable[Task | str | int]"
Lookup: TypeAlias = Callable[["Task | str | int"], Task]

REFERENCE = "$task"


def reference(value: Any) -> str | int | None:
    """Return the id or number in ``{"$task": id}``, the form in which a model names a result; None for other values."""
    if isinstance(value, Mapping) and len(value) == 1:
        which = value.get(REFERENCE)
        if isinstance(which, (str, int)) and not isinstance(which, bool):
            return which
    return None


def split(arguments: Any, lookup: Lookup, *, by_text: bool) -> tuple[Any, dict[str, Task]]:
    """Take those arguments out that stand for results: tasks, and with ``by_text`` also ``{"$task": id}``."""
    if not isinstance(arguments, Mapping):
        return arguments, {}
    found: dict[str, Task] = {}
    for name, value in arguments.items():
        if isinstance(value, Task):
            found[name] = value
        elif by_text and (which := reference(value)) is not None:
            found[name] = lookup(which)
    if not found:
        return arguments, found
    return {name: value for name, value in arguments.items() if name not in found}, found


def all_of(after: After | None, lookup: Lookup) -> list[Task]:
    """Return the tasks that ``after`` names."""
    if after is None:
        return []
    several = after if isinstance(after, Iterable) and not isinstance(after, str) else [after]
    return [lookup(which) for which in several]


def filled(arguments: Mapping[str, Any], references: Mapping[str, Task]) -> dict[str, Any]:
    """Return the arguments with the results of tasks that are done."""
    return {**arguments, **{name: task.value for name, task in references.items()}}


def shown(arguments: Mapping[str, Any], references: Mapping[str, Task]) -> dict[str, Any]:
    """Return the arguments as one shows them: a result by its task's id."""
    return {**arguments, **{name: {REFERENCE: task.id} for name, task in references.items()}}


def obstacle(task: Task, dependencies: Iterable[Task]) -> TaskError | None:
    """Return why ``task`` can never run: one that it waits for ended without a value; None if there is none."""
    for other in dependencies:
        if other.done() and other.status != "done":
            ending = other.status.replace("_", " ")
            said = f"{ending}: {other.summary(300)}" if other.status == "failed" else other.summary(300)
            error = TaskError(
                f"Task {task.number}, {task.label}, did not run, because it needs task {other.number}, {other.label}, "
                f"and that has no result: {said}"
            )
            error.__cause__ = other.error
            return error
    return None
