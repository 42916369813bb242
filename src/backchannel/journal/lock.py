"""A lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import errno
import os
import sys
import weakref
from pathlib import Path

from ..errors import SessionConflictError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["FileLock"]

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """Held by an open file; the file itself means nothing and stays.

    Args:
        path: The file to lock; made if there is none.
        subject: What is locked, for errors.
    """

    def __init__(self, path: Path, subject: str) -> None:
        self._path = path
        self._subject = subject
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process has it."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock. On file systems without locks it is taken by everybody.

        Raises:
            SessionConflictError: If someone has it.
            OSError: If the file cannot be opened.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            if sys.platform == "win32":
                os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # Far from the holder's id, which others read.
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                holder = _holder(descriptor)
                os.close(descriptor)
                if not isinstance(error, BlockingIOError | PermissionError):
                    raise
                raise SessionConflictError(
                    f"{self._subject} is in use {holder}. Stop what uses it first, or use another place"
                ) from None
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        _held.add(self)

    def release(self) -> None:
        """Give the lock back. Safe to call at any time."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def __del__(self) -> None:
        self.release()


def _holder(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    number = os.read(descriptor, 20).decode(errors="replace")
    if not number.isdecimal():
        return "elsewhere"
    return "in this process" if int(number) == os.getpid() else f"in process {number}"


def _forget_in_child() -> None:
    # A forked child shares the open file; were it to live on after us, it would hold our lock.
    for lock in list(_held):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
