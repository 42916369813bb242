"""What can happen between the tasks of a manager and agents that are told of them, one turn at a time."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from backchannel.agents import AsyncAgent, async_agent
from backchannel.agents.reply import Reply
from backchannel.errors import AgentStateError
from backchannel.tasks import Task
from tests.support.parked_threads import ParkedThreads, Point

from .task_setting import pick
from .task_world import LONGEST, WHICH, TaskWorld

GATHER_S = 1.0
AGAIN = "You may have been told this already"


class ConcurrencyException(Exception):
    """What an agent of Strands raises that is busy with somebody else."""


class StrictAgent:
    """An agent whose turns end when the machine says so. It minds whatever it should not be told."""

    def __init__(self, world: AgentWorld) -> None:
        self.world = world
        self.at_work = False
        self.taken = False
        self.telling = False
        self.prompts: list[str] = []
        self.told: Counter[str] = Counter()
        self.tried: set[str] = set()
        self.given: set[str] = set()

    def is_idle(self) -> bool:
        if self.world.asks_first:
            self.world.threads.park("asked whether idle", self)
        return not self.taken

    def __call__(self, prompt: str) -> str:
        check = self.world.check
        check(not self.at_work, "the agent was asked twice at a time")
        self.at_work = True
        tasks = dict(re.findall(r"^Task (\w{8}), tool \w+(.*)$", prompt, re.MULTILINE))
        self.telling = bool(tasks)
        check(len(tasks) <= 32, "too many results in one message")
        for task_id, text in tasks.items():
            check(not self.told[task_id], f"task {task_id} was told twice")
            check(AGAIN in text or task_id not in self.tried, f"not told that it may be known: {text}")
            check(AGAIN not in text or task_id in self.tried | self.given, f"told that it may be known: {text}")
            task = self.world.known(task_id)
            check(task.done(), f"told of {task!r}")
            check(task.announce != "never", f"told of {task!r}, which is never to be announced")
        try:
            while True:
                what, which = self.world.threads.park("turn", self)
                if what == "answer":
                    self.told.update(list(tasks))
                    if not tasks:
                        self.prompts.append(prompt)
                    return f"answer to {prompt[:20]}"
                if what == "raise":
                    self.tried.update(tasks)
                    raise RuntimeError("the model is not there")
                if what == "busy":
                    self.given.update(tasks)
                    raise ConcurrencyException
                if what == "die":
                    raise RuntimeError("its process is gone")
                self.world.do_inside(what, which)
        finally:
            self.at_work = False


class AgentWorld(TaskWorld):
    """The newest agent may be closed, and another one opened."""

    def __init__(self) -> None:
        super().__init__()
        self.threads = ParkedThreads()
        self.patch.setattr(async_agent, "_threads", self.threads)
        self.patch.setattr(async_agent, "threading", self.threads.stand_in())
        self.patch.setattr(async_agent, "time", SimpleNamespace(monotonic=self.timers.clock))
        self.agents: list[StrictAgent] = []
        self.talks: list[AsyncAgent] = []
        self.replies: list[tuple[str, Reply]] = []
        self.joins: list[asyncio.Task[bool]] = []
        self.sent = 0
        self.claims: dict[str, AsyncAgent | None] = {}
        self.inside: AsyncAgent | None = None

    @initialize(
        asks_first=st.booleans(),
        gather_s=st.sampled_from([0.0, GATHER_S]),
        max_running=st.sampled_from([None, 2]),
        max_queued=st.sampled_from([None, 2]),
    )
    def begin(self, asks_first: bool, gather_s: float, **options: Any) -> None:
        self.asks_first, self.gather_s = asks_first, gather_s
        self.make(**options)
        self.open(another=True)

    def open(self, *, another: bool) -> None:
        if another or not self.agents:
            self.agents.append(StrictAgent(self))
        agent = self.agents[-1]
        left = [
            task
            for task in self.tasks
            if not task.delivered and task.owner in (None, agent) and (not task.done() or task.owner is agent)
        ]
        talk = AsyncAgent(agent, self.manager, gather_s=self.gather_s, on_reply=self.replied)
        self.claims.update({task.id: talk for task in left if self.is_claimed_by_nobody(task)})
        self.talks.append(talk)

    def is_claimed_by_nobody(self, task: Task) -> bool:
        claim = self.claims.get(task.id)
        return claim is None or claim._closed

    @property
    def talk(self) -> AsyncAgent:
        return self.talks[-1]

    def owner(self) -> Any:
        return self.agents[-1]

    def note(self, task: Task, kind: str) -> None:
        if kind == "queued":
            self.claims[task.id] = None
            if self.talks and not self.talk._closed:
                by_hand = task.owner is None and self.inside is not None and not self.inside._closed
                self.claims[task.id] = self.inside if by_hand else self.talk
                if task.owner not in (None, self.talk.agent):
                    self.claims[task.id] = None
        super().note(task, kind)

    def replied(self, answer: Any) -> None:
        if self.asks_first:
            self.threads.park("reply")

    def go(self, seconds: float = 0.001) -> None:
        super().go(seconds)
        self.threads.settle()
        super().go(0.0)

    # The agent

    @rule(count=st.integers(1, 2))
    def somebody_sends(self, count: int) -> None:
        for _ in range(count):
            self.sent += 1
            text = f"prompt {self.sent}"
            if self.talk._closed:
                with pytest.raises(AgentStateError):
                    self.talk.send(text)
            else:
                self.replies.append((text, self.talk.send(text)))

    @rule(which=WHICH)
    def a_prompt_is_taken_back(self, which: int) -> None:
        if (found := pick(self.replies, which)) is not None:
            found[1].cancel()

    @rule()
    def the_threads_go_on(self) -> None:
        self.threads.settle()

    def at_turn(self, which: int) -> Point | None:
        return pick(self.threads.at("turn"), which)

    @rule(which=WHICH, how=st.sampled_from(["answer", "answer", "answer", "raise", "busy"]))
    def a_turn_ends(self, which: int, how: str) -> None:
        if (point := self.at_turn(which)) is not None:
            self.threads.release(point, (how, 0))

    @rule(which=WHICH, what=st.sampled_from(["start", "send", "drain", "cancel", "close", "wait"]))
    def an_agent_does(self, which: int, what: str) -> None:
        if (point := self.at_turn(which)) is not None:
            talk = next(talk for talk in reversed(self.talks) if talk.agent is point.payload)
            self.inside = talk
            try:
                self.threads.release(point, (what, which))
            finally:
                self.inside = None

    def do_inside(self, what: str, which: int) -> None:
        """What an agent's own tools may do in the middle of its turn."""
        match what:
            case "start":
                self.launch("free", which % 2)
            case "send":
                self.somebody_sends(1)
            case "drain":
                self.talk.drain_queue()
            case "cancel":
                self.cancel(which)
            case "close":
                self.talk.close()
            case "wait":
                assert self.inside is not None
                with pytest.raises(AgentStateError):
                    self.inside.join(0)

    @rule(which=WHICH)
    def an_agent_says_whether_it_is_idle(self, which: int) -> None:
        if (point := pick(self.threads.at("asked whether idle"), which)) is not None:
            self.threads.release(point)

    @rule(which=WHICH)
    def a_reply_is_taken(self, which: int) -> None:
        if (point := pick(self.threads.at("reply"), which)) is not None:
            self.threads.release(point)

    @rule(taken=st.booleans())
    def somebody_else_has_the_agent(self, taken: bool) -> None:
        self.agents[-1].taken = taken

    @rule()
    def drain(self) -> None:
        self.talk.drain_queue()

    @rule()
    def join(self) -> None:
        self.joins.append(self.loop.create_task(self.talk.join_async()))
        self.go()

    @precondition(lambda self: len(self.tasks) > 2 and len(self.talks) < 3)
    @rule()
    def open_another(self) -> None:
        self.open(another=True)

    @precondition(lambda self: len(self.tasks) > 2)
    @rule(another=st.booleans())
    def close_and_open(self, another: bool) -> None:
        self.talk.close()
        # A turn that is under way comes to its end; who opens another on the same agent waits for that.
        if another or not (self.threads.at("turn") or self.threads.at("asked whether idle")):
            self.open(another=another)

    @rule(which=WHICH)
    def a_result_comes_while_a_turn_fails(self, which: int) -> None:
        """It is a new occasion: nobody needs to ask for it."""
        point = self.at_turn(which)
        if point is None or not point.payload.telling or self.talk._closed or self.talk.agent is not point.payload:
            return
        owed = len(self.talk.owed)
        self.here.mood = "now"
        self.launch("free", 0)
        came = len(self.talk.owed) > owed
        self.threads.release(point, ("raise", 0))
        self.go(GATHER_S)
        assert self.threads.alive() or not came, "a result is stranded"

    @precondition(lambda self: self.asks_first and not self.talk._closed)
    @rule()
    def the_agent_is_busy_when_it_is_closed(self) -> None:
        self.somebody_sends(1)
        self.go()
        self.agents[-1].taken = True
        self.talk.close()
        for point in self.threads.at("asked whether idle"):
            self.threads.release(point)

    # What must hold

    @invariant()
    def what_was_told_counts_as_told(self) -> None:
        for task in self.tasks:
            told = self.told(task)
            assert told <= 1, f"{task!r} was told twice"
            assert told <= task.delivered, f"{task!r} was told, and does not count as told"

    def told(self, task: Task) -> int:
        return sum(agent.told[task.id] for agent in self.agents)

    @invariant()
    def prompts_are_answered_in_their_order(self) -> None:
        asked = [prompt for agent in self.agents for prompt in agent.prompts]
        assert len(set(asked)) == len(asked), "a prompt was given twice"
        for agent in self.agents:
            numbers = [int(prompt.split()[1]) for prompt in agent.prompts]
            assert numbers == sorted(numbers), "prompts came out of order"

    def let_go(self) -> None:
        super().let_go()
        for agent in self.agents:
            agent.taken = False
        self.asks_first = False
        for talk in self.talks:
            talk.drain_queue()
        for _ in range(LONGEST):
            self.go(GATHER_S)
            for point in list(self.threads.points):
                if point in self.threads.points and point.kind != "wait":
                    self.threads.release(point, ("answer", 0))
            if not self.threads.alive():
                break
        self.go()

    def end(self) -> None:
        super().end()
        assert not self.threads.alive(), "an agent's thread is left"
        for text, reply in self.replies:
            assert reply.done(), f"nobody answers {text!r}"
        assert all(join.done() for join in self.joins), "somebody waits for the agent for ever"
        for task in self.tasks:
            talk = self.claims[task.id]
            told = self.told(task)
            direct = any(answer.task is None for answer in self.answers_of(task))
            if talk is None or talk._closed:
                continue
            owed = task.announce != "never" and not direct
            assert told == owed or (not told and self.is_superseded(task)), f"{task!r} was told {told} times"
            assert task.delivered or not owed
        for talk in self.talks:
            assert talk._closed or not talk.owed

    def is_superseded(self, task: Task) -> bool:
        """Whether nobody needs to be told what came of the task."""
        return False

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            for _, reply in self.replies:
                with contextlib.suppress(BaseException):
                    reply.result(0)

    def answers_of(self, task: Task) -> list[Any]:
        call = self.calls.get(task.call_id or "")
        return [] if call is None else call.answers
