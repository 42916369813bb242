"""Acknowledge now, work in the background, tell later: the whole chain with real threads."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from backchannel import AsyncToolManager, BidiAgent, async_tool, tool
from backchannel.agents.background import MOST_UPDATES, UPDATE_S, BackgroundTasks
from backchannel.events import TaskFinished, TypedEvent, UserSpeechEvent
from backchannel.hooks import BidiAfterToolCallEvent, HookProvider, HookRegistry
from backchannel.models.realtime import ModelProfile
from backchannel.models.scripted import (
    ScriptedModel,
    call,
    expect,
    expect_announcement,
    expect_progress,
    expect_result,
    expect_text,
    hear,
    say,
)
from backchannel.tasks import track
from tests.support.virtual_time import virtual_time


@pytest.fixture
def manager():
    manager = AsyncToolManager(max_workers=4)
    yield manager
    manager.shutdown(wait=True, cancel=True)


async def collect(agent: BidiAgent, events: list[TypedEvent]) -> None:
    async for event in agent.receive():
        events.append(event)


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


async def test_acknowledged_now_and_told_when_it_is_done(manager):
    release = threading.Event()

    @async_tool(manager)
    def research(topic: str) -> str:
        """Research a topic."""
        release.wait(10)
        return f"Findings about {topic}."

    model = ScriptedModel(
        expect_text("research"),
        call("research", {"topic": "solar power"}),
        expect_result("research", status="success"),
        say("Started."),
        expect_announcement("Findings about solar power."),
        say("It is done."),
    )
    events: list[TypedEvent] = []
    async with BidiAgent(model, tools=[research]) as agent:
        reading = asyncio.create_task(collect(agent, events))
        await agent.send("research solar power")
        await until(lambda: any(event.get("type") == "bidi_response_complete" for event in events))
        [task] = manager.tasks
        acknowledgement = next(event for event in model.sent if event["type"] == "tool_result")
        text = acknowledgement["tool_result"]["content"][0]["text"]
        assert task.id in text
        assert "solar power" in text
        assert "Findings" not in text
        release.set()
        await until(lambda: task.delivered)
        reading.cancel()
    model.check()
    assert [event["task"]["status"] for event in events if event.get("type") == "task_update"][-1] == "done"
    announcement = model.sent[-1]
    assert announcement.tasks[0].task_id == task.id
    assert task.id in announcement["text"]


async def test_what_finishes_in_the_grace_period_is_an_ordinary_result(manager):
    @async_tool(manager, grace_s=5.0)
    def quick() -> str:
        """Be quick."""
        return "fast result"

    model = ScriptedModel(call("quick"), expect_result("fast result"), say("Done."))
    events: list[TypedEvent] = []
    async with BidiAgent(model, tools=[quick]) as agent:
        reading = asyncio.create_task(collect(agent, events))
        await until(lambda: any(event.get("type") == "bidi_response_complete" for event in events))
        await asyncio.sleep(0.05)
        reading.cancel()
    model.check()
    assert not any(event["type"] == "bidi_text_input" for event in model.sent)


async def test_a_task_that_fails_is_told_with_its_error_and_the_loop_lives(manager):
    release = threading.Event()

    @async_tool(manager)
    def broken() -> str:
        """Break."""
        release.wait(10)
        raise ValueError("the disk is full")

    model = ScriptedModel(
        call("broken"), expect_result(), say("Started."), expect_announcement("the disk is full"), say("It failed.")
    )
    events: list[TypedEvent] = []
    async with BidiAgent(model, tools=[broken]) as agent:
        reading = asyncio.create_task(collect(agent, events))
        await until(lambda: any(event.get("type") == "bidi_response_complete" for event in events))
        release.set()
        await until(lambda: manager.tasks[0].delivered)
        reading.cancel()
    model.check()


async def test_eight_tasks_that_finish_while_the_user_speaks_are_told_in_one_go(manager):
    release = threading.Event()
    many = AsyncToolManager(max_workers=8)

    @async_tool(many)
    def work(n: int) -> str:
        """Work."""
        release.wait(10)
        return f"result {n}"

    calls = [call("work", {"n": n}, f"c{n}") for n in range(8)]
    answers = [expect_result(tool_use_id=f"c{n}") for n in range(8)]
    gate = expect("any order", lambda event: event["type"] == "tool_result")
    assert len(answers) == 8
    model = ScriptedModel(
        calls,
        [gate] * 8,
        say("All started."),
        expect_text("go on"),
        hear("hm"),
        expect_announcement("result 0"),
        say("Done."),
        profile=ModelProfile(interruption="agent", tools="live"),
    )
    events: list[TypedEvent] = []
    async with BidiAgent(model, tools=[work]) as agent:
        reading = asyncio.create_task(collect(agent, events))
        await until(lambda: any(event.get("type") == "bidi_response_complete" for event in events))
        agent._conversation.conversation.user_speaking = True  # type: ignore[union-attr]
        release.set()
        await until(lambda: all(task.done() for task in many.tasks))
        await asyncio.sleep(0.05)
        await agent.send("go on")
        await until(lambda: all(task.delivered for task in many.tasks))
        reading.cancel()
    many.shutdown()
    model.check()
    assert sum(event["type"] == "bidi_text_input" and "result" in event["text"] for event in model.sent) == 1


async def test_tasks_go_on_when_the_agent_stops_and_nothing_is_left_running(manager):
    release = threading.Event()

    @async_tool(manager)
    def long() -> str:
        """Take long."""
        release.wait(10)
        return "ok"

    agent = BidiAgent(ScriptedModel(call("long"), expect_result(), say("Started.")), tools=[long])
    events: list[TypedEvent] = []
    await agent.start()
    reading = asyncio.create_task(collect(agent, events))
    await until(lambda: any(event.get("type") == "bidi_response_complete" for event in events))
    await agent.stop()
    await reading
    assert asyncio.all_tasks() == {asyncio.current_task()}
    release.set()
    assert await manager.tasks[0] == "ok"


async def test_a_task_started_by_hand_is_not_told(manager):
    @async_tool(manager)
    def work() -> str:
        """Work."""
        return "by hand"

    model = ScriptedModel()
    async with BidiAgent(model, tools=[work]):
        assert await work() == "by hand"
        await asyncio.sleep(0.02)
    assert model.sent == []


async def test_a_tool_declared_during_the_conversation_is_offered_to_the_model(manager):
    @async_tool(manager)
    def later() -> str:
        """Come later."""
        return "ok"

    model = ScriptedModel()
    async with BidiAgent(model) as agent:
        assert agent.tool_names == []
        agent.tool_registry.register(later)
        await until(lambda: model.tool_updates)
        assert {spec["name"] for spec in model.tool_updates[-1]} == {"later", "background_tasks", "look_at_result"}


async def test_a_model_that_cannot_take_tools_live_is_connected_anew_when_nobody_speaks(manager):
    @async_tool(manager)
    def later() -> str:
        """Come later."""
        return "ok"

    model = ScriptedModel(profile=ModelProfile(tools="restart"))
    events: list[TypedEvent] = []
    async with BidiAgent(model) as agent:
        reading = asyncio.create_task(collect(agent, events))
        await until(lambda: events)
        agent.tool_registry.register(later)
        await until(lambda: len(model.starts) == 2)
        reading.cancel()
    assert {spec["name"] for spec in model.starts[1]["tools"]} == {"later", "background_tasks", "look_at_result"}


async def test_send_from_another_loop_is_handed_over():
    model = ScriptedModel(expect_text("from afar"), say("Heard."))
    async with BidiAgent(model) as agent:
        await asyncio.to_thread(lambda: asyncio.run(agent.send("from afar")))
        await until(lambda: model.sent)
    model.check()


async def test_what_was_cancelled_through_the_conversation_is_not_told_again(manager):
    release = threading.Event()

    @async_tool(manager)
    def long() -> str:
        """Take long."""
        release.wait(10)
        return "ok"

    model = ScriptedModel(
        call("long"),
        expect_result(),
        say("Started."),
        expect_text("cancel it"),
        call("background_tasks", {"action": "cancel"}, "call-2"),
        expect_result("Cancelled task 1, long."),
        say("Cancelled."),
    )
    events: list[TypedEvent] = []
    async with BidiAgent(model, tools=[long]) as agent:
        reading = asyncio.create_task(collect(agent, events))
        await until(lambda: any(event.get("type") == "bidi_response_complete" for event in events))
        await agent.send("cancel it")
        await until(lambda: sum(event.get("type") == "bidi_response_complete" for event in events) == 2)
        release.set()
        await asyncio.sleep(1.2)
        reading.cancel()
    model.check()


async def test_asking_for_a_finished_task_does_not_tell_its_result_twice(manager):
    @async_tool(manager, grace_s=0.0)
    def quick() -> str:
        """Be quick."""
        return "the secret"

    model = ScriptedModel(
        call("quick"),
        expect_result(),
        [say("Started.", complete=False)],
        expect_text("how far"),
        call("background_tasks", {"action": "list"}, "call-2"),
        expect_result("more about it comes next"),
    )
    events: list[TypedEvent] = []
    async with BidiAgent(model, tools=[quick]) as agent:
        reading = asyncio.create_task(collect(agent, events))
        await until(lambda: manager.tasks and manager.tasks[0].done())
        await until(lambda: any(event.get("type") == "bidi_audio_stream" for event in events))
        await agent.send("how far")
        await until(lambda: any("comes next" in str(event) for event in model.sent))
        reading.cancel()
    assert not any("the secret" in str(event) for event in model.sent)


async def test_a_model_that_uses_an_id_twice_is_still_told_the_first_result(manager):
    release = threading.Event()

    @async_tool(manager)
    def research(topic: str) -> str:
        """Research a topic."""
        release.wait(10)
        return f"Findings about {topic}."

    @tool
    async def clock() -> str:
        """Tell the time."""
        return "noon"

    model = ScriptedModel(
        call("research", {"topic": "solar power"}, "same"),
        expect_result("solar power", tool_use_id="same"),
        call("clock", {}, "same"),
        expect_result("noon", tool_use_id="same"),
        expect_announcement("Findings about solar power."),
        say("It is done."),
    )
    events: list[TypedEvent] = []
    async with BidiAgent(model, tools=[research, clock]) as agent:
        reading = asyncio.create_task(collect(agent, events))
        await until(lambda: len(model.sent) == 2)
        release.set()
        await until(lambda: manager.tasks[0].delivered)
        reading.cancel()
    model.check()


async def test_a_result_that_was_given_to_the_model_before_the_agent_stopped_is_perhaps_told(manager):
    @async_tool(manager, grace_s=0)
    async def research(topic: str) -> str:
        """Research a topic."""
        return f"Findings about {topic}."

    model = ScriptedModel(
        call("research", {"topic": "solar power"}),
        expect_result("research"),
        expect_announcement("Findings"),
        expect_announcement("You may have said this already"),
        say("It is done."),
    )
    agent = BidiAgent(model, tools=[research])
    async with agent:
        await until(lambda: len(model.sent) == 2)
    async with agent:
        async for event in agent.receive():
            if event.get("type") == "bidi_response_complete":
                break
    model.check()
    assert manager.tasks[0].delivered
    assert agent.announced == set()


class Steps:
    """A tool whose progress the test drives, a step at a time."""

    def __init__(self, manager: AsyncToolManager, **options: Any) -> None:
        self.go = threading.Semaphore(0)

        @async_tool(manager, **options)
        def train(dataset: str) -> str:
            """Train."""
            for _ in track(range(8), "epochs"):
                assert self.go.acquire(timeout=10)
            return "error 4 percent"

        self.tool = train

    def step(self, count: int = 1) -> None:
        self.go.release(count)


async def test_a_model_is_told_quarters_silently_where_it_can_be(manager):
    steps = Steps(manager, grace_s=0)
    model = ScriptedModel(
        call("train", {"dataset": "sales"}),
        expect_result("train"),
        say("Started."),
        expect_progress("Task 1, train sales: 25 percent", aloud=False),
        expect_progress("50 percent", aloud=False),
        expect_announcement("error 4 percent"),
        say("Done."),
        profile=ModelProfile(tools="live", silent_text=True),
    )
    async with BidiAgent(model, tools=[steps.tool]) as agent:
        reading = asyncio.create_task(collect(agent, []))
        await until(lambda: len(model.sent) == 1)
        steps.step(2)
        await until(lambda: len(model.sent) == 2)
        steps.step(2)
        await until(lambda: len(model.sent) == 3)
        assert [message["role"] for message in agent.messages if "percent" in str(message)] == []
        manager.tasks[0].announce = "when_free"
        steps.step(4)
        await until(lambda: manager.tasks[0].delivered)
        reading.cancel()
    # The last quarter may or may not have come before the end.
    model.check()


async def test_a_voice_says_quarters_where_the_tool_asks_for_it(manager):
    steps = Steps(manager, grace_s=0, milestones="quarters")
    model = ScriptedModel(
        call("train", {"dataset": "sales"}),
        expect_result("train"),
        say("Started.", 0.04),
        expect_progress("Task 1, train sales: 50 percent", aloud=True),
        say("Half of it is done.", 0.04),
        expect_announcement("error 4 percent"),
        say("Done.", 0.04),
    )
    async with BidiAgent(model, tools=[steps.tool]) as agent:
        reading = asyncio.create_task(collect(agent, []))
        await until(lambda: len(model.sent) == 1)
        steps.step(4)
        await until(lambda: len(model.sent) == 2)
        steps.step(4)
        await until(lambda: manager.tasks[0].delivered)
        reading.cancel()
    model.check()
    assert "Half of it is done." in str(agent.messages)
    assert "Background progress" not in str(agent.messages)


async def test_without_that_the_voice_says_nothing_on_the_way(manager):
    steps = Steps(manager, grace_s=0)
    model = ScriptedModel(
        call("train", {"dataset": "sales"}),
        expect_result("train"),
        say("Started."),
        expect_announcement("error"),
        say(""),
    )
    async with BidiAgent(model, tools=[steps.tool]) as agent:
        reading = asyncio.create_task(collect(agent, []))
        await until(lambda: len(model.sent) == 1)
        steps.step(8)
        await until(lambda: manager.tasks[0].delivered)
        reading.cancel()
    model.check()


async def test_what_a_task_reports_in_the_grace_period_is_told_after_its_acknowledgement(manager):
    steps = Steps(manager, grace_s=0.2, milestones="quarters")
    steps.step(4)
    model = ScriptedModel(
        call("train", {"dataset": "sales"}),
        expect_result("Started train sales"),
        say("Started.", 0.04),
        expect_progress("50 percent", aloud=True),
        say("Half.", 0.04),
    )
    async with BidiAgent(model, tools=[steps.tool]) as agent:
        reading = asyncio.create_task(collect(agent, []))
        await until(lambda: len(model.sent) == 2)
        reading.cancel()
    steps.step(4)
    model.check()


async def test_milestones_of_another_agents_tasks_are_not_told(manager):
    steps = Steps(manager, milestones="quarters")
    model, other = ScriptedModel(), object()
    async with BidiAgent(model, tools=[steps.tool]):
        task = steps.tool.manager.start("train", steps.tool.fn, {"dataset": "sales"}, owner=other)
        steps.step(8)
        assert await task == "error 4 percent"
        await asyncio.sleep(0.02)
    assert model.sent == []


async def test_a_result_that_is_owed_is_marked_when_the_same_is_asked_for_again(manager):
    release = {n: threading.Event() for n in (1, 2)}
    runs = iter((1, 2))

    @async_tool(manager, grace_s=0)
    def search(text: str) -> str:
        """Search."""
        run = next(runs)
        release[run].wait(10)
        return f"found by run {run}"

    model = ScriptedModel(
        call("search", {"text": "x"}, "c1"),
        expect_result("Started"),
        [UserSpeechEvent(True)],
        expect_text("again"),
        call("search", {"text": "x"}, "c2"),
        expect_result("Started"),
        expect_announcement("This is the older run: task"),
        say("The first one is done."),
        expect_announcement("found by run 2"),
        say("The second one too."),
        profile=ModelProfile(interruption="agent", tools="live"),
    )
    events: list[TypedEvent] = []
    async with BidiAgent(model, tools=[search]) as agent:
        reading = asyncio.create_task(collect(agent, events))
        await until(lambda: any(event.get("type") == "user_speech" for event in events))
        release[1].set()
        await until(lambda: agent._conversation.conversation.owed)  # type: ignore[union-attr]
        agent._conversation.conversation.user_speaking = False  # type: ignore[union-attr]
        await agent.send("again")
        await until(lambda: manager.tasks[0].delivered)
        release[2].set()
        await until(lambda: manager.tasks[1].delivered)
        reading.cancel()
    model.check()
    first, second = manager.tasks
    assert first.superseded_by == second.id
    told = [event for event in model.sent if event["type"] == "bidi_text_input" and "found by" in event["text"]]
    assert "found by run 1" in told[0]["text"]
    assert "older" not in told[1]["text"]


async def test_several_calls_at_once_wait_for_their_grace_together(manager):
    many = AsyncToolManager(max_workers=8, grace_s=0.3)
    release = threading.Event()

    @async_tool(many)
    def work(n: int) -> str:
        """Work."""
        release.wait(10)
        return f"result {n}"

    model = ScriptedModel(
        [call("work", {"n": n}, f"c{n}") for n in range(8)],
        [expect("an acknowledgement", lambda event: event["type"] == "tool_result")] * 8,
        say("All started."),
    )
    loop = asyncio.get_running_loop()
    async with BidiAgent(model, tools=[work]):
        await until(lambda: len(many.tasks) == 8)
        began = loop.time()
        await until(lambda: len(model.sent) == 8)
        waited = loop.time() - began
    release.set()
    many.shutdown()
    assert waited < 8 * 0.3


async def test_eight_tasks_that_finish_at_the_same_instant_are_told_in_one_go(manager):
    many = AsyncToolManager(max_workers=8, grace_s=0)
    together = threading.Barrier(8)
    release = threading.Event()

    @async_tool(many)
    def work(n: int) -> str:
        """Work."""
        release.wait(10)
        together.wait(10)
        return f"result {n}"

    model = ScriptedModel(
        [call("work", {"n": n}, f"c{n}") for n in range(8)],
        [expect("an acknowledgement", lambda event: event["type"] == "tool_result")] * 8,
        say("All started.", 0.04),
        expect_announcement("result"),
        say("All done.", 0.04),
    )
    events: list[TypedEvent] = []
    async with BidiAgent(model, tools=[work]) as agent:
        reading = asyncio.create_task(collect(agent, events))
        await until(lambda: any(event.get("type") == "bidi_response_complete" for event in events))
        release.set()
        await until(lambda: all(task.delivered for task in many.tasks))
        reading.cancel()
    many.shutdown()
    model.check()
    [announcement] = [event for event in model.sent if event["type"] == "bidi_text_input"]
    assert len(announcement.tasks) == 8


def carrier(manager: AsyncToolManager) -> tuple[Any, BackgroundTasks, list[TypedEvent]]:
    """An agent that is none, what carries its tasks' changes, and what that published."""

    @async_tool(manager)
    def research(topic: str) -> str:
        """Research a topic."""
        return topic

    events: list[TypedEvent] = []
    agent: Any = SimpleNamespace(
        tool_registry=SimpleNamespace(tools=lambda: [research]), announced=set(), open_calls={}
    )
    tasks = BackgroundTasks(agent, asyncio.get_running_loop(), lambda fact: None, events.append)
    tasks.watch()
    return agent, tasks, events


