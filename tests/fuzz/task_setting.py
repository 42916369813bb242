"""A manager between callers, runners and time that a machine drives, and what must hold of its tasks at any time."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant

from backchannel.tasks import AsyncTaskResult, AsyncTool, AsyncToolManager, Task
from tests.support.loop_timers import LoopTimers
from tests.support.manual_runner import ManualRunner
from tests.support.soak import amount
from tests.support.virtual_time import VirtualTimeLoop

T = TypeVar("T")

LIMITS = {"free": None, "single": 1, "pair": 2, "elsewhere": None}
"""How many of each tool may run at a time."""
PLACES = 3
"""How many jobs the first runner takes; the other one, for what runs elsewhere, takes any number."""
BACKOFF_S = 4.0
GRACE_S = 0.5


def lives(cases: int) -> settings:
    """Return the settings of a machine that has so many cases in the ordinary run."""
    return settings(
        max_examples=amount(cases, 10_000),
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )


def pick(found: Sequence[T], which: int) -> T | None:
    return found[which % len(found)] if found else None


class Call:
    """A model's call, and what it was answered."""

    def __init__(self, asked: asyncio.Task[None]) -> None:
        self.asked = asked
        self.answers: list[Any] = []
        self.cut = False


class TaskSetting(RuleBasedStateMachine):
    """What a `TaskWorld` is made of, without what happens in it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        asyncio.set_event_loop(None)
        self.faults: list[Any] = []
        self.loop.set_exception_handler(lambda _, context: self.faults.append(context))
        self.patch = pytest.MonkeyPatch()
        self.timers = LoopTimers.installed(self.loop, self.patch)
        self.tasks: list[Task] = []
        self.kinds: dict[str, list[str]] = {}
        self.completed: Counter[str] = Counter()
        self.called_back: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.pauses: dict[str, float] = {}
        self.begun: dict[str, float] = {}
        self.waiters: list[tuple[Task, asyncio.Task[None]]] = []
        self.calls: dict[str, Call] = {}
        self.polls: list[Any] = []
        self.tokens: dict[str, str] = {}
        self.reaction: tuple[str, str, int] | None = None
        self.reactions = 0
        self.replacing = self.closed = False

    def note(self, task: Task, kind: str) -> None:
        """Called by the manager at each change of a task."""
        if kind == "queued":
            self.check(task.id not in {other.id for other in self.tasks}, "an id was given twice")
            self.check(task.number not in {other.number for other in self.tasks}, "a number was given twice")
            self.tasks.append(task)
            task.add_done_callback(lambda: self.called_back.update([task.id]))
        self.kinds.setdefault(task.id, []).append(kind)
        if kind == "started":
            self.begun[task.id] = self.timers.clock()

    def let_go(self) -> None:
        """Everything that is under way may end."""
        raise NotImplementedError

    def check(self, holds: bool, fault: str) -> None:
        """Note a fault where raising would be caught and logged."""
        if not holds:
            self.faults.append(fault)

    def go(self, seconds: float = 0.001) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def make(self, **options: Any) -> None:
        self.options = options
        self.here, self.there = ManualRunner(PLACES), ManualRunner(None)
        for runner in (self.here, self.there):
            runner.on_start = self.nobody_is_passed_over
        self.manager = manager = AsyncToolManager(
            runner=self.here,
            on_complete=self.complete,
            clock=self.timers.clock,
            grace_s=GRACE_S,
            **self.keeping(),
            **options,
        )
        manager.subscribe(lambda task, kind: self.note(task, kind) if manager is self.manager else None)

        def body(number: int) -> str:
            return "never called: the machine says what comes of it"

        def tool(name: str, **more: Any) -> AsyncTool:
            return AsyncTool(
                body, manager=self.manager, name=name, limit=LIMITS[name], runner=self.runner_of(name), **more
            )

        self.tools = [
            tool("free", retries=1, backoff_s=BACKOFF_S),
            tool("single", on_duplicate="reuse", announce="at_once"),
            tool("pair", on_duplicate="replace", timeout=5.0),
            tool("elsewhere", deferred=True, announce="never", grace_s=0),
        ]

    def keeping(self) -> dict[str, Any]:
        """Return the options of the manager that say what it keeps."""
        return {}

    def runner_of(self, tool: str) -> ManualRunner:
        return self.there if tool == "elsewhere" else self.here

    def owner(self) -> Any:
        """Return who the model's calls come from."""
        return self

    def told(self, task: Task) -> int:
        """Return how often an agent was told what came of the task."""
        return 0

    def complete(self, result: AsyncTaskResult) -> None:
        self.completed[result.task_id] += 1
        task = self.known(result.task_id)
        self.check((result.error is None) == (task.status == "done"), f"{result} is not what came of {task!r}")
        self.check(result.result == task.value, f"{result} is not what came of {task!r}")

    def known(self, task_id: str) -> Task:
        return next(task for task in self.tasks if task.id == task_id)

    def bodies(self) -> list[tuple[ManualRunner, Any]]:
        return [(runner, job) for runner in (self.here, self.there) for job in runner.running]

    # What must hold

    def nobody_is_passed_over(self, job: Any) -> None:
        """Called when a runner gets a job. What one task leaves as another replaces it goes to who waited by then."""
        if self.replacing:
            return
        for task in self.tasks:
            other = task.job
            if other is None or other is job or other.ticket.place != "waiting" or task.tool_name != job.task.tool_name:
                continue
            self.check(self.rank(task) >= self.rank(job.task), f"{task!r} was passed over")

    def rank(self, task: Task) -> tuple[int, int]:
        """Higher priority first, then first come first served."""
        return (-task.options.priority, task.number)

    @invariant()
    def each_end_is_told_once(self) -> None:
        if not hasattr(self, "manager"):
            return
        assert not (faults := [*self.faults, *self.here.faults, *self.there.faults]), faults
        for task in self.tasks:
            done, kinds = task.done(), self.kinds[task.id]
            assert self.completed[task.id] == self.called_back[task.id] == kinds.count("finished") == done, repr(task)
            assert kinds.count("queued") == 1
            assert kinds.count("started") == (task.attempts > 0)
            assert kinds[0] == "queued"

    @invariant()
    def each_task_is_where_it_should_be(self) -> None:
        now = self.timers.clock()
        for task in self.tasks:
            retries = 0 if task.options.retry is None else task.options.retry.retries
            assert task.attempts <= retries + 1
            assert self.failures[task.id] <= retries + 1
            begun = self.begun.get(task.id, math.inf)
            if task.restored:
                pass  # Its time-out may have come while there was no process.
            elif task.timeout is not None and task.done():
                late = task.finished - begun - task.timeout  # type: ignore[operator]
                assert late < 2e-3 if task.status != "timed_out" else abs(late) < 2e-3
            elif task.timeout is not None:
                assert now < begun + task.timeout + 2e-3, "its time-out did not come"
            if any(other.done() and other.status != "done" for other in task.dependencies):
                assert task.done(), "it waits for what will never come"
                assert task.attempts == 0
            elif not task.done() and all(other.done() for other in task.dependencies):
                assert task.job is None or task.job.ticket.place != "held", "it waits although all is there"
            if task.life.phase == "pause" and not task.done():
                assert now < self.pauses[task.id] + 1e-6, "it was not tried again in time"
            if task.done():
                assert task.job is None
                assert task.timer is None

    @invariant()
    def bounds_are_kept_and_no_place_stays_free(self) -> None:
        if not hasattr(self, "manager"):
            return
        admission, bound, most = self.manager.admission, self.options["max_queued"], self.options["max_running"]
        running = [job for _, job in self.bodies()]
        assert len(running) <= admission.running
        assert most is None or admission.running <= most
        for tool, limit in LIMITS.items():
            assert limit is None or sum(job.task.tool_name == tool for job in running) <= limit
        alive = [task for task in self.tasks if not task.done()]
        assert self.manager.pending_count == len(alive)
        queued = [task for task in alive if task.job and task.job.ticket.place in ("held", "waiting")]
        assert admission.queued == len(queued)
        assert bound is None or sum(task.attempts == 0 for task in queued) <= bound
        if most is None or admission.running < most:
            waiting = [task for task in queued if task.job.ticket.place == "waiting"]  # type: ignore[union-attr]
            there = Counter(self.places())
            for task in waiting:
                limit = LIMITS[task.tool_name]
                in_pool = sum(there[tool] for tool in LIMITS if self.runner_of(tool) is self.runner_of(task.tool_name))
                free_tool = limit is None or there[task.tool_name] < limit
                free_pool = task.tool_name == "elsewhere" or in_pool < PLACES
                assert not (free_tool and free_pool), f"{task!r} waits for a place that is free"

    def places(self) -> list[str]:
        """The tools of all jobs that have a place."""
        runners = (self.here, self.there)
        jobs = [job for runner in runners for job in (*runner.handed, *runner.running)]
        return [job.task.tool_name for job in jobs if job.ticket.place == "admitted"]

    @invariant()
    def each_call_is_answered_once(self) -> None:
        for call_id, call in self.calls.items():
            assert len(call.answers) <= 1
            if not call.asked.done() or call.cut:
                continue
            assert len(call.answers) == 1
            mine = [task for task in self.tasks if task.call_id == call_id]
            if call.answers[0].task is None and mine:
                assert mine[0].delivered, "the answer itself will be told again"
        for task in self.tasks:
            call = self.calls.get(task.call_id or "")
            if task.delivered and call is not None and call.asked.done() and not self.told(task):
                assert [answer.task for answer in call.answers] == [None], f"{task!r} counts as told and was not"

    def all_holds(self) -> None:
        self.each_end_is_told_once()
        self.each_task_is_where_it_should_be()
        self.bounds_are_kept_and_no_place_stays_free()
        self.each_call_is_answered_once()

    def teardown(self) -> None:
        try:
            if hasattr(self, "manager"):
                self.let_go()
                self.all_holds()
                self.end()
        finally:
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left))
            self.loop.close()
            self.patch.undo()

    def end(self) -> None:
        manager = self.manager
        assert [task for task in self.tasks if not task.done()] == [], "a task is stuck"
        for task, waiter in self.waiters:
            assert waiter.done(), f"somebody waits for {task!r} for ever"
        assert all(call.asked.done() for call in self.calls.values()), "a call is not answered"
        assert manager.pending_count == manager.admission.running == manager.admission.queued == 0
        assert not manager.admission._pools
        assert not manager._dependents
        assert not manager._pauses
        assert not manager._open
        assert manager.store.is_idle()
        assert not self.timers.pending, "a timer is left"
        assert not [callback for task in self.tasks for callback in task._callbacks]
        manager.shutdown()
