"""The engine of a manager: carries out what `lifecycle` and `admission` decide."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import random
import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import TaskError, TaskRefusedError
from ..tools.forks import watch_forks
from ..tools.text import error_text, shown
from ..tools.threads import WorkerThreads
from . import lifecycle
from .admission import Admission, Ticket
from .capture import inside
from .deferred import PENDING, Deferred
from .dependencies import obstacle
from .exit import watch_exit
from .job import TaskJob
from .ledger import Ledger
from .lifecycle import Command
from .outcome import KINDS, AsyncTaskResult, Kind, Listener
from .results import read
from .results import told as text_told
from .store import HEAVY, TaskStore
from .task import Task
from .timers import Timers
from .weight import weight_of
from .wording import duration

__all__ = ["KEPT", "Effects", "Engine"]

_log = logging.getLogger(__name__)
_OURS = (f"{__package__}.job", f"{__package__}.runners.")

KEPT = 1000
"""Ended tasks that a manager keeps, besides those that an agent is still to tell."""
KEEP_BYTES = 256_000_000
"""How much the values, arguments and errors of ended tasks may hold in all, bytes, unless a manager says otherwise."""
_ARGUMENT = 500

_timers = Timers()
# What a timer leads to may call a listener that blocks, and other timers must not wait for that.
_due = WorkerThreads(8, "backchannel-due")
_polls = WorkerThreads(16, "backchannel-poll")


@dataclass(slots=True)
class Effects:
    """What is to be done once the lock is free."""

    stops: list[TaskJob] = field(default_factory=list)
    admitted: list[Ticket[TaskJob]] = field(default_factory=list)
    dependents: list[TaskJob] = field(default_factory=list)
    acts: deque[Callable[[], object]] = field(default_factory=deque)


class Engine:
    """Moves tasks through their lives. From any thread."""

    on_complete: Callable[[AsyncTaskResult], object] | None = None
    keep_bytes = KEEP_BYTES

    def __init__(self, max_running: int | None, max_queued: int | None, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.listeners: dict[Kind, tuple[Listener, ...]] = dict.fromkeys((*KINDS, "logged", "announced", "told"), ())
        self.ledger: Ledger | None = None
        self.store = TaskStore()
        self._closed = False
        self._exiting = False
        self._fresh(max_running, max_queued)
        watch_forks(self)

    def _fresh(self, max_running: int | None, max_queued: int | None) -> None:
        # Reentrant: a finalizer that the garbage collector runs here may come back to this manager.
        self.lock = threading.RLock()
        self.admission: Admission[TaskJob] = Admission(max_running, max_queued)
        self._idle = threading.Condition(self.lock)
        self._pending = 0
        self._telling = 0
        self._open: set[Task] = set()
        self._pauses: dict[Task, Any] = {}
        self._dependents: dict[Task, list[TaskJob]] = {}
        self._advice: dict[Task, str] = {}

    def after_fork(self) -> None:
        """This is a forked child: what the parent's threads run and tell is not its own, and new tasks are."""
        self._fresh(self.admission.max_running, self.admission.max_queued)
        gone = lifecycle.Vanished(self.clock(), "it runs in the process that this one was forked from")
        for task in self.store.tasks:
            task.leave_to_parent()
            if not task.done():
                task.life, _ = lifecycle.step(task.life, gone)
                task.timer = None
                task.settle(None, None)
                self.store.ended(task, KEPT)
        watch_exit(self)

    # For jobs

    def began(self, job: TaskJob) -> bool:
        """A runner has a place for the job; whether its body may run."""
        task, effects = job.task, Effects()
        with self.lock:
            commands: tuple[Command, ...] = ()
            if task.job is job:
                task.life, commands = lifecycle.step(task.life, lifecycle.Started(self.clock()))
            runs = Command.RUN in commands
            attempts = task.life.attempts
            if not runs:
                effects.admitted += self.admission.leave(job.ticket)
            elif attempts == 1:
                self.limit(task)
            else:
                task.begin_again()
        self.carry_out(effects)
        if runs and attempts == 1:
            self.tell(task, "started")
        elif runs and task.options.retry is not None:
            task.report(None, None, f"attempt {attempts} of {task.options.retry.retries + 1}")
        return runs

    def returned(self, job: TaskJob, value: Any) -> None:
        """A body returned."""
        now = self.clock()
        if job.task.options.deferred and not isinstance(value, Deferred):
            if value is not None:
                error = TaskError(
                    f"{job.task.tool_name} is deferred, but its function returned {type(value).__name__} instead of "
                    "Deferred or None. Return Deferred(), or make the tool without deferred=True."
                )
                self.feed(job.task, lifecycle.Raised(now), error=error, job=job)
                return
            value = Deferred()
        self.feed(job.task, lifecycle.Returned(now, deferred=isinstance(value, Deferred)), value, job=job)

    def raised(self, job: TaskJob, error: BaseException, stopped: bool) -> None:
        """A body raised, or was stopped from outside."""
        task, now = job.task, self.clock()
        release_frames(error)
        if stopped:
            reason = str(error) or "its event loop was stopped"
            self.feed(task, lifecycle.Raised(now, reason, stopped=True), job=job)
            return
        retry = task.options.retry
        again = retry is not None and retry.applies(error, task.life.attempts)
        self.feed(task, lifecycle.Raised(now, retry=again), error=error, job=job)

    def lend_place(self, job: TaskJob) -> None:
        """A body waits for another task, in one of its threads or more."""
        effects = Effects()
        with self.lock:
            job.waits += 1
            if job.waits == 1:
                effects.admitted += self.admission.lend(job.ticket)
                if (lend := getattr(job.runner, "lend", None)) is not None:
                    lend(job)
        self.carry_out(effects)

    def take_place_back(self, job: TaskJob) -> None:
        """A body waits no longer."""
        with self.lock:
            job.waits -= 1
            if job.waits == 0:
                self.admission.take_back(job.ticket)
                if (take_back := getattr(job.runner, "take_back", None)) is not None:
                    take_back(job)

    # Facts

    def feed(
        self,
        task: Task,
        fact: lifecycle.Fact,
        value: Any = None,
        error: BaseException | None = None,
        job: TaskJob | None = None,
    ) -> bool:
        """A fact came, from a ``job`` or from elsewhere; whether it ended the task."""
        effects = Effects()
        comes = isinstance(fact, (lifecycle.Returned, lifecycle.Resolved)) and not isinstance(value, Deferred)
        # Before the lock is taken: it is the user's code, and may take its time.
        reading = read(task, value) if comes and not task.done() else None
        with self.lock:
            ended = self.apply(effects, task, fact, value, error, job)
            if ended:
                task.reading = reading
        self.carry_out(effects)
        return ended

    def apply(
        self,
        effects: Effects,
        task: Task,
        fact: lifecycle.Fact,
        value: Any = None,
        error: BaseException | None = None,
        job: TaskJob | None = None,
    ) -> bool:
        """The same with the lock held; ``effects`` are carried out later."""
        if job is not None:
            effects.admitted += self.admission.leave(job.ticket)
            if task.job is not job:
                return False
        at_work = task.job if task.life.phase == "body" else None
        task.life, commands = lifecycle.step(task.life, fact)
        for command in commands:
            match command:
                case Command.STOP if at_work is not None:
                    effects.stops.append(at_work)
                case Command.PAUSE if error is not None:
                    self._pause(effects, task, error)
                case Command.QUEUE if task.job is not None:
                    again = task.job.again()
                    effects.admitted += self.admission.again(again.ticket, task.job.ticket)
                    task.job = again
                case Command.AWAIT:
                    task.job = None
                    if self.ledger is not None:
                        effects.acts.append(functools.partial(self.ledger.deferred, task, value))
                    self.await_outside(task, value)
                case Command.SETTLE:
                    # A body that goes on although somebody else brought the value keeps its place.
                    if task.job is not None and (Command.STOP in commands or at_work is None):
                        effects.admitted += self.admission.leave(task.job.ticket)
                    self._settle(effects, task, value, error)
                case _:
                    pass
        return Command.SETTLE in commands

    def carry_out(self, effects: Effects) -> None:
        """Do what was ordered. What follows from it is done here too: a long chain of tasks is no deep recursion."""
        while True:
            if effects.stops:
                job = effects.stops.pop()
                self._guarded(functools.partial(job.runner.stop, job), "the runner", job.task)
            elif effects.admitted:
                admitted, effects.admitted = effects.admitted, []
                for ticket in admitted:
                    self._begin(effects, ticket.item)
            elif effects.dependents:
                self.look_at_dependencies(effects, effects.dependents.pop())
            elif effects.acts:
                effects.acts.popleft()()
            else:
                return

    def look_at_dependencies(self, effects: Effects, job: TaskJob) -> None:
        """Let a held job wait for a place if all that it needs is there, or end its task if that will never be."""
        task, manager = job.task, job.task.manager
        if task.done():
            return
        error: BaseException | None = obstacle(task, task.dependencies)
        arguments = None
        if error is None:
            if not all(other.done() for other in task.dependencies):
                return
            try:
                arguments = job.prepare() if job.prepare is not None else None
            except Exception as raised:  # noqa: BLE001 - the result does not fit: the task has no arguments
                error = raised
        with manager.lock:
            if error is not None:
                manager.apply(effects, task, lifecycle.Rejected(manager.clock()), error=error)
            elif job.ticket.place == "held":
                if arguments is not None:
                    job.arguments = arguments
                effects.admitted += manager.admission.ready(job.ticket)

    def await_outside(self, task: Task, deferred: Deferred) -> None:
        """The value comes from elsewhere. With the lock held."""
        self.advise(task, deferred)
        if deferred.poll is None:
            self._open.add(task)
            self._idle.notify_all()
            return
        self._poll_later(task, deferred, contextvars.copy_context(), 0)

    def is_left_open(self, task: Task) -> bool:
        """Whether only somebody else can end the task: its body has returned, and nobody asks for the value."""
        return task in self._open

    def advise(self, task: Task, deferred: Deferred) -> None:
        """Keep what a time-out is to say besides. With the lock held."""
        if deferred.advice:
            self._advice[task] = deferred.advice

    # Telling

    def tell(self, task: Task, kind: Kind) -> None:
        """Tell the listeners of a change."""
        for listener in self.listeners[kind]:
            try:
                listener(task, kind)
            except Exception as error:  # noqa: BLE001 - a listener's fault is not the task's
                self.log_fault("a listener", task, error)

    def told(self, task: Task) -> None:
        """It was noted of a task whether its result was told."""
        if task.delivered:
            with self.lock:
                self.store.told(task)
        self.tell(task, "told")

    def log_fault(self, who: str, task: Task, error: BaseException) -> None:
        """Log what somebody raised who was told of a task."""
        _log.error("%s for task %s (%s) raised", who, task.id, task.tool_name, exc_info=error)

    def _begin(self, effects: Effects, job: TaskJob) -> None:
        manager = job.task.manager
        try:
            job.runner.start(job)
        except TaskRefusedError as error:
            job.refusal = error
            with manager.lock:
                manager.apply(effects, job.task, lifecycle.CancelRequested(manager.clock(), error_text(error)))
        except Exception as error:  # noqa: BLE001 - a runner's fault ends this task only
            with manager.lock:
                manager.apply(effects, job.task, lifecycle.Rejected(manager.clock()), error=error)

    def _settle(self, effects: Effects, task: Task, value: Any, error: BaseException | None) -> None:
        timer, pause = task.timer, self._pauses.pop(task, None)
        task.timer = None
        callbacks = task.settle(value, error)
        self._pending -= 1
        self._telling += 1
        self._open.discard(task)
        self._advice.pop(task, None)
        self.store.ended(task, KEPT)
        effects.dependents += self._dependents.pop(task, ())
        effects.acts.append(functools.partial(self._tell_end, task, callbacks, [timer, pause]))

    def _tell_end(self, task: Task, callbacks: list[Callable[[], object]], timers: list[Any]) -> None:
        try:
            for timer in timers:
                if timer is not None:
                    timer.cancel()
            if self.ledger is not None:
                self._guarded(functools.partial(self.ledger.ended, task), "the ledger", task)
            for callback in callbacks:
                self._guarded(callback, "a callback", task)
            if self._exiting:
                return  # Whoever is told would begin something that the end of the interpreter cuts off.
            self.tell(task, "finished")
            if (complete := self.on_complete) is not None:
                self._guarded(lambda: complete(AsyncTaskResult.of(task)), "on_complete", task)
        finally:
            self._guarded(functools.partial(self._weigh, task), "the weighing", task)
            with self.lock:
                self._telling -= 1
                if self._closed:
                    self._idle.notify_all()
                last = self._closed and self._pending == self._telling == 0
            if last:
                self._guarded(self.at_rest, "the end of the manager", task)

    def _weigh(self, task: Task) -> None:
        """Keep no more bytes of ended tasks than may be: the oldest are forgotten, those to be told keep their text."""
        error = task.error
        weight = 0 if task.forgotten else weight_of((task.value, dict(task.arguments), getattr(error, "args", ())))
        if weight < HEAVY:
            return
        with self.lock:
            pending = self.store.weigh(task, weight, self.keep_bytes)
        for old in pending:
            old.let_go(text_told(old), {name: shown(value, _ARGUMENT)[0] for name, value in old.arguments.items()})

    @property
    def is_exiting(self) -> bool:
        """Whether the interpreter is about to end."""
        return self._exiting

    def at_rest(self) -> None:
        """The manager was shut down, and nothing runs in it any more: let go of what is held for tasks to come."""
        if self.ledger is not None:
            self.ledger.release()

    def _guarded(self, call: Callable[[], object], who: str, task: Task) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - nothing that is told of a task may harm it
            self.log_fault(who, task, error)

    # Later

    def limit(self, task: Task, left_s: float | None = None) -> None:
        """End the task when its time-out is over, or after so many seconds."""
        if task.timeout is not None:
            task.timer = _timers.after(
                task.timeout if left_s is None else left_s, lambda: _due.submit(lambda: self._time_out(task))
            )

    def _time_out(self, task: Task) -> None:
        reason = f"ran longer than its time-out of {duration(task.timeout or 0)}"
        if advice := self._advice.get(task):
            reason += f". {advice.rstrip('.')}"
        self.feed(task, lifecycle.TimeoutReached(self.clock(), reason))

    def _pause(self, effects: Effects, task: Task, error: BaseException) -> None:
        retry, failures = task.options.retry, task.life.attempts
        if retry is None:
            return
        pause_s = retry.pause_s(failures, random.random())  # noqa: S311 - no secret
        said = f"Attempt {failures} of {retry.retries + 1} failed: {_named(error)}"
        effects.acts.append(lambda: task.log(f"{said}; trying again after {duration(pause_s)}."))
        effects.acts.append(
            lambda: self._after(task, pause_s, _due, lambda: self.feed(task, lifecycle.RetryDue(self.clock())))
        )

    def ask_elsewhere(self, question: Callable[[], object]) -> None:
        """Call something that may ask a service, in one of the threads for that."""
        _polls.submit(question)

    def _poll_later(self, task: Task, deferred: Deferred, context: contextvars.Context, failures: int) -> None:
        poll = functools.partial(self._poll, task, deferred, context, failures)
        self._after(task, deferred.every_s, _polls, poll)

    def _after(self, task: Task, seconds: float, threads: WorkerThreads, call: Callable[[], object]) -> None:
        with self.lock:
            if not task.done():
                self._pauses[task] = _timers.after(seconds, lambda: threads.submit(call))

    def _poll(self, task: Task, deferred: Deferred, context: contextvars.Context, failures: int) -> None:
        if task.done() or deferred.poll is None:
            return
        try:
            value = context.run(_asked, task, deferred.poll)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it ends this task only
            retry = task.options.retry
            if retry is None or not retry.applies(error, failures + 1):
                self.feed(task, lifecycle.Rejected(self.clock()), error=error)
                return
            task.log(f"Asking for the value failed: {_named(error)}")
            self._poll_later(task, deferred, context, failures + 1)
            return
        if value is PENDING:
            self._poll_later(task, deferred, context, 0)
        else:
            self.feed(task, lifecycle.Resolved(self.clock()), value)


def _asked(task: Task, poll: Callable[[], Any]) -> Any:
    with inside(task):
        value = poll()
        return asyncio.run(value) if inspect.iscoroutine(value) else value


def release_frames(error: BaseException) -> None:
    """Let go of what the frames of an error hold; its traceback stays, from where the body begins."""
    left, seen = [error], set[int]()
    while left:
        error = left.pop()
        if id(error) in seen:
            continue
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        inner = error.__traceback__
        while inner is not None and inner.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
            inner = inner.tb_next
        if inner is not None:
            error.__traceback__ = inner
        left += [other for other in (error.__cause__, error.__context__) if other is not None]
        if isinstance(error, BaseExceptionGroup):
            left += error.exceptions


def _named(error: BaseException) -> str:
    said, name = error_text(error, 300), type(error).__name__
    return said if said.startswith(name) else f"{name}: {said}"
