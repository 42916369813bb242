"""Announcements: the text by which a model is told what came of background tasks. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..events import TaskFinished
from ..tools.text import LIMIT, cut, text_of
from .history import ENDINGS, superseded

__all__ = ["MOST_RESULTS", "announcement", "longest_result"]

MOST_RESULTS = 32
"""Results in one message; the others follow in the next ones."""
MESSAGE_CHARACTERS = 32_000
"""About the most characters of such a message."""


def longest_result(count: int) -> int:
    """Return how many characters each of so many results may have in one message."""
    return max(200, min(LIMIT, MESSAGE_CHARACTERS // max(1, count)))


def announcement(tasks: Iterable[TaskFinished]) -> str:
    """Return the text that tells a model of finished tasks: id, tool, arguments, outcome, elapsed time."""
    lines, tasks = [], list(tasks)
    limit = longest_result(len(tasks))
    for task in tasks:
        arguments: dict[str, Any] = dict(task.arguments)
        call = cut(", ".join(f"{name}={_shown(value)}" for name, value in arguments.items()), 600)
        again = ""
        if task.perhaps_told:
            again = " You may have said this already; if so, say nothing."
        elif task.interrupted:
            again = " You were interrupted before the user heard this. If you have said it since, say nothing."
        lines.append(
            f"Background task {task.number} (id {task.task_id}), {task.tool_name}({call}), "
            f"{ENDINGS.get(task.status, task.status)} after {task.elapsed_s:.1f} s."
            f"{superseded(task.superseded_by)}{again}\n"
            f"{'Error' if task.status in ('failed', 'timed_out', 'lost') else 'Result'}: {cut(task.text, limit)}"
        )
    return "\n\n".join(lines) + "\n\nTell the user now, briefly, in your own words. Do not call the tool again for it."


def _shown(value: object) -> str:
    return repr(cut(value, 200)) if isinstance(value, str) else text_of(value, 200)
