"""Mentions: which milestones of tasks a conversation still tells its model, and which it is being told. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from ..events import TaskProgressed
from ..models.realtime import ModelProfile

__all__ = ["MENTION_GAP_S", "Mentions", "progress_text"]

MENTION_GAP_S = 10.0
"""The shortest time from one spoken milestone to the next, of all tasks together, seconds."""


class Mentions:
    """The newest milestone of each task that is still to be told; one lot of them is said at a time.

    Attributes:
        ordered: What is to be said next, and nothing has been sent; None else.
        sent: What the model was given to say, and has not begun with; None else.
    """

    def __init__(self) -> None:
        self.ordered: tuple[TaskProgressed, ...] | None = None
        self.sent: tuple[TaskProgressed, ...] | None = None
        self._silent: dict[str, TaskProgressed] = {}
        self._aloud: dict[str, TaskProgressed] = {}
        self._from = -math.inf

    @property
    def waiting(self) -> bool:
        """Whether something is to be said."""
        return bool(self._aloud)

    @property
    def under_way(self) -> bool:
        """Whether the response that begins next is a milestone's."""
        return self.ordered is not None or self.sent is not None

    def came(self, note: TaskProgressed, profile: ModelProfile) -> None:
        """Take a milestone, in place of an older one of its task."""
        owed = note.task_id in self._aloud
        self.ended(note.task_id)
        if owed or (note.aloud and profile.reads_text):
            self._aloud[note.task_id] = replace(note, aloud=True)
        elif profile.silent_text:
            self._silent[note.task_id] = note

    def ended(self, task_id: str) -> None:
        """A task has ended: there is nothing to be told of its progress."""
        self._aloud.pop(task_id, None)
        self._silent.pop(task_id, None)

    def silent(self) -> tuple[TaskProgressed, ...]:
        """Take what the model is to know at once."""
        notes = tuple(self._silent.values())
        self._silent.clear()
        return notes

    def aloud(self, now: float) -> tuple[TaskProgressed, ...]:
        """Take what is to be said now; empty while it is too soon, or others are being said."""
        if not self._aloud or self.under_way or now < self._from:
            return ()
        self.ordered = tuple(self._aloud.values())
        self._aloud.clear()
        self._from = now + MENTION_GAP_S
        return self.ordered

    def wake_at(self, now: float) -> float | None:
        """When the next ones may be said, if it is too soon now."""
        return self._from if self._aloud and self._from > now else None

    def send(self, notes: tuple[TaskProgressed, ...]) -> bool:
        """The model is about to be given these; False if that was taken back."""
        if self.ordered is not notes:
            return False
        self.ordered, self.sent = None, notes
        return True

    def drop(self, notes: tuple[TaskProgressed, ...]) -> None:
        """The model was not given these."""
        if self.ordered is notes or self.sent is notes:
            self.clear()

    def clear(self) -> None:
        """Whatever begins next is not a milestone."""
        self.ordered = self.sent = None

    def take_back(self) -> None:
        """What was not sent yet is not said any more."""
        self.ordered = None

    def begun(self) -> bool:
        """A response has begun; whether it says milestones."""
        begins = self.sent is not None
        self.clear()
        return begins


def progress_text(notes: Iterable[TaskProgressed], *, aloud: bool) -> str:
    """Return the text that tells a model how far tasks are."""
    said = " ".join(note.text for note in notes)
    if aloud:
        return (
            f"Background progress, not from the user: {said} Tell the user in one short sentence. "
            "Do not call a tool for it."
        )
    return f"Background progress, for your information only; do not answer this: {said}"
