"""What a model is told of the conversation so far, and of calls and tasks that outlived a connection. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Self

from ..events import TaskFinished, TaskStatus
from ..messages import Message, Messages, Origin, ToolResult, ToolUse, is_text, without_origins
from ..tasks import AsyncTaskResult
from ..tools.text import cut, error_text, text_of
from .repair import repaired, result_text, usable_call, usable_result

__all__ = [
    "ENDINGS",
    "PassingText",
    "history_for_model",
    "late_result_text",
    "result_line",
    "shrunk",
    "superseded",
    "task_line",
]

ENDINGS: dict[TaskStatus, str] = {
    "done": "is done",
    "failed": "has failed",
    "cancelled": "was cancelled",
    "timed_out": "ran out of time",
    "lost": "was lost",
}
"""How one says that a task came to its end."""

_LATE = 8000
_ARGUMENTS = 300
_NAME = 100
_NOTED = 20


class PassingText(str):
    """A prompt of the agent's own, of which less is kept in the history once it has been answered.

    Attributes:
        remains: What is kept.
        origin: What it tells of.
    """

    remains: str
    origin: Origin = "results"

    def __new__(cls, text: str, remains: str = "") -> Self:  # copies and pickles are made without
        made = super().__new__(cls, text)
        made.remains = remains
        return made


def history_for_model(
    messages: Iterable[Message], open_calls: Mapping[str, ToolUse], form: Literal["note", "call"]
) -> Messages:
    """Return what a connection that begins, or begins anew, is given as the conversation so far.

    It is valid (see `repair.repaired`), and says at its end which calls are still at work. A new list; the messages
    that need no change are the same objects, and none is changed.

    Args:
        messages: The history.
        open_calls: Calls that have no result yet and will get one, by id.
        form: How open calls are told. ``"call"``: as calls without a result, for providers that take the result
            later; `validate_messages` accepts them with ``open_ok``. ``"note"``: in words.
    """
    running: dict[str, ToolUse] = {}
    for call_id, call in open_calls.items():
        if is_text(call_id) and (usable := usable_call(call)) is not None:
            running[call_id] = {**usable, "toolUseId": call_id}
    history = without_origins(repaired(messages, running, running if form == "call" else ()))
    if running:
        last = _open_message(running) if form == "call" else _note_message(running)
        if not (history and history[-1] == last):
            history.append(last)
    return history


def _open_message(running: Mapping[str, ToolUse]) -> Message:
    return {"role": "assistant", "content": [{"toolUse": call} for call in running.values()]}


def _note_message(running: Mapping[str, ToolUse]) -> Message:
    shown = [_call_text(call) for call in list(running.values())[:_NOTED]]
    if len(running) > _NOTED:
        shown.append(f"and {len(running) - _NOTED:,} more")
    one = len(running) == 1
    text = (
        f"[Still running: {'; '.join(shown)}. {'Its result follows' if one else 'Their results follow'} as a message "
        f"when there {'is one' if one else 'are some'}. Do not make {'this call' if one else 'these calls'} again.]"
    )
    return {"role": "user", "content": [{"text": text}]}


def _call_text(call: ToolUse) -> str:
    arguments = text_of(call["input"], _ARGUMENTS) if call["input"] else ""
    return f"call {cut(call['toolUseId'], _NAME)} of {cut(call['name'], _NAME)}({arguments})"


def late_result_text(tool_use: ToolUse, result: ToolResult) -> str:
    """Return what tells a connection the result of a call that an earlier connection made; 8,000 characters at most."""
    usable = usable_result(result)
    head = (
        f"The {_call_text(tool_use)}, made earlier, has ended with the status {usable['status']}. "
        f"Do not make it again. {'Error' if usable['status'] == 'error' else 'Result'}:\n"
    )
    return head + result_text(usable["content"], _LATE - len(head))


def shrunk(text: str, limit: int = 120) -> str:
    """Return the beginning of a text as one line of at most ``limit`` characters, cut between words if it can be."""
    line = " ".join(text[: limit * 20].split())
    if len(line) <= limit and len(text) <= limit * 20:
        return line
    if limit <= 3:
        return line[:limit].rstrip()
    room = limit - 3
    begun = line[:room].rstrip()
    words = begun.rpartition(" ")[0] if line[room : room + 1].strip() else begun
    return (words if len(words) > room // 2 else begun) + "..."


def superseded(task_id: str | None) -> str:
    """Return the sentence that marks a result as the older one; "" where no later task asked for the same."""
    return "" if task_id is None else f" This is the older run: task {task_id} was started later for the same call."


def task_line(task: TaskFinished, limit: int = 120) -> str:
    """Return what stays in the history of a background task that was told: which, how it ended, how its result began.

    Args:
        task: The task.
        limit: The most characters of its result.
    """
    call = _called(task.tool_name, task.arguments)
    ending = ENDINGS.get(task.status, task.status)
    line = f"Background task {task.number}, {call}, {ending} after {task.elapsed_s:.1f} s"
    if task.superseded_by is not None:
        line += f" (superseded by task {cut(task.superseded_by, _NAME)})"
    said = shrunk(task.text, limit)
    return f"{line}: {said}" if said else f"{line}."


def result_line(result: AsyncTaskResult, limit: int = 120) -> str:
    """Return what stays in a text agent's history of a task that it was told of, as `task_line` does."""
    call = _called(result.tool_name, result.arguments)
    if result.error is None:
        ending, said = "is done", shrunk(result.text(), limit)
    else:
        error = f"{type(result.error).__name__}: {error_text(result.error, 1000)}"
        ending, said = "has no result", shrunk(error, limit)
    return f"[Background task {result.task_id}, {call}, {ending} after {result.elapsed:.1f} s: {said}]"


def _called(tool_name: str, arguments: Mapping[str, object]) -> str:
    given = ", ".join(f"{name}={text_of(value, 40)}" for name, value in list(arguments.items())[:8])
    return f"{cut(tool_name, _NAME)}({shrunk(given, 80)})"
