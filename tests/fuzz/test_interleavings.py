"""A whole agent between a strict model, a reader and background tasks, in any order of events, in virtual time.

What must hold whatever happens is checked after every step and at the end: see ``World``.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from backchannel import AsyncToolManager, BidiAgent, async_tool, tool
from backchannel.errors import AgentStateError, BidiModelTimeoutError
from backchannel.events import (
    AnnouncementEvent,
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiInterruptionEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTranscriptStreamEvent,
    ProgressEvent,
    TaskUpdateEvent,
    ToolUseStreamEvent,
    UserSpeechEvent,
)
from backchannel.hooks import (
    BidiAfterConnectionRestartEvent,
    BidiAfterInvocationEvent,
    BidiAfterToolCallEvent,
    BidiBeforeConnectionRestartEvent,
    BidiBeforeInvocationEvent,
    BidiBeforeToolCallEvent,
    HookRegistry,
)
from backchannel.messages import validate_messages
from backchannel.models.realtime import ModelProfile
from tests.support.fake_model import FakeModel
from tests.support.loop_timers import LoopTimers
from tests.support.soak import amount
from tests.support.virtual_time import VirtualTimeLoop

RATE = 16000
KINDS = ("again", "limited", "single", "quiet", "outside")
"""Background tools that differ in what may become of their tasks."""
VOICE = BidiAudioInputEvent.from_data(bytes(640), RATE)


class Provider(FakeModel):
    """The far end, as it may behave: it answers when the world says so."""

    def __init__(self, profile: ModelProfile, manager: AsyncToolManager) -> None:
        super().__init__()
        self.profile = profile
        self.manager = manager
        self.user_speaking = False
        self.response: str | None = None
        self.responses = 0
        self.unanswered: list[AnnouncementEvent] = []
        self.telling: dict[str, list[str]] = {}
        self.texts: list[str] = []
        self.story: list[str] = []
        self.faults: list[str] = []
        self.refusals = 0
        self.refused_at: dict[str, float] = {}
        self.told: Counter[str] = Counter()

    async def start(self, *args: Any, **kwargs: Any) -> None:
        await super().start(*args, **kwargs)
        self.user_speaking, self.response = False, None
        self.unanswered = []
        self.refused_at = {}
        replayed = self.connections[-1]["messages"]
        calls = {block["toolUse"]["toolUseId"] for item in replayed for block in item["content"] if "toolUse" in block}
        faults = [fault for fault in validate_messages(replayed) if not _only_open_calls(fault, calls)]
        assert not faults, faults

    async def renew(self, *args: Any, **kwargs: Any) -> None:
        self.connected = False
        await self.start(*args, **kwargs)

    async def send(self, content: Any) -> None:
        await super().send(content)
        if isinstance(content, AnnouncementEvent):
            self.refuse_some(content)
            self.story.append(f"announced {[task.task_id for task in content.tasks]}")
            assert not self.user_speaking, "announced over the user"
            self.unanswered.append(content)
        elif isinstance(content, ProgressEvent):
            self.story.append(f"{'said' if content.aloud else 'noted'} {[note.task_id for note in content.notes]}")
            assert content.aloud or self.profile.silent_text
            assert not (content.aloud and self.user_speaking), "a milestone over the user"
            for note in content.notes:
                task = self.manager.task(note.task_id)
                assert task is not None
                assert not task.done(), "a milestone of a task that has ended"
        elif content["type"] == "bidi_text_input" and content["text"].startswith("say "):
            self.texts.append(content["text"])

    def refuse_some(self, announcement: AnnouncementEvent) -> None:
        now = asyncio.get_running_loop().time()
        ids = {task.task_id for task in announcement.tasks}
        if any(now - self.refused_at.get(task_id, -math.inf) < 1.0 for task_id in ids):
            self.faults.append("announced again at once")
        if self.refusals:
            self.refusals -= 1
            self.refused_at.update(dict.fromkeys(ids, now))
            raise ValueError("not now")

    def respond(self) -> None:
        self.responses += 1
        self.response = f"r{self.responses}"
        # What was heard it does not say again where it is told that this may be so.
        told = (
            task.task_id
            for event in self.unanswered
            for task in event.tasks
            if not ((task.interrupted or task.perhaps_told) and self.told[task.task_id])
        )
        self.telling[self.response] = list(dict.fromkeys(told))
        self.unanswered = []
        self.story.append(f"{self.response} begins, telling {self.telling[self.response]}")
        self.emit(BidiResponseStartEvent(self.response))


def _only_open_calls(fault: str, calls: set[str]) -> bool:
    return fault.startswith("the history ends with the calls") and bool(calls)


class Count:
    """Counts hooks, to see that those before and after match."""

    def __init__(self) -> None:
        self.fired: Counter[str] = Counter()

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
        for kind in (
            BidiBeforeInvocationEvent,
            BidiAfterInvocationEvent,
            BidiBeforeConnectionRestartEvent,
            BidiAfterConnectionRestartEvent,
            BidiBeforeToolCallEvent,
            BidiAfterToolCallEvent,
        ):
            registry.add_callback(kind, self.count)

    async def count(self, event: Any) -> None:
        self.fired[type(event).__name__] += 1
        await asyncio.sleep(0)


class World(RuleBasedStateMachine):
    """One agent and everything around it; each rule is something that happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        asyncio.set_event_loop(None)
        self.faults: list[Any] = []
        self.loop.set_exception_handler(lambda _, context: self.faults.append(context))
        self.patch = pytest.MonkeyPatch()
        self.timers = LoopTimers.installed(self.loop, self.patch)
        self.number = 0
        self.started = False
        self.paused = False
        self.reader: asyncio.Task[None] | None = None
        self.read_error: BaseException | None = None
        self.senders: list[tuple[str, asyncio.Task[None]]] = []
        self.waiting: dict[str, asyncio.Future[str]] = {}
        self.tasks: dict[str, asyncio.Future[str]] = {}
        self.refused: set[str] = set()
        self.current = ""
        self.cut: set[str] = set()
        self.finished_ids: set[str] = set()

    def go(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def settle(self, seconds: float = 0.01) -> None:
        self.go(asyncio.sleep(seconds))

    @initialize(
        interruption=st.sampled_from(["agent", "model"]),
        form=st.sampled_from(["note", "call"]),
        overlaps=st.booleans(),
        limit=st.sampled_from([None, None, 480.0]),
        silent=st.booleans(),
        milestones=st.sampled_from([None, "quarters", 3.0]),
    )
    def begin(
        self, interruption: Any, form: Any, overlaps: bool, limit: float | None, silent: bool, milestones: Any
    ) -> None:
        self.manager = AsyncToolManager(max_queued=20, clock=self.timers.clock)
        self.model = Provider(
            ModelProfile(
                interruption=interruption,
                open_calls=form,
                overlaps=overlaps,
                session_limit_s=limit,
                silent_text=silent,
            ),
            self.manager,
        )
        self.hooks = Count()
        world = self

        @tool
        async def wait_for_it(name: str) -> str:
            """Wait until the world ends it."""
            future = world.waiting[name] = world.loop.create_future()
            return await future

        @tool
        async def at_once() -> str:
            """Answer at once."""
            return "at once"

        @async_tool(self.manager, grace_s=0.05, milestones=milestones)
        async def background(name: str) -> str:
            """Run in the background until the world ends it."""
            future = world.tasks[name] = world.loop.create_future()
            return await future

        @async_tool(self.manager, deferred=True)
        async def outside(name: str) -> None:
            """Leave it to somebody else."""

        kinds = [
            background.options(name="again", retries=2, backoff_s=2.0),
            background.options(name="limited", timeout=3.0, announce="at_once"),
            background.options(name="single", limit=1, on_duplicate="replace"),
            background.options(name="quiet", announce="never"),
            outside,
        ]
        self.agent = BidiAgent(self.model, tools=[wait_for_it, at_once, background, *kinds], hooks=[self.hooks])
        self.start()

    # The agent

    @precondition(lambda self: hasattr(self, "agent") and not self.started)
    @rule()
    def start(self) -> None:
        self.model.failures = []
        self.go(self.agent.start())
        self.started = True
        self.read_error = None
        self.reader = self.loop.create_task(self.read())
        self.settle()

    @precondition(lambda self: self.started)
    @rule()
    def stop(self) -> None:
        self.go(self.agent.stop())
        self.settle()
        self.started = False
        assert self.reader is not None
        self.paused = False
        self.settle(3)
        assert self.reader.done(), "the reader hangs after stop"
        assert not self.model.connected

    async def read(self) -> None:
        try:
            async for event in self.agent.receive():
                while self.paused:
                    await asyncio.sleep(0.5)
                self.seen(event)
        except Exception as error:
            self.read_error = error

    def seen(self, event: Any) -> None:
        json.dumps(event)
        if not isinstance(event, TaskUpdateEvent):
            self.model.story.append(f"seen {event.get('type', 'message')} {getattr(event, 'response_id', '')}")
        if isinstance(event, BidiAudioStreamEvent):
            assert event.response_id not in self.cut, "audio of a response that was cut off"
            for task_id in self.model.telling.pop(str(event.response_id), []):
                self.model.told[task_id] += 1
                assert self.model.told[task_id] == 1, f"told twice: {self.model.story}"
        elif isinstance(event, BidiResponseStartEvent):
            self.current = str(event["response_id"])
        elif isinstance(event, BidiInterruptionEvent):
            self.cut.add(self.current)

    @precondition(lambda self: self.started)
    @rule(paused=st.booleans())
    def reader_pauses(self, paused: bool) -> None:
        self.paused = paused

    # The user

    @precondition(lambda self: self.started)
    @rule()
    def type(self) -> None:
        self.number += 1
        text = f"say {self.number}"
        self.senders.append((text, self.loop.create_task(self.agent.send(text))))
        self.settle()

    @precondition(lambda self: self.started)
    @rule(count=st.integers(1, 60))
    def talk(self, count: int) -> None:
        async def microphone() -> None:
            for _ in range(count):
                await self.agent.send(VOICE)

        self.senders.append(("", self.loop.create_task(microphone())))
        self.settle()

    @precondition(lambda self: self.started and self.model.connected and self.model.profile.interruption == "agent")
    @rule(speaking=st.booleans())
    def speak(self, speaking: bool) -> None:
        # The agent hears of it a moment later.
        self.model.user_speaking = self.model.user_speaking and speaking
        self.model.emit(UserSpeechEvent(speaking))
        self.settle()
        self.model.user_speaking = speaking
        if speaking and self.model.response is not None:
            self.model.response = None

    @precondition(lambda self: self.started and self.model.connected and self.model.profile.interruption == "model")
    @rule()
    def barge_in(self) -> None:
        self.model.emit(BidiInterruptionEvent("user_speech"))
        if self.model.response is not None:
            self.model.emit(BidiResponseCompleteEvent(self.model.response, "interrupted"))
            self.model.response = None
        self.settle()

    # The model

    @precondition(lambda self: self.started and self.model.connected and self.model.response is None)
    @rule()
    def respond(self) -> None:
        self.model.respond()
        self.settle()

    @precondition(lambda self: self.started and self.model.connected and self.model.response is not None)
    @rule(chunks=st.integers(1, 40))
    def voice(self, chunks: int) -> None:
        for _ in range(chunks):
            self.model.emit(BidiAudioStreamEvent.from_data(b"\1\0" * 640, RATE, self.model.response))
        self.settle()

    @precondition(lambda self: self.started and self.model.connected and self.model.response is not None)
    @rule()
    def complete(self) -> None:
        response, self.model.response = self.model.response, None
        text = f"Words of {response}."
        self.model.emit(
            BidiTranscriptStreamEvent({"text": text}, text, "assistant", is_final=True),
            BidiResponseCompleteEvent(str(response), "complete"),
        )
        self.settle()

    @precondition(lambda self: self.started and self.model.connected)
    @rule(
        name=st.sampled_from(["wait_for_it", "at_once", "background", "background", *KINDS, "nothing"]),
        count=st.integers(1, 4),
        same=st.booleans(),
    )
    def call(self, name: str, count: int, same: bool = False) -> None:
        for _ in range(count):
            self.number += 1
            named = "the same" if same and name == "single" else f"n{self.number}"
            arguments = {} if name in ("at_once", "nothing") else {"name": named}
            self.model.emit(ToolUseStreamEvent({}, {"toolUseId": f"c{self.number}", "name": name, "input": arguments}))
        self.settle()

    # Tools and tasks

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 1000), fails=st.booleans())
    def tool_ends(self, which: int, fails: bool) -> None:
        self._end(self.waiting, which, fails)

    @precondition(lambda self: self.tasks)
    @rule(which=st.integers(0, 1000), done=st.sampled_from([0, 25, 50, 75, 100]))
    def task_progresses(self, which: int, done: int) -> None:
        running = [task for task in self.manager.tasks if not task.done()]
        for task in running[which % len(running) :] if running else ():
            task.report(done, 100, None)
        self.settle()

    @precondition(lambda self: self.tasks)
    @rule(which=st.integers(0, 1000), fails=st.booleans(), all_at_once=st.booleans())
    def task_ends(self, which: int, fails: bool, all_at_once: bool) -> None:
        for _ in range(len(self.tasks) if all_at_once else 1):
            self._end(self.tasks, which, fails, settle=False)
        self.settle()

    @precondition(lambda self: hasattr(self, "model"))
    @rule(count=st.integers(1, 3))
    def the_model_refuses_announcements(self, count: int) -> None:
        self.model.refusals = count

    @rule(which=st.integers(0, 1000), what=st.sampled_from(["cancel", "resolve", "fail"]))
    def somebody_ends_a_task(self, which: int, what: str) -> None:
        tasks = [task for task in self.manager.tasks if not task.done()] if hasattr(self, "manager") else []
        if what != "cancel":
            tasks = [task for task in tasks if task.options.deferred]
        if tasks:
            task = tasks[which % len(tasks)]
            if what == "cancel":
                task.cancel("enough")
            elif what == "resolve":
                self.manager.resolve(task, "done elsewhere")
            else:
                self.manager.fail(task, "failed elsewhere")
            self.settle()

    def _end(self, futures: dict[str, asyncio.Future[str]], which: int, fails: bool, settle: bool = True) -> None:
        name = list(futures)[which % len(futures)]
        future = futures.pop(name)
        if not future.done():
            if fails:
                future.set_exception(ValueError(f"{name} failed"))
            else:
                future.set_result(f"{name} is done")
        if settle:
            self.settle()

    @precondition(lambda self: hasattr(self, "agent"))
    @rule()
    def tools_change(self) -> None:
        self.number += 1

        @tool(name=f"new_{self.number % 5}")
        async def new() -> str:
            """New."""
            return "new"

        self.agent.tool_registry.register(new)
        self.settle()

    # The connection

    @precondition(lambda self: self.started and self.model.connected)
    @rule(failures=st.integers(0, 7))
    def limit(self, failures: int) -> None:
        self.model.failures = [OSError("down")] * failures
        self.model.emit(BidiModelTimeoutError("limit"))
        self.settle()

    @precondition(lambda self: self.started and self.model.connected)
    @rule(error=st.booleans())
    def model_ends(self, error: bool) -> None:
        self.model.emit(OSError("gone") if error else None)
        self.settle()

    @rule(seconds=st.sampled_from([0.2, 1.5, 4.0, 12.0, 430.0]))
    def time_passes(self, seconds: float) -> None:
        self.settle(seconds)

    # Stories: what seldom comes about by chance

    @precondition(lambda self: self.started and self.model.connected)
    @rule(
        name=st.sampled_from(["wait_for_it", "background"]),
        failures=st.integers(0, 3),
        ends=st.sampled_from(["during", "after"]),
        fails=st.booleans(),
    )
    def a_call_runs_across_a_restart(self, name: str, failures: int, ends: str, fails: bool) -> None:
        self.call(name, 2)
        self.limit(failures)
        if ends == "after":
            self.settle(5)
        futures = self.waiting if name == "wait_for_it" else self.tasks
        if futures:
            self._end(futures, len(futures) - 1, fails)
        self.settle(0.5)

    @precondition(lambda self: self.started and self.model.connected and self.model.response is None)
    @rule(
        then=st.sampled_from(["limit", "lose unheard", "barge in", "speak", "pause", "stop", "type", "end"]),
        wait=st.sampled_from([0.0, 0.01, 1.5]),
        count=st.integers(1, 3),
    )
    def a_result_is_told_and_something_comes_between(self, then: str, wait: float, count: int) -> None:
        self.call("background", count)
        self.settle(1.5)
        if self.model.profile.interruption == "agent":
            self.speak(False)
        self.settle(1.5)
        while self.tasks:
            self._end(self.tasks, 0, fails=False, settle=False)
        self.settle(wait)
        if then == "limit":
            self.limit(1)
            return
        if not self.model.connected:
            return
        self.paused = then in ("pause", "lose unheard")
        if self.model.response is None:
            self.respond()
        if then == "barge in" and self.model.profile.interruption == "model":
            self.barge_in()
        elif then == "speak" and self.model.profile.interruption == "agent":
            self.speak(True)
        elif then == "stop":
            self.stop()
        elif then == "type":
            self.type()
        elif then == "lose unheard":
            self.voice(2)
            self.limit(0)
        elif then == "end":
            self.model_ends(True)
        elif self.model.response is not None:
            self.voice(3)

    # What must hold

    @invariant()
    def the_history_is_valid(self) -> None:
        if not hasattr(self, "agent"):
            return
        assert validate_messages(self.agent.messages) == []
        answered = [
            block["toolResult"]["toolUseId"]
            for message in self.agent.messages
            for block in message["content"]
            if "toolResult" in block
        ]
        assert len(answered) == len(set(answered)), "a call was answered twice"
        assert not set(answered) & set(self.agent.open_calls)

    @invariant()
    def nothing_went_wrong_unseen(self) -> None:
        assert not self.faults, self.faults
        assert not hasattr(self, "model") or not self.model.faults, self.model.faults
        if self.read_error is not None:
            assert isinstance(self.read_error, OSError), repr(self.read_error)

    def teardown(self) -> None:
        try:
            if hasattr(self, "agent"):
                self.end()
        finally:
            pending = asyncio.all_tasks(self.loop)
            for task in pending:
                task.cancel()
            if pending:
                self.go(asyncio.wait(pending))
            self.loop.close()
            self.patch.undo()

    def end(self) -> None:
        """A patient user, a network that works, a model that answers: everything comes to its end."""
        self.paused = False
        self.model.failures, self.model.refusals = [], 0
        self.settle(10)
        if self.reader is not None and self.reader.done() and self.started:
            self.stop()
        if not self.started:
            self.start()
        for futures in (self.waiting, self.tasks):
            while futures:
                self._end(futures, 0, fails=False)
        self.settle(5)
        while self.tasks:
            self._end(self.tasks, 0, fails=False)
        for task in self.manager.tasks:
            if not task.done():
                self.manager.resolve(task, "done elsewhere")
        for _ in range(6):
            if self.model.profile.interruption == "agent":
                self.speak(False)
            if self.model.response is None:
                self.respond()
            self.voice(2)
            self.complete()
            self.settle(15)
        self.nothing_went_wrong_unseen()
        self.the_history_is_valid()
        assert self.agent.open_calls == {}, "a call was never answered"
        for text, sender in self.senders:
            assert sender.done(), f"{text!r} is still being sent"
            if sender.exception() is not None:
                assert isinstance(sender.exception(), AgentStateError), sender.exception()
                self.refused.add(text)
        sent = [text for text, _ in self.senders if text and text not in self.refused]
        arrived = list(dict.fromkeys(text for text in self.model.texts if text not in self.refused))
        assert arrived == sent, "text was lost or came out of order"
        for task in self.manager.tasks:
            told = self.model.told[task.id]
            assert task.done(), "a task hangs"
            assert task.delivered or task.announce == "never", f"the result of {task!r} was never told"
            assert told <= (task.announce != "never")
            assert task.attempts <= (3 if task.tool_name == "again" else 1)
        self.stop()
        fired = self.hooks.fired
        assert fired["BidiBeforeInvocationEvent"] == fired["BidiAfterInvocationEvent"]
        assert fired["BidiBeforeConnectionRestartEvent"] >= fired["BidiAfterConnectionRestartEvent"]
        left = asyncio.all_tasks(self.loop)
        assert not left, f"left behind: {left}"
        assert not self.timers.pending, "a timer is left"
        assert self.manager.pending_count == self.manager.admission.running == self.manager.admission.queued == 0


World.TestCase.settings = settings(
    max_examples=amount(150, 10_000),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestInterleavings = World.TestCase
