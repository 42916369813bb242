"""Random lives of tasks on a runner and timers that the test drives: nothing is lost, told twice or stuck."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from backchannel.errors import TaskRefusedError
from backchannel.tasks import PENDING, AsyncTaskResult, AsyncToolManager, Deferred, Task
from tests.support.manual_timers import ManualTimers

PLACES = 3
QUEUED = 8


class ManualRunner:
    """Has the jobs that are to run, until the test ends them."""

    limit = PLACES

    def __init__(self) -> None:
        self.handed: list[Any] = []
        self.running: list[Any] = []
        self.abandoned: list[Any] = []

    def start(self, job: Any) -> None:
        self.handed.append(job)

    def stop(self, job: Any) -> None:
        self.running.remove(job)
        self.abandoned.append(job)

    def is_carried_here(self, job: Any) -> bool:
        del job
        return False

    def begin(self) -> None:
        job = self.handed.pop(0)
        if job.begin():
            self.running.append(job)


class Lives(RuleBasedStateMachine):
    """Starts, ends, errors, time-outs, cancels, retries, dependencies, duplicates and deferred values in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.timers = ManualTimers.installed(self.patch)
        self.runner = ManualRunner()
        self.told: Counter[str] = Counter()
        self.seen: dict[str, list[str]] = {}
        self.tasks: list[Task] = []
        self.polls: list[Any] = []
        self.retried = 0
        self.refused_rightly = True

    @initialize()
    def make(self) -> None:
        self.manager = AsyncToolManager(
            max_running=PLACES,
            max_queued=QUEUED,
            runner=self.runner,
            on_complete=self.complete,
            clock=self.timers.clock,
        )
        self.manager.subscribe(lambda task, kind: self.seen.setdefault(task.id, []).append(kind))

    def complete(self, result: AsyncTaskResult) -> None:
        self.told[result.task_id] += 1

    def teardown(self) -> None:
        if hasattr(self, "manager"):
            self.manager.shutdown(wait=False, cancel=True)
            for job in [*self.runner.handed]:
                assert not job.begin()
            for job in self.runner.running:  # their value came from elsewhere before they returned
                job.returned(None)
            assert self.manager.pending_count == self.manager.admission.running == self.manager.admission.queued == 0
            assert not self.manager._dependents
            assert self.manager.store.is_idle()
            assert not self.manager._pauses
            assert not self.manager._open
            assert self.timers.pending == []
            assert self.told == Counter(task.id for task in self.tasks)
        self.patch.undo()

    @rule(
        tool=st.sampled_from("ab"),
        number=st.integers(0, 1),
        priority=st.integers(0, 2),
        limit=st.sampled_from([None, 1]),
        retries=st.integers(0, 2),
        timeout=st.sampled_from([None, 5.0]),
        on_duplicate=st.sampled_from(["start_another", "reuse", "refuse", "replace"]),
        deferred=st.booleans(),
        after=st.none() | st.integers(0, 30),
    )
    def start(self, tool: str, number: int, after: int | None, **options: Any) -> None:
        needed = self.tasks[after % len(self.tasks)] if after is not None and self.tasks else None
        queued = self.manager.admission.queued
        try:
            task = self.manager.start(
                tool, lambda number: number, {"number": number}, after=needed and needed.id, backoff_s=1, **options
            )
        except TaskRefusedError:
            self.refused_rightly = queued >= QUEUED or options["on_duplicate"] == "refuse"
            return
        if task not in self.tasks:
            self.tasks.append(task)

    @rule()
    def begin(self) -> None:
        if self.runner.handed:
            self.runner.begin()

    def one(self, which: int) -> Any:
        return self.runner.running.pop(which % len(self.runner.running)) if self.runner.running else None

    @rule(which=st.integers(0, 9), poll=st.booleans())
    def body_returns(self, which: int, poll: bool) -> None:
        if (job := self.one(which)) is not None:
            if job.task.options.deferred:
                job.returned(Deferred(self.answer, every_s=2) if poll else None)
            else:
                job.returned(7)

    def answer(self) -> Any:
        answer = self.polls.pop() if self.polls else PENDING
        if isinstance(answer, Exception):
            raise answer
        return answer

    @rule(answers=st.lists(st.sampled_from([PENDING, 1, OSError("busy")]), max_size=3))
    def polls_will_say(self, answers: list[Any]) -> None:
        self.polls = answers

    @rule(which=st.integers(0, 9), error=st.sampled_from([OSError("no"), ValueError("bad")]))
    def body_raises(self, which: int, error: Exception) -> None:
        if (job := self.one(which)) is not None:
            self.retried += job.task.options.retry is not None
            job.raised(error)

    @rule(which=st.integers(0, 9))
    def body_is_stopped_from_outside(self, which: int) -> None:
        if (job := self.one(which)) is not None:
            job.raised(RuntimeError("the worker died"), stopped=True)

    @rule(which=st.integers(0, 9))
    def abandoned_body_returns_late(self, which: int) -> None:
        if self.runner.abandoned:
            self.runner.abandoned.pop(which % len(self.runner.abandoned)).returned("late")

    @rule(which=st.integers(0, 30))
    def cancel(self, which: int) -> None:
        if self.tasks:
            task = self.tasks[which % len(self.tasks)]
            ended = task.done()
            assert task.cancel("enough") != ended
            assert task.done()

    @rule(which=st.integers(0, 30), fails=st.booleans())
    def resolve(self, which: int, fails: bool) -> None:
        deferred = [task for task in self.tasks if task.options.deferred and task.started is not None]
        if deferred:
            task = deferred[which % len(deferred)]
            ended = task.done()
            done = self.manager.fail(task.id, "no") if fails else self.manager.resolve(task.token, 1)
            assert done != ended

    @rule(seconds=st.sampled_from([1.0, 3.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.timers.advance(seconds)

    @rule()
    def all_ends(self) -> None:
        """From whatever state, all that is at work comes to an end by itself."""
        for _ in range(10_000):
            if self.runner.handed:
                self.runner.begin()
            elif self.runner.running:
                job = self.runner.running.pop()
                job.returned(None if job.task.options.deferred else 7)
            elif self.timers.pending and any(task.life.phase == "pause" for task in self.tasks):
                self.timers.advance(1)
            elif outside := [task for task in self.tasks if task.life.phase == "outside" and not task.done()]:
                self.manager.resolve(outside[0], 1)
            else:
                break
        assert [task for task in self.tasks if not task.done()] == []

    @invariant()
    def nobody_is_refused_without_a_reason(self) -> None:
        assert self.refused_rightly

    @invariant()
    def every_end_is_told_once(self) -> None:
        for task in self.tasks:
            assert self.told[task.id] == task.done(), task
            kinds = self.seen[task.id]
            assert kinds.count("queued") == 1
            assert kinds.count("finished") == task.done()
            assert kinds.count("started") == (task.attempts > 0)

    @invariant()
    def bounds_are_kept_and_no_place_stays_free(self) -> None:
        if not hasattr(self, "manager"):
            return
        admission = self.manager.admission
        assert len(self.runner.running) <= admission.running <= PLACES
        assert admission.queued <= QUEUED + self.retried
        alive = [task for task in self.tasks if not task.done()]
        assert self.manager.pending_count == len(alive)
        places = [task.job.ticket.place for task in alive if task.job is not None]
        for task in self.tasks:
            assert not (task.done() and task.job is not None)
        assert places.count("waiting") + places.count("held") == admission.queued
        if admission.running < PLACES:
            limited = {task.tool_name for task in alive if task.options.limit and task.job is not None}
            waiting = [task for task in alive if task.job is not None and task.job.ticket.place == "waiting"]
            assert all(task.options.limit and task.tool_name in limited for task in waiting)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
