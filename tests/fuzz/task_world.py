"""Everything that can happen to the tasks of one manager, in any order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from backchannel.errors import TaskError, TaskRefusedError
from backchannel.tasks import PENDING, Deferred, Task

from .task_setting import BACKOFF_S, GRACE_S, LIMITS, Call, TaskSetting, pick

WHICH = st.integers(0, 40)
LONGEST = 1000


class TaskWorld(TaskSetting):
    """Each rule is one thing that happens; what must hold is checked after each."""

    # The manager

    @initialize(max_running=st.sampled_from([None, 2, 4]), max_queued=st.sampled_from([None, 0, 2, 6]))
    def begin(self, max_running: int | None, max_queued: int | None) -> None:
        self.make(max_running=max_running, max_queued=max_queued)

    def note(self, task: Task, kind: str) -> None:
        """A listener that does as a listener may: it raises, cancels, starts."""
        super().note(task, kind)
        if self.reaction is not None and self.reaction[0] == kind:
            (_, what, which), self.reaction, self.reactions = self.reaction, None, self.reactions + 1
            if what == "raise":
                raise RuntimeError("a listener's fault")
            if what == "cancel":
                self.cancel(which)
            else:
                self.launch("free", which % 2)

    @rule(
        kind=st.sampled_from(["queued", "started", "finished"]),
        what=st.sampled_from(["raise", "cancel", "start"]),
        which=WHICH,
    )
    def a_listener_will(self, kind: str, what: str, which: int) -> None:
        self.reaction = (kind, what, which)

    # Starting

    @rule(
        tool=st.sampled_from(sorted(LIMITS)),
        number=st.integers(0, 1),
        after=st.lists(WHICH, max_size=2),
        form=st.sampled_from(["after", "after", "argument", "submit"]),
        priority=st.integers(0, 2),
        retries=st.sampled_from([0, 0, 1, 2]),
        timeout=st.sampled_from([None, None, 3.0, 30.0]),
        on_duplicate=st.sampled_from(["start_another", "start_another", "reuse", "refuse", "replace"]),
        deferred=st.sampled_from([False, False, False, True]),
        announce=st.sampled_from(["when_free", "when_free", "at_once", "never"]),
    )
    def start(self, tool: str, number: int, after: list[int], form: str, **options: Any) -> None:
        needed = [task for which in after if (task := pick(self.tasks, which)) is not None]
        if form == "submit":
            self.launch("free", number, submit=True)
        elif form == "argument" and needed:
            self.launch(tool, number, more=needed[0], **options)
        else:
            self.launch(tool, number, after=needed or None, **options)

    def launch(self, tool: str, number: int, *, submit: bool = False, more: Task | None = None, **options: Any) -> None:
        def fn(**_: Any) -> None:
            raise AssertionError("the machine says what comes of it")

        manager, before = self.manager, list(self.tasks)
        alive = [task for task in before if not task.done()]
        queued, bound = manager.admission.queued, self.options["max_queued"]
        reactions = self.reactions
        rule = options.get("on_duplicate", "start_another")
        shown = {"number": number} | ({} if more is None else {"more": {"$task": more.id}})
        same = [task for task in alive if task.tool_name == tool and task.arguments == shown and task.key is not None]
        self.replacing = rule == "replace"
        try:
            if submit:
                task_id = manager.submit(tool, fn, number=number)
                assert self.tasks[len(before)].id == task_id
                return
            arguments = {"number": number} | ({} if more is None else {"more": more})
            task = manager.start(
                tool,
                fn,
                arguments,
                limit=LIMITS[tool],
                runner=self.runner_of(tool),
                backoff_s=BACKOFF_S,
                **options,
            )
        except TaskRefusedError as error:
            if self.reactions > reactions or "no place for this one" in str(error):
                return
            refusal = error
        else:
            refusal = None
        finally:
            self.replacing = False
        if refusal is not None:
            assert self.closed or (rule == "refuse" and same) or (bound is not None and queued >= bound), refusal
            assert self.tasks == before
            assert [other for other in before if not other.done()] == alive, "what was refused changed something"
            return
        if self.reactions > reactions:
            return
        assert not self.closed
        if rule == "reuse" and same:
            assert task is same[-1]
            return
        assert task is self.tasks[len(before)]
        assert not (rule == "refuse" and same)
        if rule != "start_another":
            assert all(other.superseded_by == task.id for other in same)
        if rule == "replace":
            assert all(other.status == "cancelled" for other in same)

    @rule(seconds=st.sampled_from([None, 7.0]), poll=st.booleans(), retries=st.sampled_from([0, 2]))
    def defer(self, seconds: float | None, poll: bool, retries: int) -> None:
        if self.closed:
            with pytest.raises(TaskRefusedError):
                self.manager.defer("outside")
            return
        asked = self.answer if poll else None
        reactions = self.reactions
        task = self.manager.defer("outside", poll=asked, every_s=2.0, timeout=seconds, retries=retries)
        assert task.life.phase == "outside" or self.reactions > reactions

    @rule(tool=st.integers(0, 3), number=st.integers(0, 1))
    def a_model_calls(self, tool: int, number: int) -> None:
        call_id = f"c{len(self.calls)}"

        async def ask() -> None:
            used = {"toolUseId": call_id, "name": self.tools[tool].tool_name, "input": {"number": number}}
            async for event in self.tools[tool].stream(used, {"agent": self.owner()}):  # type: ignore[arg-type]
                self.calls[call_id].answers.append(event)

        self.calls[call_id] = Call(self.loop.create_task(ask()))
        self.go()

    @rule(which=WHICH, together=st.booleans())
    def the_model_is_cut_off(self, which: int, together: bool) -> None:
        """As an agent that stops does: nobody is there any more who could be answered."""
        call = pick([call for call in self.calls.values() if not call.asked.done()], which)
        if call is not None:
            if together and self.here.running:
                self.body_returns(which, False)
            call.cut = call.asked.cancel()
            self.go()

    # Running

    @rule(runner=st.booleans(), mood=st.sampled_from(["refuse", "break", "now"]))
    def a_runner_will(self, runner: bool, mood: str) -> None:
        (self.here if runner else self.there).mood = mood

    @rule(which=WHICH)
    def a_body_begins(self, which: int) -> None:
        runner = pick([runner for runner in (self.here, self.there) if runner.handed], which)
        if runner is not None:
            job = runner.handed[0]
            ended, reactions = job.task.done(), self.reactions
            began = runner.begin() is not None
            assert began != ended or self.reactions > reactions
            for other in job.task.dependencies:
                assert not began or other.status == "done", "it began without what it needs"
            more = job.task.arguments.get("more")
            assert not began or more is None or job.arguments["more"] == self.known(more["$task"]).value

    def taken(self, which: int) -> Any:
        """Return a body that is at work and will be no more."""
        found = pick(self.bodies(), which)
        if found is None:
            return None
        found[0].running.remove(found[1])
        return found[1]

    @rule(which=WHICH, poll=st.booleans())
    def body_returns(self, which: int, poll: bool) -> None:
        if (job := self.taken(which)) is None:
            return
        task, before, value = job.task, job.task.status, f"value of {job.task.id}"
        if task.options.deferred:
            job.returned(Deferred(self.answer, every_s=2.0) if poll else None)
            assert task.done() or task.life.phase == "outside"
        else:
            job.returned(value)
            assert task.status == (before if before != "running" else "done")
            assert before != "running" or task.value == value

    @rule(which=WHICH, together=st.booleans(), error=st.sampled_from([OSError("no"), ValueError("bad")]))
    def bodies_raise(self, which: int, together: bool, error: Exception) -> None:
        for _ in range(len(self.bodies()) if together else 1):
            if (job := self.taken(which)) is None:
                return
            task, alive, reactions = job.task, not job.task.done(), self.reactions
            self.failures[task.id] += alive
            job.raised(error)
            retries = 0 if task.options.retry is None else task.options.retry.retries
            if alive and self.failures[task.id] > retries:
                assert task.status in ("failed", "cancelled")
            elif alive:
                self.pauses[task.id] = self.timers.clock() + BACKOFF_S * 2 ** (self.failures[task.id] - 1)
                assert not task.done() or self.reactions > reactions, "it was not tried as often as it should be"

    @rule(which=WHICH)
    def a_body_dies(self, which: int) -> None:
        if (job := self.taken(which)) is not None:
            job.raised(RuntimeError("the worker died"), stopped=True)
            assert job.task.done()

    @rule(which=WHICH, fails=st.booleans())
    def an_abandoned_body_ends_late(self, which: int, fails: bool) -> None:
        runner = pick([runner for runner in (self.here, self.there) if runner.abandoned], which)
        if runner is not None:
            job = runner.abandoned.pop(which % len(runner.abandoned))
            before = job.task.status, job.task.value
            job.raised(OSError("late")) if fails else job.returned("late")
            assert (job.task.status, job.task.value) == before

    def answer(self) -> Any:
        answer = self.polls.pop() if self.polls else PENDING
        if isinstance(answer, Exception):
            raise answer
        return answer

    @rule(answers=st.lists(st.sampled_from([PENDING, 1, OSError("busy")]), max_size=3))
    def polls_will_say(self, answers: list[Any]) -> None:
        self.polls = answers

    # Ending

    @rule(which=WHICH)
    def cancel(self, which: int) -> None:
        task = pick(self.tasks, which)
        if task is not None:
            ended = task.done()
            assert task.cancel("enough") != ended
            assert task.done()

    @rule(which=WHICH, by_token=st.booleans(), fails=st.booleans())
    def somebody_resolves(self, which: int, by_token: bool, fails: bool) -> None:
        task = pick(self.tasks, which)
        if task is None:
            return
        ended, name = task.done(), self.token_of(task) if by_token else task.id
        try:
            did = self.manager.fail(name, "no") if fails else self.manager.resolve(name, 1)
        except TaskError:
            assert not task.options.deferred
            assert task.life.phase != "outside"
            return
        assert did != ended
        assert ended or task.status == ("failed" if fails else "done")

    def token_of(self, task: Task) -> str:
        if task.id not in self.tokens:
            self.tokens[task.id] = task.token
        return self.tokens[task.id]

    @rule(which=WHICH, count=st.integers(1, 3))
    def somebody_waits(self, which: int, count: int) -> None:
        if (task := pick(self.tasks, which)) is not None:
            self.waiters += [(task, self.loop.create_task(task.ended())) for _ in range(count)]
            self.go()

    @rule(which=WHICH)
    def a_waiter_leaves(self, which: int) -> None:
        if self.waiters:
            _, waiter = self.waiters.pop(which % len(self.waiters))
            waiter.cancel()
            self.go()

    @rule(seconds=st.sampled_from([0.1, 0.6, 2.0, 5.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.go(seconds)

    @precondition(lambda self: len(self.tasks) > 6)
    @rule()
    def shut_down(self) -> None:
        self.closed = True
        self.manager.shutdown(wait=False)

    # Stories: what seldom comes about by chance

    @rule(retries=st.integers(0, 2), priority=st.integers(0, 2))
    def a_task_fails_as_often_as_it_may(self, retries: int, priority: int) -> None:
        self.launch("free", 0, retries=retries, priority=priority)
        for _ in range(retries + 2):
            for runner in (self.here, self.there):
                while runner.handed:
                    runner.begin()
            self.bodies_raise(0, True, OSError("no"))
            self.go(3 * BACKOFF_S)

    @rule(tool=st.sampled_from(sorted(LIMITS)), priorities=st.lists(st.integers(0, 2), min_size=5, max_size=10))
    def many_start(self, tool: str, priorities: list[int]) -> None:
        for priority in priorities:
            self.launch(tool, 0, priority=priority)

    @rule(then=st.sampled_from(["cancel", "resolve", "return", "nothing"]))
    def a_body_runs_too_long(self, then: str) -> None:
        count = len(self.tasks)
        self.launch("free", 1, timeout=3.0, deferred=then == "resolve")
        if len(self.tasks) == count:
            return
        task = self.tasks[count]
        while self.here.handed:
            self.here.begin()
        self.go(5.0)
        before = task.status, task.value
        match then:
            case "cancel":
                assert task.cancel() == (before[0] not in ("timed_out", "cancelled", "failed", "done"))
                return
            case "resolve":
                self.manager.resolve(task, 1)
            case "return":
                for job in [job for job in self.here.abandoned if job.task is task]:
                    self.here.abandoned.remove(job)
                    job.returned("late")
        if before[0] == "timed_out":
            assert (task.status, task.value) == before

    # The end

    def let_go(self) -> None:
        """Everything that is under way may end; nothing that is cancelled or times out helps."""
        self.reaction, self.polls = None, []
        self.here.mood = self.there.mood = "take"
        for _ in range(LONGEST):
            if any(runner.handed for runner in (self.here, self.there)):
                self.a_body_begins(0)
            elif self.bodies():
                self.body_returns(0, False)
            elif any(task.life.phase == "pause" for task in self.tasks if not task.done()):
                self.go(BACKOFF_S)
            elif outside := [task for task in self.tasks if task.life.phase == "outside" and not task.done()]:
                self.manager.resolve(outside[0], 1)
            else:
                break
        self.go(GRACE_S)
