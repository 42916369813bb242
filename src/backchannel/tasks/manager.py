"""The manager: starts tasks, keeps them, and tells who listens."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import TaskError
from ..journal import Store
from . import lifecycle
from .again import UNBOUND
from .dependencies import After, split
from .duplicates import OnDuplicate
from .engine import KEEP_BYTES
from .ledger import Ledger
from .opener import Opener
from .options import GRACE_S, Announce, TaskOptions
from .outcome import KINDS, AsyncTaskResult, Changes, Kind, Listener
from .retry import RetryOn
from .task import Task

if TYPE_CHECKING:
    from .decorator import AsyncTool

__all__ = [
    "AsyncTaskResult",
    "AsyncToolManager",
    "Changes",
    "Kind",
    "Listener",
    "default_manager",
    "set_default_manager",
]


class AsyncToolManager(Opener):
    """Runs functions in the background: plain ones in threads, ``async def`` as coroutines.

    All methods may be called from any thread. Leaving ``with`` waits for all tasks; after an error it cancels them.
    The threads are daemons: the interpreter's exit never waits for a task.

    Args:
        max_workers: Plain functions that run at a time; the others wait, higher priority first, then first come first
            served. One that waits for another task lends its place meanwhile.
        on_complete: Called with the `AsyncTaskResult` of every task, in the thread where it ended. May be set later,
            and a subclass may have it as a method.
        max_coroutines: The same bound for ``async def``; None for none.
        max_running: Bound for all tasks together, wherever they run; None for none.
        max_queued: How many tasks may wait; further ones are refused. None for any number. Attempts after the first
            are never refused.
        runner: Where tasks run that do not say: ``"thread"``, ``"process"``, an executor, a Dask client or its
            address; None for threads and coroutines.
        grace_s: How long a model's call waits for a quick result before it is acknowledged, seconds.
        clock: Seconds, never going back.
        keep_bytes: How much the values, arguments and errors of ended tasks may hold in all, bytes, as far as can be
            told cheaply. Beyond that the oldest are forgotten; one whose result is pending keeps its text, and the
            newest is kept always.
        ledger: Where it is written down what becomes of the tasks: the path of a file, a store of
            `backchannel.journal` such as ``S3Store``, or a `Ledger`; None for nowhere. What is there already comes
            back: results that were not told, deferred tasks, tasks on a cluster, and what was lost.

    Raises:
        ValueError: If a bound cannot be used; names it.
        SessionError: If the ledger is in use, was damaged, or cannot be read; nothing of it was changed.
    """

    def __init__(
        self,
        max_workers: int = 4,
        on_complete: Callable[[AsyncTaskResult], object] | None = None,
        *,
        max_coroutines: int | None = None,
        max_running: int | None = None,
        max_queued: int | None = None,
        runner: Any = None,
        grace_s: float = GRACE_S,
        clock: Callable[[], float] = time.monotonic,
        ledger: str | os.PathLike[str] | Store | Ledger | None = None,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        for name, bound, least, none in (
            ("max_workers", max_workers, 1, ""),
            ("max_coroutines", max_coroutines, 1, ", or None"),
            ("max_running", max_running, 1, ", or None"),
            ("max_queued", max_queued, 0, ", or None"),
            ("keep_bytes", keep_bytes, 0, ""),
        ):
            if bound is None and none:
                continue
            if isinstance(bound, bool) or not isinstance(bound, int) or bound < least:
                raise ValueError(f"AsyncToolManager: {name} must be {least} or more{none}, not {bound!r}")
        if not 0 <= grace_s < math.inf:
            raise ValueError(f"AsyncToolManager: grace_s must be 0 seconds or more, not {grace_s!r}")
        super().__init__(max_workers, max_coroutines, max_running, max_queued, runner, clock)
        if on_complete is not None:
            if not callable(on_complete):
                raise ValueError(f"AsyncToolManager: on_complete must be a function, not {on_complete!r:.100}")
            self.on_complete = on_complete
        self.grace_s = grace_s
        self.keep_bytes = keep_bytes
        if ledger is not None:
            self.keep(ledger)

    # Starting

    def submit(self, tool_name: str, fn: Callable[..., Any], /, **kwargs: Any) -> str:
        """Start ``fn(**kwargs)`` and return the task's id.

        Raises:
            TaskRefusedError: If the manager was shut down, or too many tasks wait.
        """
        return self.start(tool_name, fn, kwargs).id

    def start(
        self,
        tool_name: str,
        fn: Callable[..., Any],
        arguments: Mapping[str, Any],
        *,
        injected: Mapping[str, Any] | None = None,
        asynchronous: bool | None = None,
        owner: Any = None,
        call_id: str | None = None,
        label: str | None = None,
        announce: Announce = "when_free",
        timeout: float | None = None,
        acknowledging: bool = False,
        after: After | None = None,
        retries: int = 0,
        retry_on: RetryOn = (Exception,),
        backoff_s: float = 1.0,
        priority: int = 0,
        limit: int | None = None,
        on_duplicate: OnDuplicate = "start_another",
        deferred: bool = False,
        runner: Any = None,
    ) -> Task:
        """Start ``fn(**arguments, **injected)`` and return its task at once.

        An argument that is a `Task` stands for its result: the function starts when that is there.

        Args:
            injected: Arguments that are nobody's business: they are not shown.
            asynchronous: Whether ``fn`` is a coroutine function or asynchronous generator; None to find out.
            owner: Who asked for it; listeners may look at it.
            call_id: Id of the model's call.
            label: What to call the run; otherwise made from the tool's name and the arguments.
            timeout: Longest run, seconds, from the first start of the function, all attempts together. Progress does
                not lengthen it.
            acknowledging: `Task.acknowledge` will be called: a task that ends before counts as delivered.
            after: Tasks, their ids or numbers: the function starts when they are done. If one has no result, the task
                fails.
            retries: How often the function is run again after an error.
            retry_on: After which errors: classes, or names of classes.
            backoff_s: Longest pause before the first further attempt, seconds; doubled each time, up to a minute. The
                pause is drawn by lot between 0 and that.
            priority: Higher starts first.
            limit: How many tasks of this tool may run at a time, in each runner that it is given.
            on_duplicate: What to do while a task of the same tool with equal arguments has not ended: start another,
                return that one, refuse, or cancel that one and start.
            deferred: The value comes from elsewhere after the function has returned: see `Deferred`.
            runner: Where it runs; None for the manager's.

        Raises:
            TaskRefusedError: If the manager was shut down, too many tasks wait, it is a duplicate, a task in ``after``
                is not known, or the task can be run nowhere.
            ValueError: If an option cannot be used; names it.
        """
        try:
            options = TaskOptions.of(
                announce=announce,
                timeout=timeout,
                retries=retries,
                retry_on=retry_on,
                backoff_s=backoff_s,
                priority=priority,
                limit=limit,
                on_duplicate=on_duplicate,
                deferred=deferred,
                runner=runner,
            )
        except ValueError as error:
            raise ValueError(f"{tool_name!r} was not started: {error}") from None
        given, references = split(arguments, self._known, by_text=False)
        return self.launch(
            tool_name,
            fn,
            given,
            options,
            injected=injected,
            asynchronous=asynchronous,
            owner=owner,
            call_id=call_id,
            label=label,
            acknowledging=acknowledging,
            after=after,
            references=references,
        )[0]

    # Looking

    @property
    def tasks(self) -> list[Task]:
        """All that are kept, oldest first: under way, the last thousand that have ended, and those still to be told.

        Of those that have ended only as many as hold no more than ``keep_bytes``.
        """
        with self.lock:
            return self.store.tasks

    @property
    def pending_count(self) -> int:
        """How many tasks have not ended."""
        return self._pending

    def task(self, which: str | int) -> Task | None:
        """Return a task by its id or its number, or None."""
        with self.lock:
            return self.store.find(which)

    def subscribe(self, listener: Listener, kinds: Collection[Kind] = KINDS) -> Callable[[], None]:
        """Call ``listener(task, kind)`` on each change, in whatever thread; returns what ends that.

        Kinds are ``queued``, ``started``, ``progressed``, ``finished``, and if asked for ``logged``. A listener must
        be short. What it raises is logged. Between threads the order of calls is not promised: look at the task.
        """
        unknown = [kind for kind in kinds if kind not in self.listeners]
        if unknown:
            raise ValueError(
                f"no such kind of change: {', '.join(map(repr, unknown))}; known are {', '.join(self.listeners)}"
            )
        with self.lock:
            for kind in kinds:
                self.listeners[kind] = (*self.listeners[kind], listener)

        def unsubscribe() -> None:
            with self.lock:
                for kind in kinds:
                    kept = list(self.listeners[kind])
                    if listener in kept:
                        kept.remove(listener)
                        self.listeners[kind] = tuple(kept)

        return unsubscribe

    def changes(self) -> Changes:
        """Return a note of changed tasks, for someone who looks now and then."""
        return Changes(self)

    # Ending

    def cancel(self, which: str | int, reason: str = "") -> bool:
        """Cancel a task by id or number; False if there is none or it has ended."""
        task = self.task(which)
        return task is not None and self.cancel_task(task, reason)

    def cancel_task(self, task: Task, reason: str = "") -> bool:
        """Cancel a task; False if it has ended."""
        return self.feed(task, lifecycle.CancelRequested(self.clock(), reason))

    def forget(self, which: Task | AsyncTool | str | int | None = None) -> int:
        """Let go of ended tasks, with their values, arguments and errors, to free memory. Returns how many they were.

        Their results are not told any more; ``task.value`` and ``task.result()`` say that they were forgotten.

        Args:
            which: A task, its id or number; a tool or its name, for all its runs; None for all tasks.
        """
        with self.lock:
            found = [which] if isinstance(which, Task) else self._found(which)
            ended = [task for task in found if task.manager is self and task.done()]
            ended = [task for task in ended if self.store.forget(task) or not task.forgotten]
        for task in ended:
            task.let_go("It was forgotten.", {})
            task.delivered = True
        return len(ended)

    def _found(self, which: AsyncTool | str | int | None) -> list[Task]:
        if which is None:
            return self.store.tasks
        if isinstance(which, (str, int)) and (task := self.store.find(which)) is not None:
            return [task]
        name = getattr(which, "tool_name", which)
        return [task for task in self.store.tasks if task.tool_name == name]

    def shutdown(self, wait: bool = True, cancel: bool = False) -> None:
        """Accept no more tasks.

        Args:
            wait: Block until all tasks have ended and were told. Deferred ones without a poll are not waited for; they
                can still be resolved.
            cancel: Cancel those that have not ended, first.

        Raises:
            TaskError: If ``wait`` would wait for the event loop that runs in this thread; nothing is shut down then.
        """
        with self.lock:
            under_way = [task for task in self.store.tasks if not task.done()]
        if wait and not cancel:
            for task in under_way:
                self.check_may_block(task)
        with self.lock:
            self._closed = True
            under_way = [task for task in self.store.tasks if not task.done()]
        if cancel:
            # Those that wait first, so that none of them gets the place of one that was cancelled.
            for task in sorted(under_way, key=lambda task: task.life.phase != "waiting"):
                self.cancel_task(task, "its manager was shut down")
        if wait:
            with self._idle:
                self._idle.wait_for(lambda: self._pending == len(self._open) and self._telling == 0)
        if wait or not under_way:
            self.at_rest()

    def close_for_exit(self) -> list[Task]:
        """The interpreter ends: take no more tasks and tell nobody; returns the tasks that have not ended."""
        with self.lock:
            self._closed = self._exiting = True
            return [task for task in self.store.tasks if not task.done()]

    def __enter__(self) -> AsyncToolManager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown(wait=True, cancel=error is not None)

    def check_may_await(self, task: Task) -> None:
        """Raise `TaskError` if the task, or one that it waits for, is the one whose body runs here."""
        self._check_wait(task, awaits=True)

    def check_may_block(self, task: Task) -> None:
        """The same, also if one needs the event loop that runs in this thread."""
        self._check_wait(task, awaits=False)

    def _check_wait(self, task: Task, awaits: bool) -> None:
        left, seen = [task], {task}
        while left:
            needed = left.pop()
            job = needed.job
            if job is not None and job.is_run_here():
                raise TaskError(
                    f"Task {needed.number}, {needed.label}, cannot wait for itself, nor for one that starts after it: "
                    "that would never end."
                )
            if job is not None and not awaits and job.runner.is_carried_here(job):
                raise TaskError(
                    f"Task {needed.number}, {needed.label}, runs on the event loop of this very thread, which a "
                    "blocking wait would stop for ever: write 'await task' instead."
                )
            if job is not None and job.ticket.place == "held":
                left += [other for other in needed.dependencies if other not in seen and not other.done()]
                seen.update(left)


_default_lock = threading.Lock()
_default: AsyncToolManager | None = None


def default_manager() -> AsyncToolManager:
    """Return the manager of this process, made when it is first asked for."""
    global _default
    with _default_lock:
        if _default is None:
            _default = AsyncToolManager()
        return _default


def is_default(manager: object) -> bool:
    """Whether this is the manager of tools that name none, now."""
    return manager is _default


def declared(tool: AsyncTool) -> None:
    """A tool that names no manager was made."""
    UNBOUND[tool.tool_name] = tool
    if _default is not None:
        _default.tool_came(tool)


def set_default_manager(manager: AsyncToolManager | None) -> None:
    """Use this manager for tools that name none; None for a new one when it is asked for."""
    global _default
    with _default_lock:
        _default = manager
    if manager is not None:
        for tool in list(UNBOUND.values()):
            manager.tool_came(tool)
