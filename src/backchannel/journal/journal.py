"""What a journal is, wherever it is kept: numbered entries of one format, written by one writer at a time."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from ..errors import InvalidInputError, SessionDamagedError, SessionError, SessionVersionError
from .lines import Entry, Line, encode_line

__all__ = ["Journal", "JournalFormat", "Store"]

LAYOUT = 1
OPENED = "journal.opened"


@dataclass(frozen=True, slots=True)
class JournalFormat:
    """What the entries of a journal mean.

    Args:
        name: Whose entries they are, e.g. "session".
        version: The newest version of their meaning that this program knows.
        migrations: By version, what makes its entries those of the next version.
    """

    name: str
    version: int = 1
    migrations: Mapping[int, Callable[[list[Entry]], list[Entry]]] = field(default_factory=dict)


class Store(Protocol):
    """Where the lines of one journal are kept. `Journal` sees to it that one thread at a time uses it."""

    @property
    def location(self) -> str:
        """The journal's place, for errors."""
        ...

    @property
    def lines(self) -> int:
        """How many lines it holds."""
        ...

    @property
    def exclusive(self) -> bool:
        """Whether others cannot become the writer before ``release``; else they are noticed when they write."""
        ...

    @property
    def parts(self) -> int:
        """In how many parts the journal is kept; many are slow to read."""
        ...

    def open(self) -> Sequence[Line]:
        """Become the writer and return all lines; cut off what a crash left incomplete."""
        ...

    def acquire(self) -> None:
        """Become the writer again after ``release``; a conflict if anything has changed meanwhile."""
        ...

    def append(self, line: bytes) -> None:
        """Take a line; all of it or, with an error, nothing."""
        ...

    def replace(self, lines: bytes) -> None:
        """Put these lines in place of all others, atomically."""
        ...

    def drain(self) -> None:
        """Wait until nothing is queued, or an error is due; from any thread, while others append."""
        ...

    def flush(self) -> None:
        """Return when all that was taken survives a loss of power."""
        ...

    def release(self) -> None:
        """Be the writer no longer. Safe to call at any time."""
        ...


