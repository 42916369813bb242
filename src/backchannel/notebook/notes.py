"""Notes: what a task's status does not say, for its row on the board. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..tasks import Task

__all__ = ["note_of", "waits"]

_NAMED = 3


def waits(task: Task) -> bool:
    """Whether a task is under way but nothing of it runs just now."""
    return task.life.state == "running" and task.life.phase != "body"


def note_of(task: Task) -> str:
    """Return in a few words what a task's status does not say; "" for nothing."""
    life, retry = task.life, task.options.retry
    plain = life.attempts <= 1 and task.superseded_by is None
    if plain and (life.phase == "body" or (life.ended and not life.attempts)):
        return ""
    parts: list[str] = []
    if life.ended:
        if life.attempts > 1:
            parts.append(f"{life.attempts} attempts")
    elif life.state == "queued":
        parts += _awaited(task)
    elif life.phase == "outside":
        parts.append("waits for its result from elsewhere")
    elif retry is not None and life.attempts:
        of = f"of {retry.retries + 1}"
        if life.phase == "pause":
            parts.append(f"attempt {life.attempts} {of} failed, the next one follows")
        elif life.phase == "waiting":
            parts.append(f"attempt {life.attempts + 1} {of} waits for a place")
        elif life.attempts > 1:
            parts.append(f"attempt {life.attempts} {of}")
    if task.superseded_by is not None:
        parts.append(_superseded(task))
    return ", ".join(parts)


def _awaited(task: Task) -> list[str]:
    left = [other for other in task.dependencies if not other.done()]
    if not left:
        return []
    named = " and ".join(f"task {other.number}, {other.label}" for other in left[:_NAMED])
    more = len(left) - _NAMED
    return [f"waits for {named}" + (f" and {more} more" if more > 0 else "")]


def _superseded(task: Task) -> str:
    newer = task.manager.task(task.superseded_by or "")
    return "a newer call replaces it" if newer is None else f"task {newer.number} is the same, asked for later"
