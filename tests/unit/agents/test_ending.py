"""The end of a conversation comes in time, whatever hangs in it, and names what did."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from backchannel import BidiAgent, tool
from backchannel.agents import ending, link, loop
from backchannel.errors import AgentStateError, ModelError
from backchannel.events import (
    BidiConnectionStartEvent,
    BidiErrorEvent,
    BidiTranscriptStreamEvent,
    BidiUsageEvent,
    ToolUseStreamEvent,
    TypedEvent,
)
from backchannel.hooks import (
    BidiAfterInvocationEvent,
    BidiAfterToolCallEvent,
    BidiBeforeInvocationEvent,
    BidiBeforeToolCallEvent,
    BidiMessageAddedEvent,
)
from tests.support.fake_model import FakeModel


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything is given a fraction of its time; what was left behind is let go at the end of a test."""
    for module, name, seconds in (
        (ending, "CANCEL_S", 0.1),
        (link, "CANCEL_S", 0.1),
        (link, "STOP_S", 0.1),
        (loop, "ENDING_S", 0.9),
        (loop, "WORK_S", 0.3),
        (loop, "MODEL_S", 0.2),
        (loop, "HOOKS_S", 0.2),
    ):
        monkeypatch.setattr(module, name, seconds)
    yield
    ending._left.clear()
    gc.collect()


class Stubborn:
    """Waits, and takes no cancellation, until it is released."""

    def __init__(self) -> None:
        self.released = False

    async def wait(self) -> None:
        while not self.released:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.02)


def call(name: str, call_id: str = "c1") -> ToolUseStreamEvent:
    return ToolUseStreamEvent({}, {"toolUseId": call_id, "name": name, "input": {}})


@tool
def plain() -> str:
    """A tool."""
    return "done"


async def stopped(agent: BidiAgent, within_s: float = 3.0) -> float:
    begun = time.monotonic()
    await asyncio.wait_for(agent.stop(), within_s)
    return time.monotonic() - begun


HOOKS = [BidiBeforeToolCallEvent, BidiAfterToolCallEvent, BidiMessageAddedEvent, BidiAfterInvocationEvent]


@pytest.mark.parametrize("event", HOOKS)
@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_hook_that_hangs_holds_up_no_stop_and_is_named(
    event: type, stubborn: bool, caplog: pytest.LogCaptureFixture
) -> None:
    block = Stubborn()

    async def hanging_hook(_: Any) -> None:
        await (block.wait() if stubborn else asyncio.Event().wait())

    model = FakeModel()
    agent = BidiAgent(model, tools=[plain])
    agent.hooks.add_callback(event, hanging_hook)
    await agent.start()
    model.emit(call("plain"))
    await asyncio.sleep(0.05)
    with caplog.at_level(logging.WARNING, "backchannel"):
        await stopped(agent)
    if stubborn or event is BidiAfterInvocationEvent:
        assert "hanging_hook" in caplog.text
        assert event.__name__ in caplog.text
    assert model.stops == 1
    block.released = True
    await agent.start()
    await stopped(agent)


async def test_a_tool_that_takes_no_cancellation_is_named_and_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    block = Stubborn()

    @tool
    async def swallow() -> str:
        """Swallow."""
        await block.wait()
        raise RuntimeError("too late for anybody")

    model = FakeModel()
    agent = BidiAgent(model, tools=[swallow])
    await agent.start()
    model.emit(call("swallow"))
    await asyncio.sleep(0.05)
    await stopped(agent)
    assert "the tool swallow" in caplog.text
    assert model.stops == 1
    block.released = True
    await agent.start()
    await asyncio.sleep(0.1)
    await stopped(agent)


async def test_a_tool_that_blocks_its_thread_holds_up_no_stop() -> None:
    released = threading.Event()

    @tool
    def blocking() -> str:
        """Block."""
        released.wait(10)
        return ""

    model = FakeModel()
    agent = BidiAgent(model, tools=[blocking])
    await agent.start()
    model.emit(call("blocking"))
    await asyncio.sleep(0.05)
    assert await stopped(agent) < 2
    released.set()


