"""The reader of a ledger file: looks at it, also while another process writes it, and changes nothing."""

from __future__ import annotations

import errno
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import SessionDamagedError, SessionStorageError, SessionVersionError
from ..journal.journal import LAYOUT, OPENED
from ..journal.lines import Line, scan
from ..paths import expanded
from .ledger_state import FORMAT, LedgerState, TaskRecord

__all__ = ["LedgerReading", "open_file", "read_ledger"]


@dataclass(slots=True)
class LedgerReading:
    """What a ledger said when it was read, and where to go on from.

    Attributes:
        state: All that was read.
        changed: The tasks that the entries of this reading are about, in the order of their last change.
        writer: The process that writes the ledger, as far as that can be told from outside, or None.
        anew: Whether it was read from its start: the first time, and after it was compacted or replaced.
    """

    state: LedgerState
    changed: list[TaskRecord]
    writer: int | None
    anew: bool
    _file: tuple[int, int]
    _end: int
    _next: int

    @property
    def tasks(self) -> list[TaskRecord]:
        """All tasks, oldest first."""
        return list(self.state.tasks.values())


def read_ledger(path: str | os.PathLike[str], after: LedgerReading | None = None) -> LedgerReading:
    """Read a ledger file without becoming its writer; a last line that is not complete yet is left for later.

    Args:
        path: The file.
        after: An earlier reading of the same file: only what is new is read, into the same state.

    Raises:
        SessionStorageError: If it cannot be read.
        SessionDamagedError: If it is no ledger, or was changed.
        SessionVersionError: If a newer version wrote it.
    """
    where = expanded(path)
    try:
        with open_file(where) as file:
            found = os.fstat(file.fileno())
            here = (found.st_dev, found.st_ino)
            go_on = after if after is not None and after._file == here and found.st_size >= after._end else None
            start = 0 if go_on is None else go_on._end
            file.seek(start)
            data = file.read()
    except OSError as error:
        reason = error.strerror or str(error)
        raise SessionStorageError(f"The ledger {where} cannot be read: {reason}. Name an existing file") from error
    whole = data[: data.rfind(b"\n") + 1]
    lines = scan(whole, str(where) if not start else f"{where} from byte {start} on", torn=False).lines
    state, expected = (LedgerState(), 0) if go_on is None else (go_on.state, go_on._next)
    changed: dict[str, TaskRecord] = {}
    for line in lines:
        _check(line, expected)
        expected += 1
        record = state.apply(line.entry)
        if record is not None:
            changed.pop(record.id, None)
            changed[record.id] = record
    return LedgerReading(state, list(changed.values()), _writer(where), not start, here, start + len(whole), expected)


def open_file(path: Path) -> BinaryIO:
    """Open a file to be read; what is none, as a pipe that would be waited for, is refused.

    Raises:
        OSError: If it cannot be read, or is no file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(errno.EISDIR, "Is a directory") if stat.S_ISDIR(mode) else OSError(errno.EINVAL, "it is no file")
    return os.fdopen(descriptor, "rb")


def _check(line: Line, expected: int) -> None:
    if line.seq != expected:
        raise SessionDamagedError(f"{line.place} has number {line.seq} where {expected} belongs: lines are missing")
    if line.entry["kind"] != OPENED:
        if expected == 0:
            raise SessionDamagedError(f"{line.place} does not begin a ledger; name the file that a manager writes")
        return
    name, version, layout = (line.entry.get(key) for key in ("format", "version", "layout"))
    if name != FORMAT.name:
        raise SessionDamagedError(f"{line.place} is of a {name} journal, and not of a task ledger")
    if type(version) is not int or type(layout) is not int:
        raise SessionDamagedError(f"{line.place} is not what begins a task ledger; restore it from a copy")
    if version > FORMAT.version or layout > LAYOUT:
        raise SessionVersionError(f"{line.place} was written by a newer version of Backchannel; upgrade it")


def _writer(path: Path) -> int | None:
    """Return the process that holds the ledger's lock file, if it lives; it is not asked, so it may not write."""
    try:
        number = int(path.with_name(path.name + ".lock").read_bytes()[:20])
    except (OSError, ValueError):
        return None
    if sys.platform == "win32":
        return number  # There a signal of 0 is Ctrl-C.
    try:
        os.kill(number, 0)
    except PermissionError:
        return number  # It lives, and is somebody else's.
    except (OSError, OverflowError):
        return None
    return number