class Journal:
    """An append-only record; safe to use from several threads.

    What ``append`` has returned from survives a crash of this process (in S3: once it is sent, which takes a moment);
    what ``flush`` or ``close`` has returned from survives a loss of power.

    Args:
        store: Where it is kept.
        format: What its entries mean.
    """

    def __init__(self, store: Store, format: JournalFormat) -> None:
        self._store = store
        self._format = format
        self._lock = threading.RLock()
        self._state: str = "new"
        self._epoch = 0
        self._marked = False
        self._outdated = False

    @property
    def location(self) -> str:
        """Where it is kept, for people."""
        return self._store.location

    @property
    def count(self) -> int:
        """How many lines it has."""
        return self._store.lines

    @property
    def parts(self) -> int:
        """In how many parts it is kept; many are slow to read."""
        return self._store.parts

    @property
    def outdated(self) -> bool:
        """Whether its entries were migrated: it must be compacted before anything is appended."""
        return self._outdated

    def open(self) -> list[Entry]:
        """Become the writer, and return the entries so far, in the newest version of their format.

        Raises:
            SessionConflictError: If someone else is the writer.
            SessionDamagedError: If something is missing or was changed.
            SessionVersionError: If it was written by a newer version.
            SessionStorageError: If it cannot be read.
        """
        with self._lock:
            if self._state != "new":
                raise SessionError(f"{self.location} is open already; use a new Journal to read it again")
            lines = self._store.open()
            try:
                entries = self._check(lines)
            except BaseException:
                self._store.release()
                raise
            self._state = "writing"
            return entries

    def append(self, entry: Mapping[str, Any]) -> None:
        """Take an entry: a JSON object with a ``kind``. Bytes and tuples may be in it; tuples come back as lists.

        Raises:
            InvalidInputError: If it has no kind or cannot be JSON.
            SessionConflictError: If someone else has written the journal.
            SessionStorageError: If it could not be written, or one before it could not; it was not taken.
        """
        with self._lock:
            if str(entry.get("kind")).startswith("journal."):
                raise InvalidInputError(f"the kind {entry['kind']!r} is the journal's own; use another name")
            line = encode_line(self.count + (not self._marked), entry)
            self._write()
            if self._outdated:
                raise SessionError(f"{self.location} holds entries of an older version; compact it before appending")
            if not self._marked:
                self._begin()
            self._store.append(line)

    def compact(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Put these entries in place of all others: either all of it happens or nothing.

        Raises:
            SessionConflictError: If someone else has written the journal.
            SessionStorageError: If it could not be written.
        """
        with self._lock:
            self._write()
            self._epoch += 1
            lines = [self._opening(), *entries]
            self._marked = False  # Until it is known whether it happened.
            self._store.replace(b"".join(encode_line(seq, entry) for seq, entry in enumerate(lines)))
            self._marked, self._outdated = True, False

    def flush(self) -> None:
        """Return when all entries survive a loss of power.

        Raises:
            SessionConflictError: If someone else has written the journal.
            SessionStorageError: If they cannot be written.
        """
        self._store.drain()
        with self._lock:
            if self._state == "writing":
                self._store.flush()

    def release(self) -> None:
        """Flush, and let others write. The next ``append`` takes it up again, unless someone else has written."""
        self._store.drain()
        with self._lock:
            if self._state == "writing":
                try:
                    self._store.flush()
                finally:
                    self._state = "released"
                    self._store.release()

    def close(self) -> None:
        """Flush and let go for good. Safe to call twice."""
        self._store.drain()
        with self._lock:
            # Not by `release`: an entry that came right after it would take the journal up again.
            writing, self._state = self._state == "writing", "closed"
            if writing:
                try:
                    self._store.flush()
                finally:
                    self._store.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def claim(self) -> None:
        """Become the writer, as ``append`` does by itself, and be known as that to others at once.

        Raises:
            SessionConflictError: If someone else is the writer, or was since this one was.
            SessionStorageError: If it cannot be written.
        """
        with self._lock:
            self._write()
            if not self._store.exclusive and not self._outdated:
                self._begin()
        self.flush()

    def _write(self) -> None:
        if self._state == "released":
            self._store.acquire()
            self._state = "writing"
        elif self._state != "writing":
            raise SessionError(
                f"{self.location} is {'closed' if self._state == 'closed' else 'not open'}; open a new Journal"
            )

    def _begin(self) -> None:
        self._epoch += 1
        self._store.append(encode_line(self.count, self._opening()))
        self._marked = True

    def _opening(self) -> Entry:
        return {
            "kind": OPENED,
            "layout": LAYOUT,
            "format": self._format.name,
            "version": self._format.version,
            "epoch": self._epoch,
            "writer": secrets.token_hex(4),
        }

    def _check(self, lines: Sequence[Line]) -> list[Entry]:
        entries: list[Entry] = []
        version = self._format.version
        for number, line in enumerate(lines):
            opening = line.entry["kind"] == OPENED
            if line.seq != number or (number == 0 and not opening):
                raise SessionDamagedError(
                    f"{line.place} has number {line.seq} where {number} belongs: lines are missing, doubled, or from "
                    "elsewhere. Nothing was changed. Restore it from a copy, or move it away to begin anew"
                )
            if not opening:
                entries.append(line.entry)
                continue
            written = self._opened(line)
            version = written if number == 0 else version
        while version < self._format.version:
            if version not in self._format.migrations:
                raise SessionVersionError(
                    f"{self.location} holds entries of {self._format.name} version {version}, which this version of "
                    "Backchannel cannot read any more; open it once with a version in between"
                )
            entries = self._format.migrations[version](entries)
            version, self._outdated = version + 1, True
        return entries

    def _opened(self, line: Line) -> int:
        """Check an entry that a writer began with, and return the version that it wrote."""
        entry = line.entry
        layout, name, version, epoch = (entry.get(key) for key in ("layout", "format", "version", "epoch"))
        if not (isinstance(layout, int) and isinstance(version, int) and isinstance(epoch, int)):
            raise SessionDamagedError(f"{line.place} is not what begins a journal; restore it from a copy")
        if layout > LAYOUT or (name == self._format.name and version > self._format.version):
            raise SessionVersionError(
                f"{line.place} was written by a newer version of Backchannel ({name} {version}, layout {layout}; known "
                f"are {self._format.name} {self._format.version}, layout {LAYOUT}). Upgrade Backchannel, or use "
                "another place"
            )
        if name != self._format.name:
            raise SessionDamagedError(f"{line.place} is of a {name} journal, not of a {self._format.name} journal")
        if epoch <= self._epoch:
            raise SessionDamagedError(
                f"{line.place} begins writer {epoch} after writer {self._epoch}: two have written at the same time. "
                "Restore it from a copy, or keep the lines before it and move the rest away"
            )
        self._epoch = epoch
        return version
