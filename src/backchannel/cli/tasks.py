"""List and follow the tasks of a ledger."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.live import Live

from ..errors import InvalidInputError, SessionStorageError
from ..journal import to_plain
from ..notebook.ledger_place import LEDGER_VARIABLE
from ..tasks.ledger_state import TaskRecord
from .ledger_source import LedgerSource
from .task_rows import TaskRow, as_json, row_of
from .task_table import TaskTable, line_of

__all__ = ["main"]

LOOK_EVERY_S = 0.5
Found = tuple[TaskRecord, TaskRow]


class _Listing:
    """The tasks of a ledger that are asked for, as rows."""

    def __init__(self, source: LedgerSource, statuses: Sequence[str], now: Callable[[], float]) -> None:
        self._source = source
        self._statuses = statuses
        self._now = now
        self._last: dict[str, tuple[object, ...]] = {}

    def found(self) -> list[Found]:
        """All of them, oldest first."""
        records, now = self._source.tasks, self._now()
        numbers = {record.id: record.number for record in records}
        rows = [(record, row_of(record, now, alive=self._source.alive, numbers=numbers)) for record in records]
        return [(record, row) for record, row in rows if not self._statuses or row.status in self._statuses]

    def news(self, *, moves: bool) -> list[Found]:
        """Those that are not as they were when this was asked last; ``moves``: also where only progress was made."""
        found = self.found()
        now = {row.id: _mark(row, moves) for _, row in found}
        news = [(record, row) for record, row in found if self._last.get(row.id) != now[row.id]]
        self._last = now
        return news


def _mark(row: TaskRow, moves: bool) -> tuple[object, ...]:
    stands = (row.standing, row.told)
    return (*stands, row.fraction, row.counts, row.outcome) if moves else stands


def main(
    options: argparse.Namespace,
    *,
    wait: Callable[[float], object] | None = None,
    now: Callable[[], float] = time.time,
) -> int:
    """Run the command.

    Args:
        wait: Waits so many seconds between two looks.
        now: Seconds since the epoch.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    place = options.ledger or os.environ.get(LEDGER_VARIABLE)
    if not place:
        raise InvalidInputError(f"name a ledger, as in 'backchannel tasks tasks.jsonl', or set {LEDGER_VARIABLE}")
    source = LedgerSource(place)
    listing = _Listing(source, options.status or (), now)
    try:
        if options.follow:
            with contextlib.suppress(KeyboardInterrupt):
                _follow(options, source, listing, wait or threading.Event().wait)
        else:
            _list(options, source, listing)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has enough; the interpreter must not find that out once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _list(options: argparse.Namespace, source: LedgerSource, listing: _Listing) -> None:
    if not source.read():
        raise SessionStorageError(f"There is no ledger at {source.place}. With --follow it is waited for")
    console = Console(highlight=False)
    if options.json or not _draws(console):
        _print(listing.found(), as_lines_of_json=options.json)
    else:
        console.print(TaskTable(source.place, [row for _, row in listing.found()], note=_none(options)))


def _follow(
    options: argparse.Namespace, source: LedgerSource, listing: _Listing, wait: Callable[[float], object]
) -> None:
    console = Console(highlight=False)
    if options.json or not _draws(console):
        if not source.read():
            print(f"backchannel: waiting for {source.place}", file=sys.stderr)
        while True:
            _print(listing.news(moves=options.json), as_lines_of_json=options.json)
            sys.stdout.flush()
            wait(LOOK_EVERY_S)
            source.read()
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            note = _none(options) if source.read() else f"Waiting for {source.place}."
            rows = [row for _, row in listing.found()]
            live.update(TaskTable(source.place, rows, fits=True, note=note), refresh=True)
            wait(LOOK_EVERY_S)


def _draws(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal


def _print(found: Sequence[Found], *, as_lines_of_json: bool) -> None:
    for record, row in found:
        print(json.dumps(to_plain(as_json(record, row)), allow_nan=False) if as_lines_of_json else line_of(row))


def _none(options: argparse.Namespace) -> str:
    return f"No tasks that are {' or '.join(options.status)}." if options.status else ""
