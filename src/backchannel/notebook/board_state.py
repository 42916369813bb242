"""BoardRows and RowBudget: the rows of a board, what a page lacks of them, and how often to say so. Pure.

Rows are state, not history: a message holds the newest of all that a page has not acknowledged, so nothing that is
lost is missed for long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .pages import Page, Pages
from .wire import Rows

__all__ = ["ACTIVE", "BoardRows", "RowBudget"]

ACTIVE = frozenset({"queued", "running"})
_MOVING = ("done", "total", "fraction", "eta_s", "elapsed_s", "message")


@dataclass(slots=True)
class _Row:
    """``whole`` and ``moved`` are the versions in which the row last changed in any field, and in its progress."""

    data: dict[str, Any]
    whole: int
    moved: int


class BoardRows:
    """Rows by task id, oldest first, and how far each page has them.

    Attributes:
        version: Number of the last change that was sent or is to be sent.
    """

    RESEND_S = 0.25
    MAX_ROWS = 1000

    def __init__(self) -> None:
        self.version = 0
        self._rows: dict[str, _Row] = {}
        self._pages: Pages[Page] = Pages()
        self._sent = 0
        self._active: set[str] = set()
        self._ended: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows, oldest first. Safe to read from any thread; the dicts are never changed, only replaced."""
        return [row.data for row in list(self._rows.values())]

    @property
    def active(self) -> int:
        """How many rows are queued or running."""
        return len(self._active)

    @property
    def lab(self) -> bool:
        """Whether one of the pages runs our JupyterLab extension."""
        return self._pages.lab

    @property
    def keeps(self) -> bool:
        """Whether one of the pages applies `wire.Output` to the notebook itself."""
        return self._pages.keeps

    @property
    def pages(self) -> list[str]:
        """The pages that are not forgotten."""
        return self._pages.names

    def remark(self, name: str) -> tuple[str, bool] | None:
        """A row's note, and whether it waits; None if there is no such row."""
        row = self._rows.get(name)
        return None if row is None else (row.data.get("note", ""), row.data.get("waits", False))

    def put(self, snapshot: Mapping[str, Any]) -> None:
        """Add a row or replace it by a whole new one (`backchannel.notebook.reruns.Reruns.row`)."""
        name, old = snapshot["id"], self._rows.get(snapshot["id"])
        if old is not None and old.data == snapshot:
            return
        self.version += 1
        self._rows[name] = _Row(dict(snapshot), self.version, self.version)
        if snapshot["status"] in ACTIVE:
            self._active.add(name)
            self._ended.pop(name, None)
        else:
            self._active.discard(name)
            self._ended[name] = None
        if len(self._rows) > self.MAX_ROWS:
            self._drop_ended()

    def move(
        self,
        name: str,
        done: float | None,
        total: float | None,
        fraction: float | None,
        eta_s: float | None,
        elapsed_s: float,
        message: str,
    ) -> bool:
        """Change a row's progress; returns False for a row that is not there."""
        row = self._rows.get(name)
        if row is None:
            return False
        self.version += 1
        row.data = {
            **row.data,
            "done": done,
            "total": total,
            "fraction": fraction,
            "eta_s": eta_s,
            "elapsed_s": elapsed_s,
            "message": message,
        }
        row.moved = self.version
        return True

    def hello(self, client: str, now: float, *, lab: bool = False, keeps: bool = False) -> None:
        """A page shows the board, for the first time or again; it is given `rows` and `version`."""
        self._pages.add(client, Page(lab, keeps, since=now, sent=now, acked=0))

    def ack(self, client: str, version: int, now: float) -> None:
        """A page has all changes up to ``version``. Numbers from the future are ignored."""
        if version > self.version:
            return
        page = self._pages.get(client)
        if page is None:
            page = self._pages.add(client, Page(lab=False, keeps=False, since=now, sent=now, acked=0))
        page.forgotten, page.since, page.acked = False, now, max(page.acked, version)

    def due(self, now: float) -> bool:
        """Return whether `message` has something to say now. Pages that are silent for long are forgotten here."""
        self._pages.forget_silent(now, self._sent)
        at = self.next_due()
        return at is not None and at <= now

    def next_due(self) -> float | None:
        """When a page is to be told something; 0.0 for at once, None while every page has everything."""
        if self._sent < self.version:
            return 0.0
        waiting = [page.sent + self.RESEND_S for _, page in self._pages if page.acked < self.version]
        return min(waiting, default=None)

    def message(self, now: float) -> Rows:
        """Return one message with everything that any page lacks, for all pages."""
        base = min((page.acked for _, page in self._pages), default=self._sent)
        rows: list[dict[str, Any]] = []
        moves: list[list[Any]] = []
        for name, row in self._rows.items():
            if row.whole > base:
                rows.append(row.data)
            elif row.moved > base:
                moves.append([name, *(row.data[key] for key in _MOVING)])
        self._pages.sending(now, self._sent)
        for _, page in self._pages:
            page.sent = now
        self._sent = self.version
        return Rows("", self.version, rows, moves)

    def _drop_ended(self) -> None:
        """Forget rows of what ended longest ago, if all pages have them."""
        base = min((page.acked for _, page in self._pages), default=self.version)
        while len(self._rows) > self.MAX_ROWS and self._ended:
            name = next(iter(self._ended))
            if self._rows[name].whole > base:
                return
            del self._rows[name], self._ended[name]


class RowBudget:
    """How often boards may speak: ``messages`` a second in all, and ``rows`` a second within them."""

    def __init__(self, messages: float = 30.0, rows: float = 6000.0) -> None:
        self._gap = 1.0 / messages
        self._row = 1.0 / rows
        self._free = 0.0

    def next_free(self) -> float:
        """When the next message may go."""
        return self._free

    def spend(self, rows: int, now: float) -> None:
        """Account for a message with this many rows."""
        self._free = now + max(self._gap, rows * self._row)
