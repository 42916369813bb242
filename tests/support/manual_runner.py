"""A runner whose jobs a test begins, ends and kills one by one, and which takes no liberties with its contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backchannel.errors import TaskRefusedError


class ManualRunner:
    """Keeps the jobs that it is given until the test says what becomes of them.

    Attributes:
        limit: How many jobs it takes at a time; None for any number.
        mood: What happens to the next job: ``"take"`` it, ``"refuse"`` it, ``"break"``, or ``"now"``: return at once.
        on_start: Called with each job before it is taken.
        faults: What was wrong with what it was asked to do.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.mood = "take"
        self.on_start: Callable[[Any], None] = lambda job: None
        self.handed: list[Any] = []
        self.running: list[Any] = []
        self.abandoned: list[Any] = []
        self.faults: list[str] = []
        self._seen: set[int] = set()
        self._kept: list[Any] = []

    def start(self, job: Any) -> None:
        self._check(id(job) not in self._seen, "a job was started twice")
        self._seen.add(id(job))
        self._kept.append(job)
        self.on_start(job)
        mood, self.mood = self.mood, "take"
        if mood == "refuse":
            raise TaskRefusedError("no place for this one")
        if mood == "break":
            raise OSError("the runner broke")
        self.handed.append(job)
        if mood == "now" and self.begin(-1) is not None:
            self.take(-1)
            job.returned(None if job.task.options.deferred else f"value of {job.task.id}")

    def stop(self, job: Any) -> None:
        self._check(job in self.running, "a job was stopped that does not run")
        if job in self.running:
            self.running.remove(job)
            self.abandoned.append(job)

    def is_carried_here(self, job: Any) -> bool:
        del job
        return False

    def begin(self, which: int = 0) -> Any:
        """Begin one of the jobs that were handed over; returns it if its body runs."""
        job = self.handed.pop(which)
        # Before it begins: from then on a stop may come.
        self.running.append(job)
        if not job.begin():
            self.running.remove(job)
            return None
        self._check(self.limit is None or len(self.running) <= self.limit, "more jobs than the runner has places")
        return job if job in self.running else None

    def take(self, which: int = 0) -> Any:
        """Return one of the jobs that run, of which the test is to tell the end."""
        return self.running.pop(which)

    def _check(self, holds: bool, fault: str) -> None:
        # What a runner raises is caught and logged where it is called.
        if not holds:
            self.faults.append(fault)
