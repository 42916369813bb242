"""Ledger: the append-only record of a manager's tasks, from which the next process goes on."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError, SessionConflictError
from ..journal import Entry, FileStore, Journal, Store
from ..tools.forks import watch_forks
from ..tools.text import error_text
from ..tools.threads import WorkerThreads
from .ledger_entries import created_entry, ended_entry, progress_entry
from .ledger_state import FORMAT, KEPT, LedgerState, fold
from .timers import Timers

if TYPE_CHECKING:
    from .deferred import Deferred
    from .task import Task

__all__ = ["Ledger", "token_hash"]

_log = logging.getLogger(__name__)

PROGRESS_S = 2.0
"""Shortest time between two entries on the progress of one task, seconds."""

_TEND_S = 1.0
_MOST_KEPT_BACK = 10_000
_SPARE_LINES = 2000
_MANY_PARTS = 200

_timers = Timers()
_threads = WorkerThreads(4, "backchannel-ledger")


def token_hash(token: str) -> str:
    """Return what is written of a token: it cannot be turned back."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Ledger:
    """The record of one manager's tasks, in a file or in S3; safe to use from several threads.

    What cannot be written (a full disk) is kept and written later; the tasks go on, and the log has one warning.

    Args:
        where: The file, made for its owner only if there is none, or where a journal is kept, such as
            `backchannel.journal.S3Store`.
        now: The time, seconds since the epoch.

    Raises:
        InvalidInputError: If it is no place for a ledger.

    Attributes:
        state: What the ledger says; None before it was opened.
        failure: Why the newest entries could not be written; None while all is well.
    """

    def __init__(self, where: str | os.PathLike[str] | Store, *, now: Callable[[], float] = time.time) -> None:
        if isinstance(where, str) and "://" in where:
            raise InvalidInputError(
                f"ledger={where!r:.200} is no path; for S3 give backchannel.journal.S3Store(client, bucket, prefix)"
            )
        if isinstance(where, (str, os.PathLike)):
            if not os.fspath(where):
                raise InvalidInputError("ledger='' names no file; give a path such as 'tasks.jsonl'")
            self._store: Store = FileStore(where)
        elif all(hasattr(where, name) for name in ("append", "replace", "drain", "flush", "release")):
            self._store = where
        else:
            raise InvalidInputError(
                f"ledger={where!r:.100} is no place for a ledger: give a path, or a store of backchannel.journal"
            )
        self.now = now
        self.state: LedgerState | None = None
        self.failure: Exception | None = None
        self._journal = Journal(self._store, FORMAT)
        self.after_fork()
        watch_forks(self)
        self._backlog: deque[Entry] = deque()
        self._behind = False
        self._refused = False
        self._resting = False
        self._closed = False
        self._moved: set[Task] = set()
        self._progress_at: dict[str, float] = {}
        self._scheduled = False
        self._dirty = False
        self._compact_at = 0
        self._process = os.getpid()

    def after_fork(self) -> None:
        """This is a forked child, which writes nothing, or the beginning."""
        self._lock = threading.RLock()

    @property
    def location(self) -> str:
        """Where it is kept, for people."""
        return self._store.location

    def __repr__(self) -> str:
        return f"<Ledger {self.location}>"

    def open(self) -> LedgerState:
        """Become the writer, and return what the ledger says. Nothing is written yet.

        Raises:
            InvalidInputError: If it was opened before.
            SessionConflictError: If another manager, here or in another process, writes it.
            SessionDamagedError: If something is missing or was changed.
            SessionVersionError: If it was written by a newer version.
            SessionStorageError: If it cannot be read.
        """
        with self._lock:
            if self.state is not None:
                raise InvalidInputError(f"{self!r} has a manager already; give each manager a ledger of its own")
            try:
                entries = self._journal.open()
            except SessionConflictError:
                # The one that holds it may be a manager that nobody has any more.
                gc.collect()
                entries = self._journal.open()
            try:
                self.state = fold(entries)
                self._journal.claim()
            except BaseException:
                self._journal.close()
                raise
            live = sum(1 for _ in self.state.entries())
            self._compact_at = 2 * live + _SPARE_LINES
            return self.state

    # What happened

    def created(self, task: Task) -> None:
        """A task was asked for."""
        if task.recorded:
            return
        # Without the lock: the text of an argument is the user's code.
        entry = created_entry(task, self._wall(task, task.created))
        with self._lock:
            if not task.recorded:
                task.recorded = True
                self._write(entry)

    def noted(self, task: Task, kind: str) -> None:
        """A change of a task, as the manager's listeners are told of it."""
        if kind == "progressed":
            self._moved.add(task)
            if not self._scheduled:
                self._later()
            return
        self.created(task)
        if kind == "started":
            self._write({"kind": "task.started", "id": task.id, "at": self._wall(task, task.started)})
        elif kind == "told":
            self._write({"kind": "task.told", "id": task.id, **({} if task.delivered else {"told": False})})
        elif kind == "announced":
            self._write({"kind": "task.announced", "id": task.id})

    def ended(self, task: Task) -> None:
        """A task has come to its end."""
        self.created(task)
        if task.progress.done is not None or task.progress.message:
            self._write_moved(task)
        self._write(ended_entry(task, self._wall(task, task.finished)))
        self._progress_at.pop(task.id, None)
        self._dirty = True
        if not self._scheduled:
            self._later()

    def placed(self, task: Task, where: Mapping[str, Any]) -> None:
        """A task is where another process can find it."""
        self.created(task)
        self._write({"kind": "task.placed", "id": task.id, "where": dict(where)})

    def deferred(self, task: Task, deferred: Deferred) -> None:
        """A task's value comes from elsewhere."""
        self.created(task)
        entry: Entry = {"kind": "task.deferred", "id": task.id, "poll": deferred.poll is not None}
        if deferred.poll is not None:
            entry["every_s"] = deferred.every_s
        if deferred.handle is not None:
            entry["handle"] = deferred.handle
        self._write(entry)

    def token(self, task: Task, token: str) -> None:
        """A task has a token: its hash is written."""
        self.created(task)
        self._write({"kind": "task.token", "id": task.id, "sha256": token_hash(token)})

    def run_again(self, task: Task, again: Task) -> None:
        """A task was run again, as another one."""
        self.created(task)
        self._write({"kind": "task.run_again", "id": task.id, "by": again.id})

    def goes_on(self, task: Task) -> bool:
        """Whether the task can come to its end although this process ends, as far as is written."""
        record = None if self.state is None else self.state.tasks.get(task.id)
        if record is None or self.failure is not None:
            return False
        outside = record.outside
        if outside is not None:
            return not outside.get("poll") or "handle" in outside
        return record.where.get("kind") == "dask" and "key" in record.where

    # Keeping

    def flush(self) -> None:
        """Return when all that was written survives a loss of power, or ``failure`` says why it does not."""
        if self.state is None or self._closed or self._process != os.getpid():
            return
        with self._lock:
            self._drain()
            self._dirty = False
        try:
            self._journal.flush()
        except Exception as error:  # noqa: BLE001 - a store may raise anything, and the tasks go on
            self._failed(error)

    def release(self) -> None:
        """Flush, and let another manager write it; an entry that comes later is written if nobody else has."""
        self._let_go(self._journal.release, closed=False)

    def close(self) -> None:
        """Flush and let go for good. Safe to call twice."""
        self._let_go(self._journal.close, closed=True)

    def _let_go(self, how: Callable[[], None], *, closed: bool) -> None:
        if self.state is None or self._closed or self._process != os.getpid():
            return
        with self._lock:
            self._write_progress(at_once=True)
            self._drain()
            self._resting, self._closed = True, closed
        try:
            how()
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)

    def _wall(self, task: Task, at: float | None) -> float:
        """Return a time on the manager's clock as seconds since the epoch."""
        clock = task.manager.clock()
        return round(self.now() - (clock - (clock if at is None else at)), 3)

    def _write(self, entry: Entry) -> None:
        if self._refused or self._closed or self.state is None or self._process != os.getpid():
            return
        with self._lock:
            self.state.apply(entry)
            self._backlog.append(entry)
            self._drain()
            if self._resting and self.failure is None:
                self._let_go(self._journal.release, closed=False)

    def _drain(self) -> None:
        """Write what was not written yet, in order."""
        backlog = self._backlog
        try:
            if self._behind:
                self._compact()
            while backlog:
                try:
                    self._journal.append(backlog[0])
                except InvalidInputError as error:
                    _log.error("an entry of the task ledger %s could not be written: %s", self.location, error)
                backlog.popleft()
        except Exception as error:  # noqa: BLE001 - whatever it is, the tasks go on
            self._failed(error)
            return
        if self.failure is not None:
            self.failure = None
            _log.info("the task ledger %s is written again, with all that was kept back", self.location)

    def _failed(self, error: Exception) -> None:
        with self._lock:
            if self.failure is None:
                _log.warning(
                    "the task ledger %s cannot be written, so a restart may not know the newest of its tasks, which "
                    "go on: %s",
                    self.location,
                    error_text(error, 1000),
                )
            self.failure = error
            if isinstance(error, SessionConflictError):
                self._refused = True
                self._backlog.clear()
            elif len(self._backlog) > _MOST_KEPT_BACK:
                # All of it is in the state, which is then written anew.
                self._behind = True
                self._backlog.clear()

    # Later, in a thread of its own

    def _later(self) -> None:
        self._scheduled = True
        with contextlib.suppress(RuntimeError):  # the interpreter ends, and with it all is written
            _timers.after(_TEND_S, lambda: _threads.submit(self._tend))

    def _tend(self) -> None:
        self._scheduled = False
        self._write_progress()
        with self._lock:
            if not self._resting and (self._is_mostly_dead() or self._journal.parts > _MANY_PARTS):
                with contextlib.suppress(Exception):  # it is tried again, and the entries are written anyhow
                    self._compact()
        if self._dirty:
            self.flush()
        if self._moved and not self._scheduled:
            self._later()

    def _write_progress(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        # One by one: the set must stay the same object, or a report that comes meanwhile is lost.
        for task in [self._moved.pop() for _ in range(len(self._moved))]:
            if task.done():
                continue
            if not at_once and now - self._progress_at.get(task.id, -PROGRESS_S) < PROGRESS_S:
                self._moved.add(task)
                continue
            self._progress_at[task.id] = now
            self._write_moved(task)

    def _write_moved(self, task: Task) -> None:
        try:
            self.created(task)
            self._write(progress_entry(task, self.now()))
        except Exception as error:  # noqa: BLE001 - what one task reported holds up neither its end nor the others
            _log.error("the progress of task %s was not written to %s: %s", task.id, self.location, error_text(error))

    def _is_mostly_dead(self) -> bool:
        count = self._journal.count
        if count <= self._compact_at or self.state is None:
            return False
        ended = sum(record.ended for record in self.state.tasks.values())
        live = 3 * (len(self.state.tasks) - ended) + 2 * min(ended, KEPT)
        self._compact_at = count + _SPARE_LINES
        return count > 2 * live + _SPARE_LINES

    def _compact(self) -> None:
        if self.state is None or self._refused or self._closed or self._process != os.getpid():
            return
        self._compact_at = 2 * self._journal.count + _SPARE_LINES
        self.state.prune()
        self._journal.compact(self.state.entries())
        self._backlog.clear()
        self._behind = False
        self._compact_at = 2 * self._journal.count + _SPARE_LINES
