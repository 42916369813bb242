"""Reporting: what the body of a task says while it runs, how far it is and what it logs."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, cast

from ..events.values import encodable
from ..tools.text import cut
from .eta import Pace
from .lifecycle import Life
from .progress import Progress, plain_number

if TYPE_CHECKING:
    from .manager import AsyncToolManager
    from .task import Task

__all__ = ["LOG_LINES", "Reported"]

LOG_LINES = 100
"""Lines of a task's log that are kept, the newest."""

_LOG_LINE = 500


class _Report(NamedTuple):
    done: float | None = None
    total: float | None = None
    message: str = ""
    at: float = 0.0


_NOTHING = _Report()


class Reported:
    """The part of a `Task` that its body reports to."""

    __slots__ = ("_bar", "_pace", "_report", "log_lines")

    manager: AsyncToolManager
    life: Life

    def __init__(self) -> None:
        self.log_lines: deque[str] | None = None
        self._report = _NOTHING
        self._pace = Pace()
        self._bar: tuple[object, str] | None = None

    @property
    def progress(self) -> Progress:
        """How far it is."""
        done, total, message, at = self._report
        life = self.life
        eta = None
        if done is not None and total and life.state == "running" and life.started is not None:
            eta = self._pace.remaining_s(done, total, at, self.manager.clock(), life.started)
        return Progress(done, total, message, _fraction(life, done, total), eta)

    @property
    def fraction(self) -> float | None:
        """How far it is, from 0 to 1; None where that is unknown. Quicker than `progress`."""
        done, total, _, _ = self._report
        return _fraction(self.life, done, total)

    @property
    def logs(self) -> list[str]:
        """The newest lines of its log."""
        return list(self.log_lines) if self.log_lines is not None else []

    def report(self, done: float | None, total: float | None, message: str | None) -> None:
        """Take a report of the body; None leaves a value as it was. After the end it is ignored."""
        if self.life.state != "running":
            return
        last, done, total = self._report, plain_number(done), plain_number(total)
        if done is None:
            done, at = last.done, last.at
        else:
            at = self.manager.clock()
            pace = self._pace
            if pace.wants(at, done):
                self._pace = pace.add(at, done)
        self._report = _Report(
            done, last.total if total is None else total, last.message if message is None else encodable(message), at
        )
        for listener in self.manager.listeners["progressed"]:
            try:
                listener(cast("Task", self), "progressed")
            except Exception as error:  # noqa: BLE001 - a listener's fault must not end the body
                self.manager.log_fault("a listener", cast("Task", self), error)

    def log(self, text: str) -> None:
        """Add a line to the log."""
        if self.log_lines is None:
            self.log_lines = deque(maxlen=LOG_LINES)
        self.log_lines.append(cut(text, _LOG_LINE))
        self.manager.tell(cast("Task", self), "logged")

    def claim_bar(self, bar: object, label: str) -> bool:
        """Whether this `track` is the outermost, so that it drives the bar."""
        if self._bar is not None:
            return False
        self._bar = (bar, label)
        self._report = _Report(None, None, encodable(label), self._report.at)
        self._pace = Pace()
        return True

    def release_bar(self, bar: object) -> None:
        """The `track` that drives the bar has ended; the next one may."""
        if self._bar is not None and self._bar[0] is bar:
            self._bar = None

    def bar_label(self, inner: str) -> str:
        """Return the message for a `track` within another."""
        outer = self._bar[1] if self._bar is not None else ""
        return ", ".join(part for part in (outer, inner) if part)

    def restore_progress(self, done: float | None, total: float | None, message: str) -> None:
        """Take the last report that the ledger has."""
        self._report = _Report(plain_number(done), plain_number(total), encodable(message), self.manager.clock())

    def begin_again(self) -> None:
        """A further attempt begins: reports of the last one do not count."""
        self._report = _NOTHING
        self._pace = Pace()
        self._bar = None


def _fraction(life: Life, done: float | None, total: float | None) -> float | None:
    if life.state == "done":
        return 1.0
    if done is None or not total:
        return None
    fraction = done / total
    return fraction if 0 <= fraction <= 1 else 0.0 if fraction < 0 else 1.0
