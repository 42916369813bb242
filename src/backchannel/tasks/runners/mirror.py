"""The mirror of a task: what a body finds as its task where it runs, in another process or on a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from typing import Any, Literal, Protocol

from ...tools.text import cut
from .. import lifecycle
from ..job import TaskJob, is_asynchronous
from ..lifecycle import Life
from ..manager import AsyncToolManager
from ..task import Task
from .transfer import Parcel, pack_error, pack_value

__all__ = ["BodyRun", "Outlet"]

_LINE = 500


class Outlet(Protocol):
    """Where what a body reports goes."""

    def progress(self, done: float | None, total: float | None, message: str) -> None:
        """The whole of the newest report."""

    def log(self, line: str) -> None:
        """One line more."""


class _MirrorTask(Task):
    """A task like the one it stands for, which also tells the outlet."""

    __slots__ = ("outlet",)

    outlet: Outlet

    def report(self, done: float | None, total: float | None, message: str | None) -> None:
        super().report(done, total, message)
        if not self.done():
            self.outlet.progress(*self.progress[:3])

    def log(self, text: str) -> None:
        super().log(text)
        self.outlet.log(cut(text, _LINE))


class BodyRun:
    """One run of a parcel's body in this process, in the thread that calls `run`."""

    def __init__(self, parcel: Parcel, outlet: Outlet) -> None:
        manager = AsyncToolManager()
        now = manager.clock()
        self._parcel = parcel
        self._manager = manager
        self._lock = threading.Lock()
        self._cancel: Any = None
        self.task = task = _MirrorTask(
            manager, parcel.task_id, parcel.number, parcel.tool_name, {}, Life(now, "running", now), label=parcel.label
        )
        task.outlet = outlet

    def end(self, status: Literal["cancelled", "timed_out"], reason: str) -> None:
        """Ask the body to end: it learns of it at its next step; a coroutine is cancelled where it waits."""
        task, now = self.task, self._manager.clock()
        fact = lifecycle.CancelRequested if status == "cancelled" else lifecycle.TimeoutReached
        with self._lock:
            task.life, _ = lifecycle.step(task.life, fact(now, reason))
            cancel = self._cancel
        if cancel is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed: the body has ended
                cancel()

    def run(self) -> bytes:
        """Run the body and return its outcome, for `backchannel.tasks.runners.transfer.open_outcome`."""
        try:
            function, self.task.arguments = self._parcel.open()
            job = TaskJob(self.task, None, function, self.task.arguments)  # type: ignore[arg-type]
            if is_asynchronous(function):
                value = asyncio.run(self._coroutine(job))
            else:
                value = contextvars.copy_context().run(job.call)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
            return pack_error(error)
        return pack_value(value, self._parcel.tool_name)

    async def _coroutine(self, job: TaskJob) -> Any:
        loop, running = asyncio.get_running_loop(), asyncio.current_task()
        assert running is not None
        with self._lock:
            self._cancel = lambda: loop.call_soon_threadsafe(running.cancel)
            ended = self.task.done()
        if ended:
            running.cancel()
        return await job.coroutine()
