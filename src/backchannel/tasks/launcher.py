"""The launcher of a manager: makes a task of a call, or says why not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, cast

from ..errors import TaskRefusedError
from ..tools.tool import AgentTool
from . import lifecycle
from .dependencies import After, all_of, filled, shown
from .duplicates import call_key
from .engine import Effects, Engine
from .job import TaskJob, is_asynchronous
from .lifecycle import Life
from .options import TaskOptions
from .runners import Runner, runner_of
from .runners.choose import runners_of
from .runners.coroutines import CoroutineRunner
from .runners.threads import ThreadRunner
from .task import Task
from .wording import label_of

if TYPE_CHECKING:
    from .manager import AsyncToolManager

__all__ = ["Launcher"]


class Launcher(Engine):
    """Starts tasks, each where it is to run."""

    def __init__(
        self,
        max_workers: int,
        max_coroutines: int | None,
        max_running: int | None,
        max_queued: int | None,
        runner: Any,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(max_running, max_queued, clock)
        self.max_workers = max_workers
        self.max_coroutines = max_coroutines
        self.runner = runner
        self.threads: Runner = ThreadRunner(max_workers)
        self.coroutines: Runner = CoroutineRunner(max_coroutines)

    @property
    def manager(self) -> AsyncToolManager:
        """Itself, as what tasks belong to."""
        return cast("AsyncToolManager", self)

    def launch(
        self,
        tool_name: str,
        fn: Callable[..., Any],
        arguments: Mapping[str, Any],
        options: TaskOptions,
        *,
        injected: Mapping[str, Any] | None = None,
        asynchronous: bool | None = None,
        owner: Any = None,
        call_id: str | None = None,
        label: str | None = None,
        acknowledging: bool = False,
        after: After | None = None,
        references: Mapping[str, Task] | None = None,
        check: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        key: Hashable = None,
    ) -> tuple[Task, bool]:
        """Start a task as `start` does, with checked options; returns it, and whether it was there already.

        Args:
            references: Arguments that are results of tasks.
            check: Checks and converts all arguments once those results are there.
            key: What makes the call a duplicate of another; None for tool and arguments, where it matters.
        """
        if isinstance(fn, AgentTool):
            fn = getattr(fn, "fn", fn)
        if not callable(fn):
            raise TypeError(f"{tool_name} was not started: {type(fn).__name__} is no function")
        runner, pool_limit = self._place(tool_name, fn, options, asynchronous)
        needed = (*all_of(after, self._known), *(references or {}).values())
        known = shown(arguments, references) if references else arguments
        if key is None and options.on_duplicate != "start_another":
            key = call_key(tool_name, known)
        effects = Effects()
        with self.lock:
            if self._closed:
                raise TaskRefusedError(f"{tool_name} was not started: its AsyncToolManager is shut down.")
            twins = [] if key is None else self.store.same_as(key)
            ours = [twin for twin in twins if owner is None or twin.owner is None or twin.owner is owner]
            if twins and (twin := self._duplicate(tool_name, options, twins, ours, owner)) is not None:
                return twin, True
            replaced = ours if options.on_duplicate == "replace" else []
            task = Task(
                self.manager,
                next(self.store.ids),
                self.store.next_number(),
                tool_name,
                known,
                Life(self.clock()),
                owner=owner,
                call_id=call_id,
                label=_label(tool_name, arguments, references) if label is None and references else label,
                options=options,
                acknowledging=acknowledging,
            )
            task.where = getattr(runner, "kind", "runner")
            task.references = tuple(references) if references else ()
            task.labelled = label is not None
            complete = {**arguments, **injected} if injected else arguments
            job = TaskJob(task, runner, fn, complete, pool_limit=pool_limit)
            here = getattr(runner, "here", None)
            job.home = here() if here is not None else None
            if references:
                job.prepare = _filling(arguments, references, check, injected)
            leaving = [twin.job.ticket for twin in replaced if twin.job is not None] if replaced else []
            refused = self.admission.refuses(job.ticket, held=bool(needed), instead_of=leaving)
            if not refused:
                for twin in replaced:
                    self.apply(effects, twin, lifecycle.CancelRequested(self.clock(), "a newer call replaced it"))
                task.job, task.key, task.dependencies = job, key, needed
                self.store.add(task, ours)
                self._pending += 1
                # Who has to wait is held until the listeners know of the task: its end must not be told before.
                held = bool(needed) or not self.admission.admits(job.ticket)
                effects.admitted += self.admission.enter(job.ticket, held=held)
        if refused:
            raise TaskRefusedError(
                f"{tool_name} was not started: {self.admission.queued} tasks wait already, and no more may "
                f"(max_queued={self.admission.max_queued}). Try again when some have ended, or cancel some."
            )
        try:
            self.tell(task, "queued")
            if self.ledger is not None:
                self._guarded(functools.partial(self.ledger.created, task), "the ledger", task)
        finally:
            if held and not needed:
                with self.lock:
                    effects.admitted += self.admission.ready(job.ticket)
            # Not with our lock held: the others may be another manager's.
            for other in set(needed):
                other.manager.note_dependent(other, job)
            if needed:
                effects.dependents.append(job)
            self.carry_out(effects)
        if job.refusal is not None:
            raise job.refusal
        return task, False

    def at_rest(self) -> None:
        super().at_rest()
        for runner in (self.threads, *runners_of(self)):
            close_idle = getattr(runner, "close_idle", None)
            if close_idle is not None:
                close_idle()

    def note_dependent(self, task: Task, job: TaskJob) -> None:
        """``job`` waits for the end of ``task``. It may have ended meanwhile."""
        with self.lock:
            if not task.done():
                self._dependents.setdefault(task, []).append(job)

    def _place(
        self, tool_name: str, fn: Callable[..., Any], options: TaskOptions, asynchronous: bool | None
    ) -> tuple[Runner, int | None]:
        choice = self.runner if options.runner is None else options.runner
        if choice is None:
            is_async = is_asynchronous(fn) if asynchronous is None else asynchronous
            runner = self.coroutines if is_async else self.threads
        else:
            runner = runner_of(choice, self)
        if runner is self.threads:
            return runner, self.max_workers
        if runner is self.coroutines:
            if not (is_asynchronous(fn) if asynchronous is None else asynchronous):
                raise TaskRefusedError(
                    f'{tool_name} was not started: runner="coroutine" takes only async functions, and this is a plain '
                    'one. Use runner="thread", or write it as async def.'
                )
            return runner, self.max_coroutines
        return runner, getattr(runner, "limit", None)

    def _duplicate(
        self, tool_name: str, options: TaskOptions, twins: list[Task], ours: list[Task], owner: Any
    ) -> Task | None:
        """Apply the rule for duplicates; returns the task to be used instead of a new one. With the lock held.

        Only the tasks in ``ours`` may be used again: the others are another agent's.
        """
        twin = twins[-1]
        if options.on_duplicate == "refuse":
            raise TaskRefusedError(
                f"{tool_name} was not started: task {twin.number}, {twin.label}, is doing the same and is not done "
                "yet. Wait for its result, or cancel it first."
            )
        if options.on_duplicate == "reuse" and ours:
            twin = ours[-1]
            twin.owner = owner if twin.owner is None else twin.owner
            return twin
        return None

    def _known(self, which: Task | str | int) -> Task:
        if isinstance(which, Task):
            return which
        task = self.store.find(which) if isinstance(which, (str, int)) else None
        if task is None:
            raise TaskRefusedError(f"There is no task {which!r:.60}, so none can wait for it.")
        return task


def _label(tool_name: str, arguments: Mapping[str, Any], references: Mapping[str, Task]) -> str:
    return label_of(tool_name, {**arguments, **{name: f"task {task.number}" for name, task in references.items()}})


def _filling(
    arguments: Mapping[str, Any],
    references: Mapping[str, Task],
    check: Callable[[dict[str, Any]], dict[str, Any]] | None,
    injected: Mapping[str, Any] | None,
) -> Callable[[], Mapping[str, Any]]:
    def fill() -> Mapping[str, Any]:
        complete = filled(arguments, references)
        return {**(complete if check is None else check(complete)), **(injected or {})}

    return fill
