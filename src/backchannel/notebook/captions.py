"""Captions: what was said, as operations for the pages. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from ..events.values import encodable

__all__ = ["MAX_CHARS", "Captions"]

MAX_CHARS = 10_000
_MOST_UNHEARD = 200
Op = dict[str, Any]
_ENDINGS = {
    "done": "is done",
    "failed": "failed",
    "cancelled": "was cancelled",
    "timed_out": "ran out of time",
    "lost": "was lost",
}


class Captions:
    """Each method returns the operations that bring the pages up to date."""

    def __init__(self) -> None:
        self._count = 0
        self._open: dict[str, tuple[str, str]] = {}
        self._response: str | None = None
        self._spoken: dict[str, list[Op]] = {}
        self._told: dict[str, str] = {}

    def said(self, role: Literal["user", "assistant"], text: str, *, final: bool, whole: str | None = None) -> Op:
        """A piece of what somebody said, or (``final``) all of it; ``whole`` is all so far, where known."""
        known = self._open.pop(role, None)
        name, before = known if known is not None else (self._name("u" if role == "user" else "a"), "")
        text = text if final else whole if whole is not None else before + text
        if not final:
            self._open[role] = (name, text[: MAX_CHARS + 1])
        op = _caption(name, role, text, final=final, heard=role == "user")
        if role == "assistant":
            said = self._spoken.setdefault(self._response or "", [])
            said[:] = [*(item for item in said if item["id"] != name), op][-_MOST_UNHEARD:]
            while len(self._spoken) > _MOST_UNHEARD:
                del self._spoken[next(iter(self._spoken))]  # Nobody plays them; they stay marked as not heard.
        return op

    def typed(self, text: str) -> Op:
        """What the user typed."""
        return _caption(self._name("u"), "user", text, final=True, heard=True)

    def note(self, text: str) -> Op:
        """Something that nobody said."""
        return _caption(self._name("n"), "note", text, final=True, heard=True)

    def response_started(self, response_id: str) -> None:
        """What the assistant says from now on belongs to this response."""
        self._open.pop("assistant", None)
        self._response = response_id

    def heard(self, response_id: str) -> list[Op]:
        """All of a response was heard, or it has no voice."""
        return [{**op, "heard": True, "final": True} for op in self._spoken.pop(response_id, [])]

    def dropped(self, response_ids: Collection[str]) -> list[Op]:
        """These responses will not be played to their end: what was not heard stays marked so."""
        return [{**op, "final": True} for name in response_ids for op in self._spoken.pop(name, [])]

    def interrupted(self, cut: Collection[str]) -> list[Op]:
        """The responses ``cut`` and the one under way were cut off: what was not heard stays marked so."""
        self._open.pop("assistant", None)
        names = {*cut, self._response or ""}
        self._response = None
        return [{**op, "final": True} for name in names for op in self._spoken.pop(name, [])]

    def task(self, row: Mapping[str, Any]) -> list[Op]:
        """A background task moved; its beginning and its end are noted."""
        status = "running" if row["status"] == "queued" else str(row["status"])
        if self._told.get(row["id"]) == status:
            return []
        self._told[row["id"]] = status
        while len(self._told) > 1000:
            del self._told[next(iter(self._told))]
        said = _ENDINGS.get(status, "has started")
        return [self.note(f"Task {row['number']}, {row['label']}, {said}.")]

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"


def _caption(name: str, role: str, text: str, *, final: bool, heard: bool) -> Op:
    if len(text) > MAX_CHARS:
        text = text[: MAX_CHARS - 1] + "…"
    return {"op": "caption", "id": name, "role": role, "text": encodable(text), "final": final, "heard": heard}
