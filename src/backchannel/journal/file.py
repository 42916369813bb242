"""A journal in a file. Readable by its owner only."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import SessionConflictError, SessionDamagedError, SessionError, SessionStorageError
from ..paths import expanded
from .lines import Line, scan
from .lock import FileLock

if sys.platform != "win32":
    import fcntl

__all__ = ["FileStore"]

logger = logging.getLogger(__name__)

_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_TAIL = 64


class FileStore:
    """Keeps a journal in one file; beside it a ``.lock`` that says who writes.

    Args:
        path: The file; ``~`` is the home directory. It and its directories are made when needed, for their owner only,
            and a file that others may read is closed to them.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._descriptor: int | None = None  # first, for __del__
        self._path = Path(os.path.abspath(expanded(path)))
        self._lock = FileLock(self._path.with_name(self._path.name + ".lock"), self.location)
        self._end = 0
        self._lines = 0
        self._tail = b""

    @property
    def location(self) -> str:
        return str(self._path)

    @property
    def lines(self) -> int:
        return self._lines

    @property
    def exclusive(self) -> bool:
        return True

    @property
    def parts(self) -> int:
        return 1

    def open(self) -> Sequence[Line]:
        try:
            _make_directory(self._path.parent)
            self._lock.acquire()
        except OSError as error:
            raise self._refused("opened", error) from error
        try:
            return self._read()
        except OSError as error:
            self.release()
            raise self._refused("read", error) from error
        except BaseException:
            self.release()
            raise

    def acquire(self) -> None:
        try:
            self._lock.acquire()
            try:
                self._open(0)
                self._unchanged()
                self._same_tail()
            except BaseException:
                self.release()
                raise
        except FileNotFoundError:
            raise self._conflict("was removed") from None
        except OSError as error:
            raise self._refused("opened", error) from error

    def append(self, line: bytes) -> None:
        try:
            self._unchanged()
            try:
                _write(self._file, line)
                self._end, self._lines, self._tail = self._end + len(line), self._lines + 1, line[-_TAIL:]
            except BaseException:
                os.ftruncate(self._file, self._end)
                raise
        except OSError as error:
            raise self._refused("written", error) from error

    def replace(self, lines: bytes) -> None:
        new = self._path.with_name(self._path.name + ".new")
        try:
            self._unchanged()
            new.unlink(missing_ok=True)
            descriptor = os.open(new, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _write(descriptor, lines)
                _sync(descriptor)
            finally:
                os.close(descriptor)
            self._close()  # Windows does not replace open files.
            try:
                os.replace(new, self._path)
                self._end, self._lines, self._tail = len(lines), lines.count(b"\n"), lines[-_TAIL:]
            finally:
                self._open(0)
            _sync_directory(self._path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise self._refused("rewritten", error) from error

    def drain(self) -> None:
        pass  # Nothing waits: append writes at once.

    def flush(self) -> None:
        try:
            self._unchanged()
            _sync(self._file)
        except OSError as error:
            raise self._refused("written to the disk", error) from error

    def release(self) -> None:
        self._close()
        self._lock.release()

    def __del__(self) -> None:
        self._close()

    @property
    def _file(self) -> int:
        if self._descriptor is None:
            raise SessionError(f"{self._path} is not open")
        return self._descriptor

    def _read(self) -> Sequence[Line]:
        created = not self._path.exists()
        self._open(os.O_CREAT)
        if created:
            _sync_directory(self._path.parent)
        data = _read(self._file, 0, os.fstat(self._file).st_size)
        if data and not data.strip(b"\0"):
            self._keep_aside()
            data = b""
        found = scan(data, self.location, torn=True)
        if found.length < len(data):
            logger.warning(
                "the last %d bytes of %s are a line that was never finished; cut off",
                len(data) - found.length,
                self._path,
            )
            os.ftruncate(self._file, found.length)
        if found.unended:
            _write(self._file, b"\n")
        whole = data[: found.length] + (b"\n" if found.unended else b"")
        self._end, self._lines, self._tail = len(whole), len(found.lines), whole[-_TAIL:]
        if len(whole) != len(data) or found.unended:
            _sync(self._file)
        return found.lines

    def _keep_aside(self) -> None:
        """Start over beside a file that holds nothing but zeros, as a power cut leaves it: its bytes may come back."""
        self._close()
        aside = self._path.with_name(f"{self._path.name}.damaged")
        number = 1
        while aside.exists():
            number += 1
            aside = self._path.with_name(f"{self._path.name}.damaged-{number}")
        os.rename(self._path, aside)
        logger.warning("%s held nothing but zeros; it is kept as %s, and a new one was started", self._path, aside)
        self._open(os.O_CREAT)
        _sync_directory(self._path.parent)

    def _open(self, flags: int) -> None:
        self._descriptor = os.open(self._path, _FLAGS | flags, 0o600)
        mode = os.fstat(self._descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise SessionDamagedError(f"{self._path} is not a file; use another place")
        if sys.platform != "win32" and mode & 0o077:
            with contextlib.suppress(PermissionError):  # somebody else's file, in which we may write
                os.fchmod(self._descriptor, 0o600)

    def _close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _unchanged(self) -> None:
        """Refuse to go on with a file that is not as this writer left it: locks do not work everywhere."""
        file = os.fstat(self._file)
        if not self._lock.held:
            raise SessionError(f"{self._path} is written by the process that this one was forked from")
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            raise self._conflict("was removed") from None
        if (named.st_dev, named.st_ino) != (file.st_dev, file.st_ino) or file.st_size != self._end:
            raise self._conflict("was written by someone else")

    def _same_tail(self) -> None:
        if _read(self._file, self._end - len(self._tail), len(self._tail)) != self._tail:
            raise self._conflict("was written by someone else")

    def _conflict(self, what: str) -> SessionConflictError:
        return SessionConflictError(
            f"{self._path} {what} since it was read here. Nothing was changed; make a new agent or manager, which "
            "reads it again"
        )

    def _refused(self, doing: str, error: OSError) -> SessionStorageError:
        reason = error.strerror or str(error)
        return SessionStorageError(f"{self._path} could not be {doing}: {reason}. Free space or allow it, then go on")


def _read(descriptor: int, start: int, length: int) -> bytes:
    os.lseek(descriptor, start, os.SEEK_SET)
    parts: list[bytes] = []
    while length > 0 and (part := os.read(descriptor, length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync(descriptor: int) -> None:
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # There, fsync leaves the drive's own cache.
    else:
        os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_directory(path: Path) -> None:
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)
