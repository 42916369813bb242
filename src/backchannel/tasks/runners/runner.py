"""The contract between the manager and what runs bodies."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from ..task import Task

__all__ = ["Job", "Runner"]


class Job(Protocol):
    """One body to run, once. A runner calls `begin`, and if that is true the body, and then tells its end.

    Attributes:
        function: The body, for a runner that takes it elsewhere; `call` and `coroutine` run it here.
        arguments: What it is called with, by name.
        task: Whose body it is; reports and lines of its log go there.
        context: Where the body is to run, so that what it prints lands where it was asked for.
        place: The runner's own note of where the job is.
    """

    context: contextvars.Context
    place: Any

    @property
    def function(self) -> Callable[..., Any]: ...

    @property
    def arguments(self) -> Mapping[str, Any]: ...

    @property
    def task(self) -> Task: ...

    def begin(self) -> bool:
        """Whether the body may run: false where the task has ended meanwhile."""

    def call(self) -> Any:
        """Run the body and return its value; raises what it raises."""

    def coroutine(self) -> Coroutine[Any, Any, Any]:
        """The same for a body that is a coroutine function or an asynchronous generator."""

    def returned(self, value: Any) -> None:
        """Tell the value of the body."""

    def raised(self, error: BaseException, *, stopped: bool = False) -> None:
        """Tell what the body raised; ``stopped`` where it was ended from outside for that reason."""


@runtime_checkable
class Runner(Protocol):
    """Runs bodies, some at the same time, the rest in order of coming."""

    def start(self, job: Job) -> None:
        """Run a job as soon as there is a place; returns at once.

        Raises:
            TaskRefusedError: If it will never run.
        """

    def stop(self, job: Job) -> None:
        """Ask a running body to end, and do not count it any more. From any thread."""

    def is_carried_here(self, job: Job) -> bool:
        """Whether the job needs the event loop that runs in this thread, so that waiting here would never end."""
