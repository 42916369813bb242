"""Task notes: what a history says of background tasks, read back from the words that tell it. Pure.

A history holds a background call with its acknowledgement, and later a message of the user's side with the result. A
model that does more with them than read them finds here which task is meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..events import TaskStatus
from ..messages import ToolResult

__all__ = ["Started", "Told", "started", "told"]

_STARTED = re.compile(r"Started .*?\. It runs in the background as task (\d+) \(id ([0-9a-f]{8}), tool ", re.S)
_HEAD = re.compile(r"\[(?:A background task has|(\d+) background tasks have) ended\. This is not from the user")
_TOLD = re.compile(
    r"(?:^|\n\n)Task (?P<id>[0-9a-f]{8}), tool (?P<tool>\S+), arguments .{0,700}?, after (?P<elapsed>\d+\.\d) s\."
    r"(?P<notes>[^\n]*)\n(?:Result: |It has no result\. )",
    re.S,
)
# What is left of that in a history, a line for each task.
_LINE = re.compile(
    r"\[Background task (?P<id>[0-9a-f]{8}), (?P<tool>[^\s(]+)\(.*?\), (?P<ending>is done|has no result) "
    r"after (?P<elapsed>\d+\.\d) s: (?P<outcome>.*)\]"
)
_LONGEST_LINE = 2000
_FAULT = re.compile(r"(\w+): ")
_ENDINGS: dict[str, TaskStatus] = {
    "TaskCancelledError": "cancelled",
    "TaskLostError": "lost",
    "TaskTimedOutError": "timed_out",
}


@dataclass(frozen=True, slots=True)
class Started:
    """A task that a call started, and whose result comes later."""

    task_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Told:
    """A task that has ended, as an agent is told of it.

    Attributes:
        words: All that is told of it.
        outcome: Its result, or what went wrong.
        elapsed_s: From its start to its end, seconds.
    """

    task_id: str
    tool_name: str
    words: str
    outcome: str
    status: TaskStatus
    elapsed_s: float
    perhaps_told: bool


def started(result: ToolResult) -> Started | None:
    """Return the task that a tool's result acknowledges; None where it is a result like others."""
    for piece in result["content"]:
        found = _STARTED.match(piece.get("text", ""))
        if found is not None:
            return Started(found[2], int(found[1]))
    return None


def told(text: str) -> list[Told]:
    """Return the tasks that a message tells of; none where it is a message like others."""
    head = _HEAD.match(text)
    if head is None:
        return _lines(text)
    found = list(_TOLD.finditer(text))[: int(head[1] or 1)]
    ends = [*(later.start() for later in found[1:]), len(text)]
    return [_told(text, part, end) for part, end in zip(found, ends, strict=False)]


def _told(text: str, part: re.Match[str], end: int) -> Told:
    status, outcome = _ending(text[part.end() : end], part[0].endswith("Result: "))
    words = text[part.start() : end].strip()
    again = " You may have been told " in part["notes"]
    return Told(part["id"], part["tool"], words, outcome, status, float(part["elapsed"]), again)


def _lines(text: str) -> list[Told]:
    found = [_LINE.fullmatch(line) if len(line) <= _LONGEST_LINE else None for line in text.split("\n")]
    told: list[Told] = []
    for line in found:
        if line is None:
            return []
        status, outcome = _ending(line["outcome"], line["ending"] == "is done")
        told.append(Told(line["id"], line["tool"], line[0], outcome, status, float(line["elapsed"]), False))
    return told


def _ending(outcome: str, done: bool) -> tuple[TaskStatus, str]:
    if done:
        return "done", outcome
    fault = _FAULT.match(outcome)
    return (_ENDINGS.get(fault[1], "failed"), outcome[fault.end() :]) if fault else ("failed", outcome)
