"""Processes: the runner for functions that must not share this process, and that can be ended from outside.

Each body has a worker process of its own while it runs; workers that are idle wait some seconds for the next one.
A worker is a fresh interpreter, not a copy: it does not run the ``__main__`` of the program again.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import weakref
from typing import Any

from ...errors import TaskRefusedError, TaskTransferError, TaskWorkerError
from ...tools.forks import watch_forks
from ...tools.threads import WorkerThreads
from ..exit import afterwards
from ..timers import Timer, Timers
from .runner import Job
from .transfer import Parcel, check_installed, open_outcome, pack
from .worker_process import WorkerProcess

__all__ = ["ProcessRunner"]

GRACE_S = 2.0
"""How long a body that was cancelled or timed out may take to end by itself before its process is killed, seconds."""

IDLE_S = 30.0
"""How long a worker without work is kept, seconds."""

_timers = Timers()


class _Place:
    """Where a job is."""

    __slots__ = ("kill", "left", "lost", "number", "running", "worker")

    def __init__(self) -> None:
        self.worker: WorkerProcess | None = None
        self.number = 0
        self.running = False
        self.lost = False
        self.left = False
        self.kill: Timer | None = None


class ProcessRunner:
    """Runs each body in a worker process, at most ``limit`` at a time.

    The function, its arguments and its result are copied; context variables do not go along. What a body prints goes
    to its task's log. A body that was cancelled or timed out learns of it as in a thread, and its process is killed
    if it has not ended after a grace; its place is free at once.

    Args:
        limit: Bodies that run at a time; None for one per processor.
        grace_s: From the cancel or time-out to the kill, seconds.
        idle_s: How long an idle worker is kept, seconds.

    Raises:
        MissingExtraError: If cloudpickle is not installed.

    Attributes:
        limit: As given, or the number of processors.
        grace_s: As given; may be changed.
        cannot: What tasks go without here, in words.
    """

    cannot = ("context variables, and changes that a body makes to its arguments, stay where they are",)

    kind = "process"

    def __init__(self, limit: int | None = None, *, grace_s: float = GRACE_S, idle_s: float = IDLE_S) -> None:
        check_installed()
        if not grace_s >= 0 or not idle_s >= 0:
            raise ValueError(f"ProcessRunner: grace_s={grace_s!r} and idle_s={idle_s!r} must be 0 seconds or more")
        self.limit = os.cpu_count() or 1 if limit is None else limit
        self._threads = WorkerThreads(self.limit, "backchannel-process")
        self.grace_s = grace_s
        self._idle_s = idle_s
        self._numbers = 0
        self.after_fork()
        watch_forks(self)
        _runners.add(self)

    def after_fork(self) -> None:
        """This is a forked child, or the beginning: there are no workers of ours."""
        self._lock = threading.RLock()
        self._idle: list[tuple[WorkerProcess, Timer]] = []
        self._busy: set[WorkerProcess] = set()

    @property
    def process_ids(self) -> list[int]:
        """The processes that exist now, idle ones too."""
        with self._lock:
            return [worker.pid for worker in (*self._busy, *(worker for worker, _ in self._idle))]

    def start(self, job: Job) -> None:
        job.place = _Place()
        try:
            self._threads.submit(functools.partial(self._run, job))
        except RuntimeError as error:
            raise TaskRefusedError(f"No thread could be started to watch over the task's process: {error}") from error

    def stop(self, job: Job) -> None:
        place: _Place = job.place
        with self._lock:
            if place.left or place.lost or not place.running:
                return
            place.lost = True
            self._threads.give_up()
            worker = place.worker
            if worker is None:
                return
            life = job.task.life
            status = "timed_out" if life.state == "timed_out" else "cancelled"
            if self.grace_s == 0 or not worker.end(place.number, status, life.ending or life.reason):
                worker.kill()
                return
            with contextlib.suppress(RuntimeError):  # the interpreter ends, and kills it then
                place.kill = _timers.after(self.grace_s, functools.partial(self._kill, place, worker))

    def is_carried_here(self, job: Job) -> bool:
        del job
        return False

    def close(self) -> None:
        """End all workers; tasks that run in them fail. Closing twice is safe, and tasks may be started afterwards."""
        with self._lock:
            idle, self._idle = self._idle, []
            workers = [worker for worker, _ in idle] + list(self._busy)
        for _, timer in idle:
            timer.cancel()
        for worker in workers:
            worker.kill()
        for worker, _ in idle:
            worker.close()

    def close_idle(self) -> None:
        """End the workers that have no work."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker, timer in idle:
            timer.cancel()
            worker.close()

    # In the thread that watches over a job

    def _run(self, job: Job) -> None:
        place: _Place = job.place
        place.running = True
        try:
            value, error, began = self._carry(job, place)
        except BaseException as failure:  # noqa: BLE001 - whatever it is, it ends this task only
            value, error, began = None, failure, True
        finally:
            with self._lock:
                place.left = True
                if place.kill is not None:
                    place.kill.cancel()
                if place.lost:
                    self._threads.returned()
        if not began:
            return
        if error is not None:
            job.raised(error)
        else:
            job.returned(value)

    def _carry(self, job: Job, place: _Place) -> tuple[Any, BaseException | None, bool]:
        """Run the body in a worker; returns its value, its error, and whether it ran at all."""
        if job.task.done():
            return None, None, False
        parcel: Parcel | None = None
        while True:
            worker, used_before = self._hire()
            try:
                if worker.wait_ready():
                    if parcel is None:
                        if not job.begin():
                            return None, None, False
                        try:
                            parcel = pack(job.task, job.function, job.arguments)
                        except TaskTransferError as error:
                            return None, error, True
                    number = self._attach(place, worker)
                    if number is None:
                        return None, None, True
                    outcome = worker.carry(number, parcel, job.task)
                    if outcome is not None:
                        return *open_outcome(outcome, parcel.tool_name, f"process {worker.pid}"), True
                    if used_before and not worker.begun:
                        continue  # It had died while it was idle: the body has not run.
                elif used_before:
                    continue
                elif parcel is None and not job.begin():
                    return None, None, False
                return None, TaskWorkerError(worker.how_it_ended(job.task.tool_name)), True
            finally:
                self._let_go(place, worker)

    def _attach(self, place: _Place, worker: WorkerProcess) -> int | None:
        with self._lock:
            if place.lost:
                return None
            self._numbers += 1
            place.worker, place.number = worker, self._numbers
            return place.number

    def _hire(self) -> tuple[WorkerProcess, bool]:
        with self._lock:
            while self._idle:
                worker, timer = self._idle.pop()
                timer.cancel()
                if worker.is_alive():
                    self._busy.add(worker)
                    return worker, True
                worker.close()
        try:
            worker = WorkerProcess()
        except OSError as error:
            raise TaskWorkerError(f"No worker process could be started: {error}. Run fewer at a time.") from error
        with self._lock:
            self._busy.add(worker)
        return worker, False

    def _let_go(self, place: _Place, worker: WorkerProcess) -> None:
        with self._lock:
            place.worker = None
            self._busy.discard(worker)
            if worker.is_fit:
                timer = _timers.after(self._idle_s, functools.partial(self._retire, worker))
                self._idle.append((worker, timer))
                return
        worker.close()

    def _kill(self, place: _Place, worker: WorkerProcess) -> None:
        with self._lock:
            if place.worker is worker:
                worker.kill()

    def _retire(self, worker: WorkerProcess) -> None:
        with self._lock:
            kept = [entry for entry in self._idle if entry[0] is not worker]
            found = len(kept) < len(self._idle)
            self._idle = kept
        if found:
            worker.close()


_runners: weakref.WeakSet[ProcessRunner] = weakref.WeakSet()


def _close_all() -> None:
    for runner in list(_runners):
        with contextlib.suppress(Exception):
            runner.close()


afterwards(_close_all)
