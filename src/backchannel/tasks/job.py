"""A job: the body of one task, and the way back to its task from whatever runs it."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, cast

from ..errors import TaskCancelledError
from . import lifecycle
from .progress import running_task

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
    """A `backchannel.tasks.runners.runner.Job` for a task."""

    __slots__ = ("_arguments", "_function", "_task", "context", "place", "runner")

    def __init__(self, task: Task, runner: Runner, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        self._task = task
        self.runner = runner
        self._function = function
        self._arguments = arguments
        self.context = contextvars.copy_context()
        self.place: Any = None

    def begin(self) -> bool:
        return self._task.manager.began(self._task)

    def call(self) -> Any:
        running_task.set(self._task)
        value: Any = self._function(**self._arguments)
        if inspect.isgenerator(value):
            return self._drive(cast("Generator[Any, None, Any]", value))
        if inspect.iscoroutine(value):
            return asyncio.run(value)
        return value

    async def coroutine(self) -> Any:
        running_task.set(self._task)
        value: Any = self._function(**self._arguments)
        if inspect.isasyncgen(value):
            return await self._drive_async(cast("AsyncGenerator[Any, None]", value))
        return await value

    def returned(self, value: Any) -> None:
        manager = self._task.manager
        manager.ended(self._task, lifecycle.Returned(manager.clock()), value)

    def raised(self, error: BaseException, *, stopped: bool = False) -> None:
        manager = self._task.manager
        if stopped:
            fact = lifecycle.Raised(manager.clock(), "its event loop was stopped", stopped=True)
            manager.ended(self._task, fact)
        else:
            manager.ended(self._task, lifecycle.Raised(manager.clock()), error=error)

    def _drive(self, values: Generator[Any, None, Any]) -> Any:
        last = None
        try:
            while True:
                last = self._keep(next(values))
        except StopIteration as end:
            return last if end.value is None else end.value
        finally:
            values.close()

    async def _drive_async(self, values: AsyncGenerator[Any, None]) -> Any:
        last = None
        try:
            async for item in values:
                last = self._keep(item)
        finally:
            await values.aclose()
        return last

    def _keep(self, item: Any) -> Any:
        task = self._task
        if isinstance(item, str):
            task.log(item)
        if task.done():
            raise TaskCancelledError(f"Task {task.number}, {task.label}, was to end: {task.status}.")
        return item
