"""Threads: the runner for plain functions.

A thread cannot be ended from outside. A body that was cancelled or timed out loses its place at once and the next
one starts, so a stuck function holds up nothing; it ends at its next `track` step, or when it returns.
"""

from __future__ import annotations

import functools
import threading

from ...errors import TaskRefusedError
from ...tools.forks import watch_forks
from ...tools.threads import WorkerThreads
from .runner import Job

__all__ = ["ThreadRunner"]

_RUNNING = "running"
_LENT = "lent"
_LOST = "lost"


class ThreadRunner:
    """Runs each body in a daemon thread, at most ``limit`` at a time."""

    kind = "thread"

    def __init__(self, limit: int, name: str = "backchannel-task") -> None:
        self._threads = WorkerThreads(limit, name)
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """This is a forked child, or the beginning."""
        self._lock = threading.RLock()

    def start(self, job: Job) -> None:
        try:
            self._threads.submit(functools.partial(self._run, job))
        except RuntimeError as error:
            raise TaskRefusedError(f"No thread could be started for the task: {error}") from error

    def close_idle(self) -> None:
        """Keep no threads that have nothing to do."""
        self._threads.close_idle()

    def stop(self, job: Job) -> None:
        with self._lock:
            if job.place == _RUNNING:
                self._threads.give_up()
            if job.place in (_RUNNING, _LENT):
                job.place = _LOST

    def lend(self, job: Job) -> None:
        """The body only waits for others: its thread does not count meanwhile."""
        with self._lock:
            if job.place == _RUNNING:
                job.place = _LENT
                self._threads.give_up()

    def take_back(self, job: Job) -> None:
        """The body goes on."""
        with self._lock:
            if job.place == _LENT:
                job.place = _RUNNING
                self._threads.returned()

    def is_carried_here(self, job: Job) -> bool:
        del job
        return False

    def _run(self, job: Job) -> None:
        # Set before begin: from then on a stop may come, from any thread.
        job.place = _RUNNING
        if not job.begin():
            job.place = None
            return
        value, error = None, None
        try:
            value = job.context.run(job.call)
        except BaseException as raised:  # noqa: BLE001 - whatever it is, it ends this task only
            error = raised
        with self._lock:
            if job.place in (_LENT, _LOST):
                self._threads.returned()
            job.place = None
        # In the body's context, as with coroutines: what is printed at its end belongs to the cell that asked for it.
        if error is not None:
            job.context.run(job.raised, error)
        else:
            job.context.run(job.returned, value)
        # The frames of the error lead back to this one, which would keep the arguments in memory.
        del job, value, error
