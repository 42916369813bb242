"""The manager: starts tasks, keeps them, and tells who listens."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, TypeAlias

from ..errors import TaskError, TaskRefusedError
from ..tools.text import error_text
from . import lifecycle
from .job import TaskJob, is_asynchronous
from .lifecycle import Command, Life
from .runners.coroutines import CoroutineRunner
from .runners.runner import Runner
from .runners.threads import ThreadRunner
from .task import Announce, Task
from .timers import Timers
from .wording import duration

__all__ = [
    "AsyncTaskResult",
    "AsyncToolManager",
    "Changes",
    "Kind",
    "Listener",
    "default_manager",
    "set_default_manager",
]

_log = logging.getLogger(__name__)

Kind: TypeAlias = Literal["queued", "started", "progressed", "logged", "finished"]
Listener: TypeAlias = Callable[[Task, Any], object]

KINDS: tuple[Kind, ...] = ("queued", "started", "progressed", "finished")
KEPT = 1000
"""Finished tasks that a manager keeps."""

_timers = Timers()


@dataclass(frozen=True, slots=True)
class AsyncTaskResult:
    """What came of a task, for `AsyncToolManager.on_complete`.

    Attributes:
        result: What the function returned, or None.
        error: What it raised, or why the task ended without a value; None where it is done.
        elapsed: From start to end, seconds.
    """

    task_id: str
    tool_name: str
    arguments: Mapping[str, Any]
    result: Any
    error: BaseException | None
    elapsed: float

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


class AsyncToolManager:
    """Runs functions in the background: plain ones in threads, ``async def`` as coroutines.

    All methods may be called from any thread. Leaving ``with`` waits for all tasks; after an error it cancels them.
    The threads are daemons: the interpreter's exit never waits for a task.

    Args:
        max_workers: Plain functions that run at a time; the others wait, first come first served.
        on_complete: Called with the `AsyncTaskResult` of every task, in the thread where it ended.
        max_coroutines: The same bound for ``async def``; None for none.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        max_workers: int = 4,
        on_complete: Callable[[AsyncTaskResult], object] | None = None,
        *,
        max_coroutines: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
            raise ValueError(f"AsyncToolManager: max_workers must be 1 or more, not {max_workers!r}")
        if max_coroutines is not None and max_coroutines < 1:
            raise ValueError(f"AsyncToolManager: max_coroutines must be 1 or more, or None, not {max_coroutines!r}")
        self.on_complete = on_complete
        self.clock = clock
        # Reentrant: a finalizer that the garbage collector runs here may come back to this manager.
        self.lock = threading.RLock()
        self.listeners: dict[Kind, tuple[Listener, ...]] = dict.fromkeys((*KINDS, "logged"), ())
        self._threads: Runner = ThreadRunner(max_workers)
        self._coroutines: Runner = CoroutineRunner(max_coroutines)
        self._idle = threading.Condition(self.lock)
        self._numbers = itertools.count(1)
        self._ids = self._new_ids()
        self._tasks: dict[str, Task] = {}
        self._by_number: dict[int, Task] = {}
        self._finished: deque[str] = deque()
        self._pending = 0
        self._telling = 0
        self._closed = False

    # Starting

    def submit(self, tool_name: str, fn: Callable[..., Any], /, **kwargs: Any) -> str:
        """Start ``fn(**kwargs)`` and return the task's id.

        Raises:
            TaskRefusedError: If the manager was shut down.
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
    ) -> Task:
        """Start ``fn(**arguments, **injected)`` and return its task at once.

        Args:
            injected: Arguments that are nobody's business: they are not shown.
            asynchronous: Whether ``fn`` is a coroutine function or asynchronous generator; None to find out.
            owner: Who asked for it; listeners may look at it.
            call_id: Id of the model's call.
            label: What to call the run; otherwise made from the tool's name and the arguments.
            timeout: Longest run, seconds, counted from the start of the function.
            acknowledging: `Task.acknowledge` will be called: a task that ends before counts as delivered.

        Raises:
            TaskRefusedError: If the manager was shut down, or the task can be run nowhere.
        """
        if timeout is not None and not timeout > 0:
            raise ValueError(f"the time-out of {tool_name!r} must be more than 0 seconds, not {timeout!r}")
        is_async = is_asynchronous(fn) if asynchronous is None else asynchronous
        runner = self._coroutines if is_async else self._threads
        with self.lock:
            if self._closed:
                raise TaskRefusedError(f"{tool_name} was not started: its AsyncToolManager is shut down.")
            task_id = next(self._ids)
            task = Task(
                self,
                task_id,
                next(self._numbers),
                tool_name,
                arguments,
                Life(self.clock()),
                owner=owner,
                call_id=call_id,
                label=label,
                announce=announce,
                timeout=timeout,
                acknowledging=acknowledging,
            )
            self._tasks[task_id] = self._by_number[task.number] = task
            self._pending += 1
        job = task.job = TaskJob(task, runner, fn, {**arguments, **injected} if injected else arguments)
        self.tell(task, "queued")
        try:
            runner.start(job)
        except TaskRefusedError as error:
            self.ended(task, lifecycle.CancelRequested(self.clock(), error_text(error)))
            raise
        return task

    # Looking

    @property
    def tasks(self) -> list[Task]:
        """All tasks that are kept, oldest first: those under way, and the last thousand that have ended."""
        with self.lock:
            return list(self._tasks.values())

    @property
    def pending_count(self) -> int:
        """How many tasks have not ended."""
        return self._pending

    def task(self, which: str | int) -> Task | None:
        """Return a task by its id or its number, or None."""
        with self.lock:
            if isinstance(which, str) and which in self._tasks:
                return self._tasks[which]
            number = int(which) if isinstance(which, int) or which.isdecimal() else 0
            return self._by_number.get(number)

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
        return self.ended(task, lifecycle.CancelRequested(self.clock(), reason))

    def shutdown(self, wait: bool = True, cancel: bool = False) -> None:
        """Accept no more tasks.

        Args:
            wait: Block until all tasks have ended and were told.
            cancel: Cancel those that have not ended, first.

        Raises:
            TaskError: If ``wait`` would wait for the event loop that runs in this thread; nothing is shut down then.
        """
        with self.lock:
            under_way = [task for task in self._tasks.values() if not task.done()]
        if wait and not cancel:
            for task in under_way:
                self.check_may_block(task)
        with self.lock:
            self._closed = True
            under_way = [task for task in self._tasks.values() if not task.done()]
        if cancel:
            for task in under_way:
                self.cancel_task(task, "its manager was shut down")
        if wait:
            with self._idle:
                self._idle.wait_for(lambda: self._pending == 0 and self._telling == 0)

    def __enter__(self) -> AsyncToolManager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown(wait=True, cancel=error is not None)

    # For tasks and their jobs

    def began(self, task: Task) -> bool:
        """A runner has a place for the task; whether its body may run."""
        with self.lock:
            task.life, commands = lifecycle.step(task.life, lifecycle.Started(self.clock()))
            if Command.RUN not in commands:
                return False
            if task.timeout is not None:
                reason = f"ran longer than its time-out of {duration(task.timeout)}"
                task.timer = _timers.after(
                    task.timeout, lambda: self.ended(task, lifecycle.TimeoutReached(self.clock(), reason))
                )
        self.tell(task, "started")
        return True

    def ended(self, task: Task, fact: lifecycle.Fact, value: Any = None, error: BaseException | None = None) -> bool:
        """A fact came that may end the task; whether it did. ``value`` and ``error`` are kept only then."""
        with self.lock:
            task.life, commands = lifecycle.step(task.life, fact)
            if Command.SETTLE not in commands:
                return False
            job, timer = task.job, task.timer
            callbacks = task.settle(value, error)
            self._pending -= 1
            self._telling += 1
            self._keep(task)
        if timer is not None:
            timer.cancel()
        if job is not None and Command.STOP in commands:
            job.runner.stop(job)
        try:
            for callback in callbacks:
                self._guarded(callback, "a callback", task)
            self.tell(task, "finished")
            if self.on_complete is not None:
                complete = self.on_complete
                self._guarded(lambda: complete(self._result(task)), "on_complete", task)
        finally:
            with self.lock:
                self._telling -= 1
                if self._closed:
                    self._idle.notify_all()
        return True

    def tell(self, task: Task, kind: Kind) -> None:
        """Tell the listeners of a change."""
        for listener in self.listeners[kind]:
            try:
                listener(task, kind)
            except Exception as error:  # noqa: BLE001 - a listener's fault is not the task's
                self.log_fault("a listener", task, error)

    def log_fault(self, who: str, task: Task, error: BaseException) -> None:
        """Log what somebody raised who was told of a task."""
        _log.error("%s for task %s (%s) raised", who, task.id, task.tool_name, exc_info=error)

    def check_may_block(self, task: Task) -> None:
        """Raise `TaskError` if the task needs the event loop that runs in this thread."""
        job = task.job
        if job is not None and job.runner.is_carried_here(job):
            raise TaskError(
                f"Task {task.number}, {task.label}, runs on the event loop of this very thread, which a blocking "
                "wait would stop for ever: write 'await task' instead."
            )

    def _new_ids(self) -> Iterator[str]:
        # In blocks: the call to the system lets other threads run, here with the lock held.
        while True:
            block = os.urandom(4096).hex()
            for start in range(0, len(block), 8):
                if (task_id := block[start : start + 8]) not in self._tasks:
                    yield task_id

    def _guarded(self, call: Callable[[], object], who: str, task: Task) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - nothing that is told of a task may harm it
            self.log_fault(who, task, error)

    def _result(self, task: Task) -> AsyncTaskResult:
        return AsyncTaskResult(task.id, task.tool_name, task.arguments, task.value, task.error, task.elapsed)

    def _keep(self, task: Task) -> None:
        self._finished.append(task.id)
        if len(self._finished) > KEPT:
            old = self._tasks.pop(self._finished.popleft())
            del self._by_number[old.number]


_default_lock = threading.Lock()
_default: AsyncToolManager | None = None


def default_manager() -> AsyncToolManager:
    """Return the manager of this process, made when it is first asked for."""
    global _default
    with _default_lock:
        if _default is None:
            _default = AsyncToolManager()
        return _default


def set_default_manager(manager: AsyncToolManager | None) -> None:
    """Use this manager for tools that name none; None for a new one when it is asked for."""
    global _default
    with _default_lock:
        _default = manager
