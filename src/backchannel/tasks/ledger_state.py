"""Ledger state: what the entries of a task ledger say of its tasks. Pure; times are seconds since the epoch."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from ..events import TaskStatus
from ..journal import Entry, JournalFormat

__all__ = ["FORMAT", "KEPT", "LedgerState", "TaskRecord", "fold"]

FORMAT = JournalFormat("tasks")

KEPT = 1000
"""Ended tasks that a ledger keeps when it is compacted; those that are still to be told are kept besides."""

_HIGHEST = 2**53
_LATEST = 1e11
"""Seconds since the epoch, in the year 5138: what is later is no time."""
_ENDINGS = frozenset(get_args(TaskStatus)) - {"queued", "running"}


@dataclass(slots=True)
class TaskRecord:
    """What is written of one task.

    Attributes:
        id, number, tool, label: As of the task.
        arguments: By name, as JSON; what could not be written stands as text, see ``unwritten``.
        unwritten: Arguments that are not as they were, and why: ``"no JSON"``, ``"secret"`` or ``"too long"``.
        references: Names of arguments that are results of other tasks, as ``{"$task": id}``.
        where: Where it runs: ``kind`` is ``"thread"``, ``"coroutine"``, ``"process"``, ``"dask"``, ``"executor"`` or
            ``"outside"``; for Dask also how to find it on its cluster.
        options: With which options it was started, for people; the usual ones are left out.
        deferred: Whether its tool is deferred.
        owned: Whether an agent asked for it, or was to tell it.
        announce: When a conversation tells its result.
        created, started, finished: Seconds since the epoch; None where that is not yet.
        status: As it was written last. A task that its process did not live to end is still ``queued`` or ``running``.
        progress: Done, total, message: as it was written last.
        outside: How its value comes after its function has returned: ``poll`` (whether it is asked for), ``every_s``
            and perhaps a ``handle`` by which another process can ask for it; None while the function runs.
        tokens: SHA-256 of the tokens by which it may be resolved, hexadecimal.
        elapsed: From its start to its end, seconds.
        text: What a model is told of the result, or why there is none; bounded.
        whole: Whether ``text`` is all of the result.
        reason: Why it was cancelled, timed out or lost.
        error_type, error: What it raised.
        has_value, value: What it returned, where that was written: small plain JSON.
        announced: Whether an agent was given the result; ``told``: whether it is known to have told it.
        again: Id of the task that runs it again, or None.
        superseded_by: Id of a later task for the same call that there was when it ended, or None.
        seen: When something was last written of its run, seconds since the epoch.
        agent: Id of the agent that asked for it, or "".
    """

    id: str
    number: int
    tool: str
    label: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    unwritten: dict[str, str] = field(default_factory=dict)
    references: list[str] = field(default_factory=list)
    where: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    deferred: bool = False
    owned: bool = False
    announce: str = "when_free"
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    status: TaskStatus = "queued"
    progress: dict[str, Any] = field(default_factory=dict)
    outside: dict[str, Any] | None = None
    tokens: list[str] = field(default_factory=list)
    elapsed: float = 0.0
    text: str = ""
    whole: bool = True
    reason: str = ""
    error_type: str = ""
    error: str = ""
    has_value: bool = False
    value: Any = None
    announced: bool = False
    told: bool = False
    again: str | None = None
    seen: float = 0.0
    superseded_by: str | None = None
    agent: str = ""

    @property
    def ended(self) -> bool:
        """Whether its end is written."""
        return self.finished is not None

    @property
    def owed(self) -> bool:
        """Whether it has ended and an agent is still to tell it."""
        return self.ended and self.owned and not self.told and self.announce != "never"

    def entries(self) -> Iterator[Entry]:
        """Yield the fewest entries that say the same."""
        yield {
            "kind": "task.created",
            "id": self.id,
            "number": self.number,
            "tool": self.tool,
            "label": self.label,
            "arguments": self.arguments,
            **({"unwritten": self.unwritten} if self.unwritten else {}),
            **({"references": self.references} if self.references else {}),
            "where": self.where,
            **({"options": self.options} if self.options else {}),
            "deferred": self.deferred,
            "owned": self.owned,
            **({"agent": self.agent} if self.agent else {}),
            "announce": self.announce,
            "at": self.created,
            **({"tokens": self.tokens} if self.tokens else {}),
        }
        if self.started is not None:
            yield {"kind": "task.started", "id": self.id, "at": self.started}
        if self.outside is not None:
            yield {"kind": "task.deferred", "id": self.id, **self.outside}
        if self.progress:
            yield {"kind": "task.progressed", "id": self.id, "at": self.seen, **self.progress}
        if self.announced:
            yield {"kind": "task.announced", "id": self.id}
        if self.ended:
            yield {
                "kind": "task.ended",
                "id": self.id,
                "at": self.finished,
                "status": self.status,
                "elapsed": self.elapsed,
                "text": self.text,
                "whole": self.whole,
                "reason": self.reason,
                **({"error_type": self.error_type, "error": self.error} if self.error_type else {}),
                **({"value": self.value} if self.has_value else {}),
                "owned": self.owned,
                "told": self.told,
                **({"superseded_by": self.superseded_by} if self.superseded_by else {}),
            }
        elif self.told:
            yield {"kind": "task.told", "id": self.id}
        if self.again is not None:
            yield {"kind": "task.run_again", "id": self.id, "by": self.again}


class LedgerState:
    """The tasks of a ledger, after the entries that were applied so far.

    An entry that does not fit (its task is not known, has ended, or the entry lacks something) changes nothing, so
    that every beginning of a ledger, and one with gaps, says something that is right as far as it goes.

    Attributes:
        tasks: By id, oldest first.
        highest: The highest number that a task was given.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, TaskRecord] = {}
        self.highest = 0

    def apply(self, entry: Mapping[str, Any]) -> TaskRecord | None:
        """Take an entry; returns the task that it is about, as it is now, or None where it is about none."""
        kind = entry.get("kind")
        if kind == "task.numbered":
            self._number(entry.get("highest"))
            return None
        task_id = entry.get("id")
        if not isinstance(task_id, str):
            return None
        if kind == "task.created":
            return self._created(task_id, entry)
        record = self.tasks.get(task_id)
        if record is None:
            return None
        match kind:
            case "task.told":
                record.told = bool(entry.get("told", True))
            case "task.announced":
                record.announced = True
            case "task.run_again":
                record.again = _text(entry.get("by")) or record.again
            case "task.token":
                _add(record.tokens, entry.get("sha256"))
            case "task.ended":
                _ended(record, entry)
            case "task.started" | "task.placed" | "task.deferred" | "task.progressed" if not record.ended:
                record.seen = max(record.seen, _time(entry.get("at")) or 0.0)
                _went_on(record, str(kind), entry)
        return record

    def entries(self) -> Iterator[Entry]:
        """Yield the fewest entries that say the same."""
        yield {"kind": "task.numbered", "highest": self.highest}
        for record in self.tasks.values():
            yield from record.entries()

    def prune(self, kept: int = KEPT) -> int:
        """Forget the ended tasks but for the ``kept`` last and those still to be told; returns how many."""
        ended = sorted((record for record in self.tasks.values() if record.finished is not None), key=_finished)
        forgotten = [record for record in ended[: max(len(ended) - kept, 0)] if not record.owed]
        for record in forgotten:
            del self.tasks[record.id]
        return len(forgotten)

    def _created(self, task_id: str, entry: Mapping[str, Any]) -> TaskRecord | None:
        number, tool = entry.get("number"), entry.get("tool")
        if task_id in self.tasks or _number(number) is None or type(number) is not int or not isinstance(tool, str):
            return self.tasks.get(task_id)
        self._number(number)
        record = self.tasks[task_id] = TaskRecord(
            task_id,
            number,
            tool,
            _text(entry.get("label")) or tool,
            _dict(entry.get("arguments")),
            _dict(entry.get("unwritten")),
            _list(entry.get("references")),
            _dict(entry.get("where")),
            _dict(entry.get("options")),
            bool(entry.get("deferred")),
            bool(entry.get("owned")),
            _text(entry.get("announce")) or "when_free",
            _time(entry.get("at")) or 0.0,
            tokens=_list(entry.get("tokens")),
            seen=_time(entry.get("at")) or 0.0,
            agent=_text(entry.get("agent")),
        )
        return record

    def _number(self, number: object) -> None:
        if type(number) is int and self.highest < number < _HIGHEST:
            self.highest = number