@virtual_time
async def test_of_very_many_tasks_that_move_each_is_published_in_its_turn(manager):
    agent, carried, events = carrier(manager)
    count = 5 * MOST_UPDATES
    tasks = [manager.defer("research", {"topic": str(number)}, owner=agent) for number in range(count)]
    await asyncio.sleep(0)
    events.clear()
    for period in range(20):
        for task in tasks:
            task.report(period, 20, None)
        before = len(events)
        await asyncio.sleep(UPDATE_S)
        assert len(events) - before <= MOST_UPDATES
    assert {event["task"]["id"] for event in events} == {task.id for task in tasks}
    # The newest of each comes, also when nothing is reported any more.
    await asyncio.sleep(UPDATE_S * 10)
    assert {event["task"]["id"]: event["task"]["done"] for event in events} == {task.id: 19 for task in tasks}
    before = len(events)
    await asyncio.sleep(UPDATE_S * 10)
    assert len(events) == before
    carried.close()


@virtual_time
async def test_a_report_that_comes_while_others_are_published_is_not_lost(manager):
    agent, carried, events = carrier(manager)
    one, other = (manager.defer("research", {"topic": topic}, owner=agent) for topic in ("one", "other"))
    await asyncio.sleep(0)
    taken = carried._emit

    def emit(event: TypedEvent) -> None:
        taken(event)
        for task in (one, other):
            if task.progress.done == 1:
                task.report(2, 3, None)  # as another thread may at this moment

    carried._emit = emit
    one.report(1, 3, None)
    other.report(1, 3, None)
    await asyncio.sleep(UPDATE_S * 3)
    last = {event["task"]["id"]: event["task"]["done"] for event in events}
    assert last == {one.id: 2, other.id: 2}
    carried.close()


