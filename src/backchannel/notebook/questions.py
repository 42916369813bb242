"""Questions: the calls that wait for a person's yes or no, as operations for the pages. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..events import ApprovalAnswerEvent, ApprovalRequestEvent
from ..tools.text import cut, text_of
from .captions import Captions, Op

__all__ = ["MAX_CHARS", "Questions"]

MAX_CHARS = 2000
"""Of a question."""
_ARGUMENT_CHARS = 20_000
"""Of all arguments of a call, which the page shows below its question."""
_ARGUMENTS = 100
_NAME_CHARS = 100
_BY = {
    "widget": "on the page",
    "voice": "by voice",
    "code": "by code",
    "callback": "by code",
    "timeout": "in time",
    "stopped": "any more",
}


class Questions:
    """Each method returns the operations that bring the pages up to date.

    Args:
        captions: Takes the outcome of each question.
    """

    def __init__(self, captions: Captions) -> None:
        self._captions = captions
        self._open: dict[str, str] = {}

    def asked(self, event: ApprovalRequestEvent) -> list[Op]:
        """A call waits."""
        text = event.question if len(event.question) <= MAX_CHARS else event.question[: MAX_CHARS - 1] + "…"
        self._open[event.approval_id] = text
        op: Op = {"op": "question", "id": event.approval_id, "text": text, "tool": event.tool_use["name"]}
        return [{**op, "arguments": _arguments(event.tool_use["input"]), "whole": event.whole}]

    def answered(self, event: ApprovalAnswerEvent) -> list[Op]:
        """It waits no longer."""
        text = self._open.pop(event.approval_id, None)
        if text is None:
            return []
        said = f"Allowed {_BY[event.by]}" if event.approved else f"Not allowed {_BY[event.by]}"
        note = self._captions.note(f"{said}: {text}{f' ({event.reason})' if event.reason else ''}")
        return [{"op": "answered", "id": event.approval_id}, note]

    def ended(self) -> list[Op]:
        """The conversation is over; nobody waits any more."""
        ended = [ApprovalAnswerEvent(name, False, "stopped", "the conversation has ended") for name in self._open]
        return [op for event in ended for op in self.answered(event)]


def _arguments(given: Any) -> list[list[str]]:
    """Return the names and values of a call's arguments as text, all of them unless they are very long."""
    named = given if isinstance(given, Mapping) else {"input": given}
    room = _ARGUMENT_CHARS
    shown: list[list[str]] = []
    for name, value in list(named.items())[:_ARGUMENTS]:
        text = "none" if value is None else text_of(value, max(room, 100))
        room -= len(text)
        shown.append([_seen(cut(str(name), _NAME_CHARS)), _seen(text)])
    if len(named) > _ARGUMENTS:
        shown.append(["...", f"{len(named) - _ARGUMENTS:,} more"])
    return shown


def _seen(text: str) -> str:
    """Return a text with escapes for characters that are not seen, or turn around what is shown."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else f"\\u{ord(char):04x}" for char in text)
