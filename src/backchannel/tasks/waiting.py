"""Waiting: what a task offers those who wait for its end, in threads and on event loops."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from abc import abstractmethod
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, cast

from ..errors import TaskCancelledError
from ..events import TaskStatus
from .lending import lending
from .progress import running_task
from .wording import duration

if TYPE_CHECKING:
    from .manager import AsyncToolManager
    from .task import Task

__all__ = ["Awaited"]


class Awaited:
    """The part of a `Task` that others wait for. Whoever stops waiting does not stop the task."""

    __slots__ = ()

    manager: AsyncToolManager
    _callbacks: list[Callable[[], object]]

    @property
    @abstractmethod
    def status(self) -> TaskStatus: ...

    @abstractmethod
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""

    @abstractmethod
    def _outcome(self) -> Any:
        """Return the value, or raise why there is none."""

    @abstractmethod
    def _said(self, what: str) -> str:
        """Return a sentence about it."""

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the value, and block this thread meanwhile; Ctrl-C ends the wait and not the task.

        Args:
            timeout: Longest wait, seconds; None for as long as it takes.

        Raises:
            TaskFailedError: From what the function raised.
            TaskCancelledError: If the task was cancelled.
            TaskTimedOutError: If it ran longer than its own time-out.
            TaskLostError: If its process ended under it.
            TimeoutError: If it is not done after ``timeout`` seconds. It goes on.
            TaskError: If the task needs the event loop that runs in this thread.
        """
        if not self.wait(timeout):
            raise TimeoutError(self._said(f"is still {self.status} after {duration(timeout or 0)}; it goes on"))
        return self._outcome()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the task has ended; False if it has not after ``timeout`` seconds.

        Raises:
            TaskError: If the task needs the event loop that runs in this thread.
            TaskCancelledError: If this is the body of another task, and that one was cancelled or timed out.
        """
        if self.done():
            return True
        self.manager.check_may_block(cast("Task", self))
        ended, mine = threading.Event(), _whose_body_this_is()
        watched = [self] if mine is None else [self, mine]
        for task in watched:
            task.add_done_callback(ended.set)
        try:
            with lending():
                ended.wait(timeout)
        finally:
            for task in watched:
                task.remove_done_callback(ended.set)
        if mine is not None and mine.done() and not self.done():
            raise TaskCancelledError(f"Task {mine.number}, {mine.label}, was to end: {mine.status}.")
        return self.done()

    def __await__(self) -> Generator[Any, None, Any]:
        yield from self.ended().__await__()
        return self._outcome()

    async def ended(self) -> None:
        """Wait for the end, however it comes; raises nothing of the task's."""
        if self.done():
            return
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not ended.done():
                ended.set_result(None)

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits there
                loop.call_soon_threadsafe(settle)

        self.manager.check_may_await(cast("Task", self))
        self.add_done_callback(tell)
        try:
            with lending():
                await ended
        finally:
            self.remove_done_callback(tell)

    def add_done_callback(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` at the end, in whatever thread; at once if the task has ended."""
        with self.manager.lock:
            if not self.done():
                self._callbacks.append(callback)
                return
        callback()

    def remove_done_callback(self, callback: Callable[[], object]) -> None:
        """Do not call it any more."""
        with self.manager.lock, contextlib.suppress(ValueError):
            self._callbacks.remove(callback)


def _whose_body_this_is() -> Task | None:
    """Return the task under way whose body this very thread runs, or None."""
    task = running_task.get()
    job = None if task is None else task.job
    return task if job is not None and job.is_run_here() else None
