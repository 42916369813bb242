"""Questions: the calls that wait for a person's yes or no, as operations for the pages. Pure."""

from __future__ import annotations

from ..events import ApprovalAnswerEvent, ApprovalRequestEvent
from .captions import Captions, Op

__all__ = ["MAX_CHARS", "Questions"]

MAX_CHARS = 2000
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
        return [{"op": "question", "id": event.approval_id, "text": text, "tool": event.tool_use["name"]}]

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
