"""The outcome of a task, as the manager's callback gets it, and the note of tasks that changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..tools.text import LIMIT
from .results import Reading, looks_at_results, text_for_model
from .task import Task

if TYPE_CHECKING:
    from .manager import AsyncToolManager

__all__ = ["KINDS", "AsyncTaskResult", "Changes", "Kind", "Listener"]

Kind: TypeAlias = Literal["queued", "started", "progressed", "logged", "finished", "announced", "told"]
Listener: TypeAlias = Callable[[Task, Any], object]

KINDS: tuple[Kind, ...] = ("queued", "started", "progressed", "finished")


@dataclass(frozen=True, slots=True)
class AsyncTaskResult:
    """What came of a task, for `AsyncToolManager.on_complete`.

    Attributes:
        result: What the function returned, or None.
        error: What it raised, or why the task ended without a value; None where it is done.
        elapsed: From start to end, seconds.
        reading: What was found when the value came: see `backchannel.tasks.results`.
        looks: Whether the model that is told of it can look further into it.
        superseded_by: Id of a later task for the same call of the same tool, or None.
    """

    task_id: str
    tool_name: str
    arguments: Mapping[str, Any]
    result: Any
    error: BaseException | None
    elapsed: float
    reading: Reading | None = field(default=None, repr=False, compare=False)
    looks: bool = field(default=False, repr=False, compare=False)
    superseded_by: str | None = None

    @classmethod
    def of(cls, task: Task, teller: Any = None) -> AsyncTaskResult:
        """Return the outcome of a task that has ended.

        Args:
            teller: The agent that tells it; None for the one that asked for it.
        """
        return cls(
            task.id,
            task.tool_name,
            task.arguments,
            None if task.forgotten else task.value,
            task.error,
            task.elapsed,
            task.reading,
            looks_at_results(task.owner if teller is None else teller),
            task.superseded_by,
        )

    def text(self, limit: int = LIMIT) -> str:
        """Return what a model is told of the result, at most ``limit`` characters."""
        return text_for_model(self.result, self.reading, f"task {self.task_id}", limit, looks=self.looks)

    @property
    def value(self) -> Any:
        """The same as ``result``."""
        return self.result

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """The same as ``arguments``."""
        return self.arguments

    @property
    def elapsed_ms(self) -> float:
        """From start to end, milliseconds."""
        return self.elapsed * 1000


class Changes:
    """The tasks that changed since they were taken last; each once, however often it changed."""

    def __init__(self, manager: AsyncToolManager) -> None:
        self._changed: set[Task] = set()
        self._remove = manager.subscribe(self._note, (*KINDS, "logged"))

    def _note(self, task: Task, kind: Kind) -> None:
        del kind
        self._changed.add(task)

    def take(self) -> list[Task]:
        """Return them, in no order. From one thread at a time, while others report."""
        # One by one: the set must stay the same object, or a report that comes meanwhile is lost.
        return [self._changed.pop() for _ in range(len(self._changed))]

    def close(self) -> None:
        """Note no more changes."""
        self._remove()