@virtual_time
async def test_quarters_that_many_tasks_reach_at_once_are_taken_together(manager):
    agent, carried, _ = carrier(manager)
    tasks = [manager.defer("research", {"topic": str(number)}, owner=agent) for number in range(100)]
    [watch] = carried._milestones
    taken: list[int] = []
    take = watch.take
    watch.take = lambda: taken.append(len(found := take())) or found
    for task in tasks:
        task.report(1, 4, None)
    await asyncio.sleep(0.01)
    assert taken == [100]
    tasks[0].report(2, 4, None)
    await asyncio.sleep(0.01)
    assert taken == [100, 1]
    carried.close()


async def test_a_call_that_is_referred_to_a_task_that_ends_meanwhile_leaves_nothing_to_wait_for(manager):
    release = threading.Event()

    @async_tool(manager, grace_s=0, on_duplicate="reuse")
    def work(n: int) -> str:
        """Work."""
        release.wait(10)
        return f"result {n}"

    class Late(HookProvider):
        """Lets the task end after its second call has been referred to it, and before that is answered."""

        def register_hooks(self, registry: HookRegistry, **_: Any) -> None:
            registry.add_callback(BidiAfterToolCallEvent, self.after)

        async def after(self, event: BidiAfterToolCallEvent) -> None:
            if "already under way" in str(event.result):
                release.set()
                await manager.tasks[0].ended()
                await asyncio.sleep(0.02)

    model = ScriptedModel(
        call("work", {"n": 1}, "c1"),
        expect_result("Started"),
        say("Started.", 0.04),
        expect_text("again"),
        call("work", {"n": 1}, "c2"),
        expect_result("already under way"),
        expect_announcement("result 1"),
        say("Done.", 0.04),
    )
    async with BidiAgent(model, tools=[work], hooks=[Late()]) as agent:
        reading = asyncio.create_task(collect(agent, []))
        await until(lambda: len(model.sent) == 1)
        await agent.send("again")
        await until(lambda: manager.tasks[0].delivered)
        assert agent._conversation.conversation._tasks == set()  # type: ignore[union-attr]
        reading.cancel()
    model.check()