@pytest.mark.parametrize("method", ["start", "stop", "send", "receive"])
@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_model_that_hangs_holds_up_no_stop(
    method: str, stubborn: bool, caplog: pytest.LogCaptureFixture
) -> None:
    block = Stubborn()

    async def hang(*_: Any, **__: Any) -> None:
        await (block.wait() if stubborn else asyncio.Event().wait())

    async def receive() -> AsyncIterator[Any]:
        yield BidiConnectionStartEvent("c", "m")
        await hang()

    model = FakeModel()
    agent = BidiAgent(model)
    setattr(model, method, receive if method == "receive" else hang)
    starting = asyncio.create_task(agent.start())
    await asyncio.sleep(0.05)
    sending = asyncio.create_task(agent.send("hello")) if method == "send" else None
    await asyncio.sleep(0.05)
    await stopped(agent)
    if (stubborn or method == "stop") and method != "send":  # That one belongs to whoever sends.
        assert f"FakeModel.{method}" in caplog.text
    if method == "start":
        with pytest.raises(AgentStateError, match="stopped before it was connected"):
            await asyncio.wait_for(starting, 1)
    if sending is not None and not stubborn:
        with pytest.raises(AgentStateError, match="was stopped"):
            await asyncio.wait_for(sending, 1)
    if stubborn and method != "send":
        with pytest.raises(AgentStateError, match=rf"FakeModel\.{method}.*has not ended"):
            await agent.start()
    block.released = True
    await asyncio.sleep(0.1)
    if sending is not None:
        await asyncio.gather(sending, return_exceptions=True)
    delattr(model, method)
    model.connected = False
    await agent.start()
    await agent.send("again")
    await stopped(agent)


async def test_a_hook_before_the_start_that_hangs_can_be_stopped() -> None:
    block = Stubborn()
    agent = BidiAgent(FakeModel())

    async def hanging_hook(_: Any) -> None:
        await block.wait()

    agent.hooks.add_callback(BidiBeforeInvocationEvent, hanging_hook)
    starting = asyncio.create_task(agent.start())
    await asyncio.sleep(0.05)
    await stopped(agent)
    with pytest.raises(AgentStateError):
        await asyncio.wait_for(starting, 1)
    block.released = True
    await agent.start()
    await stopped(agent)


async def test_a_model_that_swallows_the_end_of_a_restart_holds_up_no_stop() -> None:
    block = Stubborn()
    model = FakeModel()
    agent = BidiAgent(model)
    await agent.start()

    async def hang(*_: Any, **__: Any) -> None:
        await block.wait()

    model.start = hang  # type: ignore[method-assign]
    from backchannel.errors import BidiModelTimeoutError

    model.emit(BidiModelTimeoutError("limit"))
    await asyncio.sleep(0.05)
    await stopped(agent)
    block.released = True
    await asyncio.sleep(0.05)


async def test_a_flood_keeps_nobody_from_stopping() -> None:
    class Flood(FakeModel):
        async def receive(self) -> AsyncIterator[Any]:
            while True:
                yield BidiTranscriptStreamEvent({"text": "x"}, "x", "assistant", False)

    for read in (False, True):
        agent = BidiAgent(Flood())
        await agent.start()
        reader = asyncio.create_task(_read(agent, []) if read else asyncio.sleep(0))
        await asyncio.sleep(0.05)
        await stopped(agent)
        await reader


async def _read(agent: BidiAgent, events: list[TypedEvent]) -> None:
    async for event in agent.receive():
        events.append(event)