def fold(entries: Iterable[Mapping[str, Any]]) -> LedgerState:
    """Return what these entries, from the first on, say."""
    state = LedgerState()
    for entry in entries:
        state.apply(entry)
    return state


def _ended(record: TaskRecord, entry: Mapping[str, Any]) -> None:
    status, at = entry.get("status"), _time(entry.get("at"))
    if record.ended or at is None or not isinstance(status, str) or status not in _ENDINGS:
        return
    record.finished, record.status = at, cast("TaskStatus", status)
    record.elapsed = _time(entry.get("elapsed")) or 0.0
    record.text, record.whole = _text(entry.get("text")), bool(entry.get("whole", True))
    record.reason = _text(entry.get("reason"))
    record.error_type, record.error = _text(entry.get("error_type")), _text(entry.get("error"))
    record.has_value, record.value = "value" in entry, entry.get("value")
    record.owned = record.owned or bool(entry.get("owned"))
    record.agent = record.agent or _text(entry.get("agent"))
    record.told = record.told or bool(entry.get("told"))
    record.superseded_by = _text(entry.get("superseded_by")) or None


def _went_on(record: TaskRecord, kind: str, entry: Mapping[str, Any]) -> None:
    if kind == "task.placed":
        record.where = _dict(entry.get("where")) or record.where
        return
    if kind == "task.progressed":
        record.progress = {
            "done": _number(entry.get("done")),
            "total": _number(entry.get("total")),
            "message": _text(entry.get("message")),
        }
        return
    record.status = "running"
    if kind == "task.started":
        record.started = _time(entry.get("at")) if record.started is None else record.started
    else:
        record.outside = {name: entry[name] for name in ("poll", "every_s", "handle") if name in entry}
        if _time(record.outside.get("every_s", 0.0)) is None:
            del record.outside["every_s"]


def _add(tokens: list[str], token: object) -> None:
    if isinstance(token, str) and token not in tokens:
        tokens.append(token)


def _finished(record: TaskRecord) -> float:
    return record.finished or 0.0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _time(value: object) -> float | None:
    number = _number(value)
    return None if number is None or abs(number) > _LATEST else float(number)


def _number(value: object) -> float | None:
    """Return a number that can be counted with; None for anything else, as a damaged line may hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) <= sys.float_info.max else None


def _dict(value: object) -> dict[str, Any]:
    return value if type(value) is dict else dict(value) if isinstance(value, Mapping) else {}


def _list(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if value and isinstance(value, (list, tuple)) else []