async def test_of_a_task_that_is_never_told_nothing_is_kept(manager):
    @async_tool(manager, grace_s=0, announce="never")
    def work() -> str:
        """Work."""
        return "quiet"

    model = ScriptedModel(call("work"), expect_result("Started"), say("Started.", 0.04))
    async with BidiAgent(model, tools=[work]) as agent:
        reading = asyncio.create_task(collect(agent, []))
        await until(lambda: manager.tasks and manager.tasks[0].done() and model.sent)
        await asyncio.sleep(0.02)
        conversation = agent._conversation
        assert conversation is not None
        assert conversation._background._untold == {}
        assert conversation.conversation.owed == []
        reading.cancel()
    model.check()
    assert not manager.tasks[0].delivered


@virtual_time
async def test_results_that_the_manager_keeps_no_more_are_told_like_others(manager, monkeypatch):
    monkeypatch.setattr("backchannel.tasks.engine.KEPT", 2)
    agent, carried, _ = carrier(manager)
    facts: list[Any] = []
    carried._feed = facts.append
    tasks = [manager.defer("research", {"topic": str(number)}, owner=agent) for number in range(5)]
    for task in tasks:
        manager.resolve(task, "found")
    await asyncio.sleep(0.01)
    ended = tuple(fact for fact in facts if isinstance(fact, TaskFinished))
    assert [fact.task_id for fact in ended] == [task.id for task in tasks]
    carried.announced(ended)
    assert all(task.announced for task in tasks)
    carried.told(ended)
    assert all(task.delivered for task in tasks)
    assert agent.announced == set()
    carried.close()
