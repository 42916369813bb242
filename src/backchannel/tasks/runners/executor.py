"""Executors: the runner for any ``concurrent.futures.Executor``, with what it can do."""

from __future__ import annotations

import functools
import warnings
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from typing import Any

from ...errors import TaskRefusedError, TaskTransferError, TaskWorkerError
from ...tools.text import error_text
from .mirror import BodyRun
from .runner import Job
from .transfer import Parcel, check_installed, open_outcome, pack

__all__ = ["ExecutorRunner"]

_ELSEWHERE = (
    "no progress and no log while it runs",
    "a cancel or time-out before its start only; afterwards the body goes on and its result is dropped",
    "no start: a task that was handed over counts as running, also while the executor keeps it waiting",
)
_HERE = ("an end from outside, once a body runs", "a place for others while a body waits for another task")


class ExecutorRunner:
    """Runs each body as a future of an executor, which decides how many run at a time.

    In a `ThreadPoolExecutor` a body is as in our own threads. Anywhere else it is sent over, pickled, and only its
    outcome comes back; Backchannel must be installed there. The executor stays its owner's: he shuts it down.

    Args:
        executor: Any executor, also of other packages.
        limit: Tasks that are handed over at a time, the others wait in their manager; None for as many as the executor
            has workers, if it shows that, else any number.

    Raises:
        MissingExtraError: If bodies leave this process and cloudpickle is not installed.

    Attributes:
        limit: As given or found.
        cannot: What tasks go without here, in words.
    """

    kind = "executor"

    def __init__(self, executor: Executor, limit: int | None = None) -> None:
        workers = getattr(executor, "_max_workers", None)
        self._executor = executor
        self.limit: int | None = workers if limit is None and isinstance(workers, int) else limit
        # By name: an executor of interpreters is made from the one of threads, but shares nothing.
        self._is_here = isinstance(executor, ThreadPoolExecutor) and "Interpreter" not in type(executor).__name__
        self.cannot: tuple[str, ...] = _HERE if self._is_here else _ELSEWHERE
        if not self._is_here:
            check_installed()
            warnings.warn(
                f"Tasks in a {type(executor).__name__} go without some things: {'; '.join(self.cannot)}.",
                UserWarning,
                stacklevel=2,
            )

    def start(self, job: Job) -> None:
        if self._is_here:
            self._submit(job, functools.partial(self._run_here, job))
            return
        if not job.begin():
            return
        try:
            parcel = pack(job.task, job.function, job.arguments)
        except TaskTransferError as error:
            job.raised(error)
            return
        self._submit(job, functools.partial(_run_elsewhere, parcel))

    def stop(self, job: Job) -> None:
        future: Future[Any] | None = job.place
        if future is not None:
            future.cancel()

    def is_carried_here(self, job: Job) -> bool:
        del job
        return False

    def _submit(self, job: Job, work: Any) -> None:
        try:
            future: Future[Any] = self._executor.submit(work)
        except Exception as error:
            raise TaskRefusedError(
                f"{job.task.tool_name} was not taken by the {type(self._executor).__name__}: {error_text(error, 300)}"
            ) from error
        job.place = future
        if job.task.done():
            future.cancel()
        future.add_done_callback(functools.partial(self._ended, job))

    def _run_here(self, job: Job) -> None:
        if not job.begin():
            return
        try:
            value = job.context.run(job.call)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it ends this task only
            job.raised(error)
        else:
            job.returned(value)

    def _ended(self, job: Job, future: Future[Any]) -> None:
        name = type(self._executor).__name__
        if future.cancelled():
            job.raised(CancelledError(f"its {name} was shut down"), stopped=True)
            return
        error = future.exception()
        if error is None:
            if not self._is_here:
                value, error = open_outcome(future.result(), job.task.tool_name, f"a {name}")
                if error is None:
                    job.returned(value)
        elif isinstance(error, BrokenExecutor):
            broken = TaskWorkerError(
                f"The {name} broke while {job.task.tool_name} ran or waited in it: {error_text(error, 300)} It takes "
                'no more tasks. With runner="process" a worker that dies fails its own task only.'
            )
            broken.__cause__ = error
            error = broken
        if error is not None:
            job.raised(error)


class _Nothing:
    """An outlet that leads nowhere."""

    def progress(self, done: float | None, total: float | None, message: str) -> None:
        pass

    def log(self, line: str) -> None:
        pass


def _run_elsewhere(parcel: Parcel) -> bytes:
    return BodyRun(parcel, _Nothing()).run()
