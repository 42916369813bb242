"""LedgerSource: where the listed tasks come from, a file or S3. Only reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..errors import InvalidInputError, SessionStorageError
from ..journal import Journal, S3Store, s3_client
from ..tasks.ledger_reader import LedgerReading, read_ledger
from ..tasks.ledger_state import FORMAT, LedgerState, TaskRecord, fold

__all__ = ["LedgerSource"]

_S3 = "s3://"
_BEGINNING = b'{"sum":"'


class LedgerSource:
    """A ledger that is read again and again.

    Args:
        place: A file, or ``s3://bucket/key``.
        clock: Seconds.

    Attributes:
        alive: Whether the process that writes it is there, or may be.
    """

    S3_EVERY_S = 5.0

    def __init__(self, place: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.place = place
        self.alive = True
        self._clock = clock
        self._reading: LedgerReading | None = None
        self._state: LedgerState | None = None
        self._read_at = 0.0
        self._bucket = self._key = ""
        if place.startswith(_S3):
            self._bucket, _, key = place.removeprefix(_S3).partition("/")
            self._key = key.strip("/")
            if not self._bucket or not self._key:
                raise InvalidInputError(f"{place}: say s3://BUCKET/KEY, with the key that the manager was given")

    @property
    def tasks(self) -> list[TaskRecord]:
        """All tasks, oldest first."""
        state = self._reading.state if self._reading is not None else self._state
        return [] if state is None else list(state.tasks.values())

    def read(self) -> bool:
        """Read what is new; False if there is no such ledger yet.

        Raises:
            BackchannelError: If it cannot be read, or is no ledger.
        """
        if self._bucket:
            return self._read_s3()
        path = Path(self.place)
        try:
            with path.open("rb") as file:
                beginning = file.read(len(_BEGINNING))
        except FileNotFoundError:
            self._reading = None
            return False
        except OSError as error:
            raise SessionStorageError(f"{self.place} cannot be read: {error.strerror or error}") from error
        if not _BEGINNING.startswith(beginning):
            raise InvalidInputError(
                f"{self.place} is no ledger of tasks. Name the file that %tasks --ledger or "
                "AsyncToolManager(ledger=...) was given"
            )
        self._reading = read_ledger(path, self._reading)
        self.alive = self._reading.writer is not None
        return True

    def _read_s3(self) -> bool:
        now = self._clock()
        if self._state is None or now >= self._read_at + self.S3_EVERY_S:
            self._read_at = now
            # Opening only reads; a writer is who appends.
            journal = Journal(S3Store(s3_client(), self._bucket, self._key), FORMAT)
            entries = journal.open()
            self._state = fold(entries) if journal.count else None
        return self._state is not None
