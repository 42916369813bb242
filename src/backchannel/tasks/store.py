"""The store: a manager's tasks by id, number, token and call. Its owner's lock is held at each use."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections import deque
from collections.abc import Collection, Hashable, Iterator

from .ledger import token_hash
from .task import Task

__all__ = ["HEAVY", "TaskStore"]

HEAVY = 16_384
"""Tasks that hold less than this are counted only, bytes."""


class TaskStore:
    """Tasks under way, the last ones that have ended, and those that are still to be told."""

    def __init__(self) -> None:
        self._number = 0
        self.ids = self._new_ids()
        self._tasks: dict[str, Task] = {}
        self._by_number: dict[int, Task] = {}
        self._ended: deque[Task] = deque()
        self._owed: set[Task] = set()
        # By hash: a ledger has no tokens, and one that came from there works as well.
        self._tokens: dict[str, Task] = {}
        self._hashes: dict[str, list[str]] = {}
        self._weights: dict[Task, int] = {}
        self._weight = 0
        self._sweep_at = 1000
        self._same: dict[Hashable, list[Task]] = {}
        self._last_ended: dict[Hashable, Task] = {}

    def next_number(self) -> int:
        """Return a number that no task was given."""
        self._number += 1
        return self._number

    def count_on(self, highest: int) -> None:
        """Numbers up to this one were given before."""
        self._number = max(self._number, highest)

    @property
    def tasks(self) -> list[Task]:
        """All of them, oldest first."""
        return list(self._tasks.values())

    def find(self, which: str | int) -> Task | None:
        """Return a task by its id or its number, or None."""
        if isinstance(which, str) and which in self._tasks:
            return self._tasks[which]
        if isinstance(which, str):
            # Longer digits are no number that was ever given, and Python refuses to read very long ones.
            return self._by_number.get(int(which)) if which.isdecimal() and len(which) < 20 else None
        return self._by_number.get(which)

    def by_id_or_token(self, which: str) -> Task | None:
        """Return a task by its id or its token, or None."""
        return self._tasks.get(which) or self.by_token(which)

    def by_token(self, token: str) -> Task | None:
        """Return a task by its token, or None."""
        return self._tokens.get(token_hash(token)) if isinstance(token, str) else None

    def token_of(self, task: Task) -> str:
        """Return the task's token, made when it is first asked for."""
        if task.secret is None:
            task.secret = secrets.token_urlsafe(32)
            if task.id in self._tasks:
                self.accept(token_hash(task.secret), task)
        return task.secret

    def accept(self, hashed: str, task: Task) -> None:
        """Let the token with this hash stand for the task."""
        self._tokens[hashed] = task
        self._hashes.setdefault(task.id, []).append(hashed)

    def same_as(self, key: Hashable) -> list[Task]:
        """Return the tasks under way for the same call, oldest first."""
        return [] if key is None else list(self._same.get(key, ()))

    def add(self, task: Task, superseded: Collection[Task] = ()) -> None:
        """Take a new task."""
        self._tasks[task.id] = self._by_number[task.number] = task
        if task.key is not None:
            self._same.setdefault(task.key, []).append(task)
            # What has ended and was not told yet is told, marked, too.
            if (ended := self._last_ended.get(task.key)) is not None and not ended.delivered:
                superseded = [*superseded, ended]
        for other in superseded:
            if other.owner is None or task.owner is None or other.owner is task.owner:
                other.superseded_by = task.id

    def ended(self, task: Task, kept: int) -> None:
        """A task has ended; of those that are told only the last ``kept`` are kept."""
        if task.key is not None and (same := self._same.get(task.key)):
            same.remove(task)
            if not same:
                del self._same[task.key]
            self._last_ended[task.key] = task
        self._ended.append(task)
        if len(self._ended) > kept:
            old = self._ended.popleft()
            if old.owed and not old.orphaned:
                self._owed.add(old)
            else:
                self._forget(old)
        if len(self._owed) > self._sweep_at:
            for old in [task for task in self._owed if task.orphaned]:
                self.told(old)
            self._sweep_at = 2 * len(self._owed) + 1000

    def weigh(self, task: Task, weight: int, most: int) -> list[Task]:
        """Note what an ended task holds, in bytes. Of the heavy ones no more than ``most`` is kept, and the newest.

        Returns:
            Those that are to keep their text only, for they are still to be told; the others are forgotten here.
        """
        if task.id not in self._tasks:
            return []
        self._weights[task] = weight
        self._weight += weight
        pending = []
        while self._weight > most and len(self._weights) > 1:
            old = next(iter(self._weights))
            if old.owed and not old.orphaned:
                self._unweigh(old)
                pending.append(old)
            else:
                self.forget(old)
        return pending

    def forget(self, task: Task) -> bool:
        """Keep an ended task no longer; whether it was kept."""
        if task.id not in self._tasks:
            return False
        with contextlib.suppress(ValueError):
            self._ended.remove(task)
        self._owed.discard(task)
        self._forget(task)
        return True

    def told(self, task: Task) -> None:
        """A task was told: it need not be kept for that any more."""
        if task in self._owed:
            self._owed.remove(task)
            self._forget(task)

    def _unweigh(self, task: Task) -> None:
        self._weight -= self._weights.pop(task, 0)

    def _forget(self, task: Task) -> None:
        self._unweigh(task)
        del self._tasks[task.id]
        del self._by_number[task.number]
        if self._last_ended.get(task.key) is task:
            del self._last_ended[task.key]
        for hashed in self._hashes.pop(task.id, ()):
            self._tokens.pop(hashed, None)

    def is_idle(self) -> bool:
        """Whether no task is under way that could be a duplicate."""
        return not self._same

    def _new_ids(self) -> Iterator[str]:
        # In blocks: the call to the system lets other threads run, here with the owner's lock held.
        while True:
            block = os.urandom(4096).hex()
            for start in range(0, len(block), 8):
                if (task_id := block[start : start + 8]) not in self._tasks:
                    yield task_id
