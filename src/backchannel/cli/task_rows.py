"""TaskRow: a task of a ledger as it is listed. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..notebook.static_html import duration
from ..tasks.ledger_state import TaskRecord

__all__ = ["STATUSES", "TaskRow", "as_json", "chosen", "counted", "row_of", "shown"]

STATUSES = ("running", "queued", "done", "failed", "timed_out", "cancelled", "lost")
_WORDS = {"queued": "waiting", "timed_out": "timed out"}
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class TaskRow:
    """What is said of one task. Texts are in one line, and harmless for a terminal.

    Attributes:
        status: Of the task; ``"lost"`` where the process that ran it is gone.
        standing: The same in words.
        fraction: How far it is, from 0 to 1; None where that is not known.
        elapsed: From start to end or until now, seconds; None before the start.
        told: ``"told"``, ``"to be told"``, or "" where nobody is to tell it.
        outcome: Its result, why there is none, or what it reported last.
    """

    id: str
    number: int
    label: str
    status: str
    standing: str
    fraction: float | None
    counts: str
    elapsed: float | None
    told: str
    outcome: str

    @property
    def time(self) -> str:
        """How long it ran, to be read."""
        return duration(self.elapsed)


def row_of(record: TaskRecord, now: float, *, alive: bool, numbers: Mapping[str, int]) -> TaskRow:
    """Return the row of a task.

    Args:
        now: Seconds since the epoch.
        alive: Whether the process that writes the ledger is there; what it ran is lost without it.
        numbers: The numbers of the ledger's tasks, by id.
    """
    status = _status(record, alive)
    done, total = _number(record.progress.get("done")), _number(record.progress.get("total"))
    fraction = 1.0 if status == "done" else None
    if status != "done" and done is not None and total:
        fraction = min(max(done / total, 0.0), 1.0)
    standing = _WORDS.get(status, status)
    if status == "running" and record.outside is not None:
        standing = "waits outside"
    again = ""
    if record.again is not None:
        number = numbers.get(record.again)
        again = "run again" if number is None else f"run again as task {number}"
    counts = "" if done is None or record.ended else f"{done:g}" + ("" if total is None else f" of {total:g}")
    return TaskRow(
        record.id,
        record.number,
        shown(record.label or record.tool),
        status,
        standing,
        fraction,
        counts,
        _elapsed(record, status, now),
        _told(record),
        shown("; ".join(part for part in (again, _outcome(record, status)) if part)),
    )


def as_json(record: TaskRecord, row: TaskRow) -> dict[str, Any]:
    """Return what programs get of a task: times in seconds since the epoch, texts as they are."""
    return {
        "id": record.id,
        "number": record.number,
        "tool": record.tool,
        "label": record.label,
        "arguments": record.arguments,
        "status": row.status,
        "outside": row.status == "running" and record.outside is not None,
        "created": record.created,
        "started": record.started,
        "finished": record.finished,
        "elapsed_s": None if row.elapsed is None else round(row.elapsed, 3),
        "done": record.progress.get("done"),
        "total": record.progress.get("total"),
        "message": record.progress.get("message") or "",
        "fraction": row.fraction,
        "announce": record.announce,
        "told": record.told,
        "owed": record.owed,
        "text": record.text,
        "error": record.error,
        "error_type": record.error_type,
        "reason": record.reason,
        "run_again_as": record.again,
    }


def counted(rows: Iterable[TaskRow]) -> str:
    """Return how many tasks there are of each kind: "2 running, 1 waiting, 40 done"."""
    count: dict[str, int] = {}
    for row in rows:
        count[row.status] = count.get(row.status, 0) + 1
    return ", ".join(f"{count[status]} {_WORDS.get(status, status)}" for status in STATUSES if status in count)


def chosen(rows: Sequence[TaskRow], room: int) -> Sequence[TaskRow]:
    """Return the rows that are shown where there is room for so many: what goes on first, then the newest."""
    if len(rows) <= room:
        return rows
    under_way = [row for row in rows if row.status in ("running", "queued")][:room]
    left = room - len(under_way)
    rest = [row for row in rows if row.status not in ("running", "queued")][-left:] if left > 0 else []
    return sorted((*under_way, *rest), key=lambda row: row.number)


def shown(text: str) -> str:
    """Return a text in one line, without what a terminal would obey or what cannot be seen."""
    if text.isascii() and text.isprintable():
        return text.strip()
    kept = "".join(character if unicodedata.category(character) not in _HIDDEN else " " for character in text)
    return " ".join(kept.split())


def _status(record: TaskRecord, alive: bool) -> str:
    if record.ended or alive or record.outside is not None or record.where.get("kind") == "dask":
        return record.status
    return "lost"


def _elapsed(record: TaskRecord, status: str, now: float) -> float | None:
    if record.started is None:
        return None
    if record.ended:
        return record.elapsed
    return max(now - record.started, 0.0) if status == "running" else None


def _told(record: TaskRecord) -> str:
    if record.told:
        return "told"
    return "to be told" if record.owned and record.announce != "never" else ""


def _outcome(record: TaskRecord, status: str) -> str:
    if record.ended:
        error = f"{record.error_type}: {record.error}" if record.error else record.error_type
        return (record.text or error or record.reason) if status == "done" else (error or record.reason or record.text)
    if status == "lost":
        return "the process that ran it has ended"
    return str(record.progress.get("message") or "")


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
