"""A job: the body of one task, and the way back to its task from whatever runs it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from ..errors import TaskCancelledError, TaskRefusedError
from ..tools.blocking import warn_of, watched, watched_values
from .admission import Ticket
from .capture import inside, outside
from .progress import Progress, yielded

if TYPE_CHECKING:
    from .runners.runner import Runner
    from .task import Task

__all__ = ["TaskJob", "is_asynchronous"]

_ASYNCHRONOUS = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def is_asynchronous(function: Callable[..., Any]) -> bool:
    """Whether calling the function gives a coroutine or an asynchronous generator."""
    code = getattr(function, "__code__", None)
    if code is not None:
        return bool(code.co_flags & _ASYNCHRONOUS)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return True
    call = getattr(function, "__call__", None)  # noqa: B004 - an object with an asynchronous __call__
    return inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)


class TaskJob:
    """A `backchannel.tasks.runners.runner.Job` for one attempt of a task.

    Attributes:
        home: Where the runner is to carry it, as its ``here`` said when the task was asked for; None for anywhere.
        ticket: Its claim to a place.
        prepare: Makes the arguments once the results that they need are there; None where they are complete.
        refusal: Why its runner did not take it.
        waits: How many of its threads wait for other tasks; its place is lent while there are any.
    """

    __slots__ = (
        "_carrier",
        "_origin",
        "arguments",
        "context",
        "function",
        "home",
        "place",
        "prepare",
        "refusal",
        "runner",
        "task",
        "ticket",
        "waits",
    )

    def __init__(
        self,
        task: Task,
        runner: Runner,
        function: Callable[..., Any],
        arguments: Mapping[str, Any],
        *,
        pool_limit: int | None = None,
        origin: contextvars.Context | None = None,
    ) -> None:
        self.task = task
        self.runner = runner
        self.function = function
        self.arguments = arguments
        # What one attempt sets must not be seen by the next.
        self._origin = contextvars.copy_context() if origin is None else origin
        self.context = self._origin.copy()
        self.place: Any = None
        self.home: Any = None
        self.prepare: Callable[[], Mapping[str, Any]] | None = None
        self.refusal: TaskRefusedError | None = None
        self.waits = 0
        self._carrier: object = None
        self.ticket: Ticket[TaskJob] = Ticket(
            self,
            id(runner),
            task.tool_name,
            pool_limit=pool_limit,
            tool_limit=task.options.limit,
            priority=task.options.priority,
        )

    def again(self) -> TaskJob:
        """Return the job for a further attempt."""
        job = TaskJob(
            self.task,
            self.runner,
            self.function,
            self.arguments,
            pool_limit=self.ticket.pool_limit,
            origin=self._origin,
        )
        job.home = self.home
        return job

    def begin(self) -> bool:
        return self.task.manager.began(self)

    def is_run_here(self) -> bool:
        """Whether this is the thread that runs the body, or the asyncio task, so that it cannot wait for the body."""
        if asyncio._get_running_loop() is None:
            return self._carrier == threading.get_ident()
        return self._carrier is not None and self._carrier in (threading.get_ident(), asyncio.current_task())

    @contextlib.contextmanager
    def _carried_by(self, carrier: object) -> Iterator[None]:
        self._carrier = carrier
        try:
            yield
        finally:
            # The thread has other bodies to run, which may wait for this task's next attempt.
            self._carrier = None

    def call(self) -> Any:
        with self._carried_by(threading.get_ident()), inside(self.task):
            value: Any = self.function(**self.arguments)
            if inspect.isgenerator(value):
                return self._drive(cast("Generator[Any, None, Any]", value))
            if inspect.isasyncgen(value):
                return asyncio.run(self._drive_async(cast("AsyncGenerator[Any, None]", value)))
            if inspect.iscoroutine(value):
                return asyncio.run(value)
            return value

    async def coroutine(self) -> Any:
        with self._carried_by(asyncio.current_task()), inside(self.task):
            value: Any = self.function(**self.arguments)
            if inspect.isasyncgen(value):
                return await self._drive_async(cast("AsyncGenerator[Any, None]", value))
            value = await watched(value, self._blocked)
            while inspect.iscoroutine(value):
                value = await watched(value, self._blocked)
            return value

    def returned(self, value: Any) -> None:
        with outside():
            self.task.manager.returned(self, value)

    def raised(self, error: BaseException, *, stopped: bool = False) -> None:
        with outside():
            self.task.manager.raised(self, error, stopped)

    def _drive(self, values: Generator[Any, None, Any]) -> Any:
        last = None
        try:
            while True:
                last = self._keep(next(values), last)
        except StopIteration as end:
            return last if end.value is None else end.value
        finally:
            values.close()

    async def _drive_async(self, values: AsyncGenerator[Any, None]) -> Any:
        last = None
        try:
            async for item in watched_values(values, self._blocked):
                last = self._keep(item, last)
        finally:
            await values.aclose()
        return last

    def _blocked(self, held_s: float) -> None:
        with outside():
            said = warn_of(self.task.tool_name, held_s)
        self.task.log(said)

    def _keep(self, item: Any, last: Any) -> Any:
        """Take what a generator yielded; returns what would be its result if that was all."""
        task, step = self.task, yielded(item)
        if step is not None:
            task.report(step.done, step.total, step.message or None)
        elif isinstance(item, str):
            task.log(item)
        if task.done() or task.life.ending:
            raise TaskCancelledError(
                f"Task {task.number}, {task.label}, was to end: {task.life.ending or task.status}."
            )
        # Where nothing else was yielded, a dict that looks like a report may well be the result.
        is_result = step is None or not (isinstance(item, Progress) or (last is not None and yielded(last) is None))
        return item if is_result else last
