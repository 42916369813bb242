"""LedgerSource: where the listed tasks come from, a file or S3. Only reads."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ..journal import Journal, S3Store
from ..notebook.ledger_place import S3, check_kind, s3_store
from ..paths import expanded
from ..tasks.ledger_reader import LedgerReading, read_ledger
from ..tasks.ledger_state import FORMAT, LedgerState, TaskRecord, fold

__all__ = ["LedgerSource"]


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
        self._read_at = -math.inf
        self._store = s3_store(place) if place.startswith(S3) else None

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
        if self._store is not None:
            return self._read_s3(self._store)
        path = expanded(self.place)
        if not check_kind(path):
            self._reading = None
            return False
        self._reading = read_ledger(path, self._reading)
        self.alive = self._reading.writer is not None
        return True

    def _read_s3(self, store: S3Store) -> bool:
        now = self._clock()
        if now >= self._read_at + self.S3_EVERY_S:
            self._read_at = now
            # Opening only reads; a writer is who appends.
            journal = Journal(store, FORMAT)
            entries = journal.open()
            self._state = fold(entries) if journal.count else None
        return self._state is not None