NO_EVENTS: list[Any] = [
    {"type": "from_the_future", "x": 1},
    {"no": "type"},
    {"type": "bidi_response_start"},
    {"type": "bidi_response_start", "response_id": 3},
    {"type": "bidi_interruption", "reason": "whim"},
    {"type": "tool_use_stream", "current_tool_use": {"name": "plain"}},
    {"type": ["bidi_response_start"]},
    "a text",
    None.__class__,
    42,
    object(),
    TypedEvent(type="from_the_future"),
    ToolUseStreamEvent({}, {"name": "plain"}),
    BidiUsageEvent("many", 1, 2),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("wrong", NO_EVENTS, ids=lambda event: repr(event)[:40])
async def test_what_is_no_event_is_reported_and_the_conversation_goes_on(wrong: Any) -> None:
    model, events = FakeModel(), []
    async with BidiAgent(model, tools=[plain]) as agent:
        reader = asyncio.create_task(_read(agent, events))
        model._events.put_nowait(wrong)
        model.emit(call("plain"))
        await asyncio.sleep(0.1)
        await agent.send("still here")
        assert not reader.done()
        assert [sent["type"] for sent in model.sent] == ["tool_result", "bidi_text_input"]
    await reader
    (error,) = [event for event in events if isinstance(event, BidiErrorEvent)]
    assert isinstance(error.error, ModelError)
    assert "FakeModel.receive" in error["message"]


async def test_a_flood_of_what_is_no_event_is_reported_so_often_and_no_more() -> None:
    model, events = FakeModel(), []
    async with BidiAgent(model, tools=[plain]) as agent:
        reader = asyncio.create_task(_read(agent, events))
        model.emit(*[{"type": "strange"}] * 1000)
        await asyncio.sleep(0.2)
    await reader
    assert sum(isinstance(event, BidiErrorEvent) for event in events) == link.MOST_REFUSED


@pytest.mark.parametrize("returned", [None, 3, [], "coroutine"])
async def test_a_receive_that_cannot_be_read_ends_the_conversation_in_words(returned: Any) -> None:
    class Wrong(FakeModel):
        def receive(self) -> Any:
            return asyncio.sleep(0) if returned == "coroutine" else returned

    async with BidiAgent(Wrong()) as agent:
        with pytest.raises(TypeError, match=r"Wrong\.receive returned .*'async def' with 'yield'"):
            await _read(agent, [])


@pytest.mark.parametrize("event", [BidiBeforeToolCallEvent, BidiAfterToolCallEvent])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_raising_hook_answers_the_call_and_is_raised(event: type, asynchronous: bool) -> None:
    def raises(_: Any) -> None:
        raise LookupError("hook broke")

    async def raises_later(_: Any) -> None:
        raise LookupError("hook broke")

    model = FakeModel()
    async with BidiAgent(model, tools=[plain]) as agent:
        agent.hooks.add_callback(event, raises_later if asynchronous else raises)
        model.emit(call("plain"))
        with pytest.raises(LookupError, match="hook broke"):
            await _read(agent, [])
        await asyncio.sleep(0.05)
        (result,) = [sent["tool_result"] for sent in model.sent]
        assert (result["toolUseId"], result["status"]) == ("c1", "error")
        assert "hook broke" in result["content"][0]["text"]
        assert agent.open_calls == {}
    assert [next(iter(block)) for message in agent.messages for block in message["content"]] == [
        "toolUse",
        "toolResult",
    ]


# Loops that end under an agent


def on_a_closed_loop(agent: BidiAgent) -> None:
    own = asyncio.new_event_loop()
    own.run_until_complete(agent.start())
    own.run_until_complete(asyncio.sleep(0.01))
    own.close()


@pytest.mark.parametrize("use", ["send", "receive", "start"])
def test_an_agent_whose_loop_is_closed_says_so(use: str) -> None:
    agent = BidiAgent(FakeModel())
    on_a_closed_loop(agent)

    async def main() -> None:
        uses: dict[str, Callable[[], Any]] = {
            "send": lambda: agent.send("x"),
            "receive": lambda: anext(agent.receive()),
            "start": agent.start,
        }
        with pytest.raises(AgentStateError, match=r"event loop that started it is closed. Call stop"):
            await uses[use]()
        await stopped(agent)

    asyncio.run(main())


def test_an_agent_whose_loop_is_closed_is_stopped_and_started_again() -> None:
    model, ended = FakeModel(), []
    agent = BidiAgent(model, tools=[plain])
    agent.hooks.add_callback(BidiAfterInvocationEvent, ended.append)
    on_a_closed_loop(agent)

    async def main() -> None:
        await stopped(agent)
        assert (model.stops, len(ended), agent.started) == (1, 1, False)
        async with agent:
            await agent.send("hello")
            assert model.sent[-1]["text"] == "hello"

    asyncio.run(main())


def test_an_agent_whose_loop_does_not_run_refuses_and_can_be_stopped() -> None:
    agent = BidiAgent(FakeModel())
    own = asyncio.new_event_loop()
    own.run_until_complete(agent.start())

    async def main() -> None:
        with pytest.raises(AgentStateError, match="does not run"):
            await asyncio.wait_for(agent.send("x"), 2)
        await stopped(agent)
        async with agent:
            await agent.send("y")

    asyncio.run(main())
    own.run_until_complete(asyncio.sleep(0.01))
    own.close()


def test_a_stop_from_another_loop_says_that_the_agents_loop_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backchannel.agents.bidi.BLOCKED_S", 0.2)
    agent, blocked, go, done = BidiAgent(FakeModel()), threading.Event(), threading.Event(), threading.Event()

    async def live() -> None:
        await agent.start()
        blocked.set()
        go.wait(10)
        while not done.is_set():
            await asyncio.sleep(0.01)

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    blocked.wait(10)

    async def main() -> None:
        with pytest.raises(AgentStateError, match="not answered"):
            await agent.stop()
        go.set()
        await stopped(agent)

    asyncio.run(main())
    done.set()
    thread.join(10)
    assert not agent.started


async def test_a_late_error_of_what_was_left_behind_is_retrieved(caplog: pytest.LogCaptureFixture) -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    block = Stubborn()

    class Late(FakeModel):
        async def stop(self) -> None:
            await block.wait()
            raise ConnectionError("too late")

    agent = BidiAgent(Late())
    await agent.start()
    await stopped(agent)
    block.released = True
    await asyncio.sleep(0.1)
    gc.collect()
    assert complaints == []
    assert ending.left_behind(agent.model) == []
