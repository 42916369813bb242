"""From start to stop, whoever stops it and when: nothing hangs, nothing is left behind."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from backchannel import BidiAgent, tool
from backchannel.errors import AgentStateError
from backchannel.events import BidiAudioStreamEvent, BidiResponseStartEvent, ToolUseStreamEvent
from backchannel.hooks import (
    BidiAfterInvocationEvent,
    BidiBeforeInvocationEvent,
    BidiBeforeToolCallEvent,
    BidiMessageAddedEvent,
    HookRegistry,
)
from tests.support.fake_model import FakeModel
from tests.support.virtual_time import virtual_time


class On:
    """A hook provider of one callback."""

    def __init__(self, event: type, callback: Any) -> None:
        self._event, self._callback = event, callback

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
        registry.add_callback(self._event, self._callback)


def use(name: str, call_id: str = "c1") -> ToolUseStreamEvent:
    return ToolUseStreamEvent({}, {"toolUseId": call_id, "name": name, "input": {}})


def left_behind() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


@virtual_time
async def test_invocation_state_reaches_tools_and_hooks_with_and_without_a_block():
    seen: list[Any] = []

    @tool
    async def look(invocation_state: dict[str, Any]) -> str:
        """Look."""
        seen.append(invocation_state["user"])
        return "ok"

    hook = On(BidiBeforeToolCallEvent, lambda event: seen.append(event.invocation_state["user"]))
    model = FakeModel()
    agent = BidiAgent(model, tools=[look], hooks=[hook])
    async with agent.with_state({"user": "ada"}) as same:
        assert same is agent
        model.emit(use("look"))
        await asyncio.sleep(0.1)
    await agent.start({"user": "bob"})
    model.emit(use("look"))
    await asyncio.sleep(0.1)
    await agent.stop()
    assert seen == ["ada", "ada", "bob", "bob"]


@virtual_time
async def test_two_starts_at_once_make_one_connection():
    model = FakeModel()
    agent = BidiAgent(model)
    outcomes = await asyncio.gather(agent.start(), agent.start(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), AgentStateError]
    assert len(model.connections) == 1
    await agent.stop()


@virtual_time
async def test_stop_before_start_and_twice_and_by_several_at_once():
    model, ended = FakeModel(), []
    agent = BidiAgent(model, hooks=[On(BidiAfterInvocationEvent, ended.append)])
    await agent.stop()
    await agent.start()
    await asyncio.gather(agent.stop(), agent.stop(), agent.stop())
    await agent.stop()
    assert (model.stops, len(ended)) == (1, 1)
    await agent.start()
    await agent.stop()
    assert (model.stops, len(ended)) == (2, 2)
    assert not left_behind()


@virtual_time
async def test_everyone_who_stops_waits_until_it_is_done():
    done: list[str] = []

    @tool
    async def careful() -> str:
        """Clean up slowly."""
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(5)
            done.append("cleaned")
        return ""

    class Late(FakeModel):
        async def stop(self) -> None:
            done.append("model")
            await super().stop()

    model = Late()
    agent = BidiAgent(model, tools=[careful])
    await agent.start()
    model.emit(use("careful"))
    await asyncio.sleep(0.1)
    first = asyncio.create_task(agent.stop())
    await asyncio.sleep(1)
    await agent.stop()
    assert done == ["cleaned", "model"]
    assert first.done()


@virtual_time
async def test_a_stop_that_is_cancelled_goes_on_by_itself():
    ended: list[Any] = []

    @tool
    async def careful() -> str:
        """Clean up slowly."""
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(5)
        return ""

    model = FakeModel()
    agent = BidiAgent(model, tools=[careful], hooks=[On(BidiAfterInvocationEvent, ended.append)])
    await agent.start()
    model.emit(use("careful"))
    await asyncio.sleep(0.1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(agent.stop(), 1)
    with pytest.raises(AgentStateError, match="start"):
        await agent.start()
    await agent.stop()
    assert len(ended) == 1
    await agent.start()
    await agent.stop()
    assert not left_behind()


@virtual_time
async def test_stop_while_it_is_starting():
    model = FakeModel()
    model.gate = asyncio.Event()
    agent = BidiAgent(model)
    starting = asyncio.create_task(agent.start())
    await asyncio.sleep(1)
    await agent.stop()
    with pytest.raises(AgentStateError, match="stopped before"):
        await starting
    assert model.connections == []
    model.gate = None
    await agent.start()
    await agent.stop()
    assert not left_behind()


@virtual_time
async def test_a_start_that_is_cancelled_leaves_nothing():
    seen: list[str] = []
    model = FakeModel()
    model.gate = asyncio.Event()
    agent = BidiAgent(
        model,
        hooks=[
            On(BidiBeforeInvocationEvent, lambda _: seen.append("before")),
            On(BidiAfterInvocationEvent, lambda _: seen.append("after")),
        ],
    )
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(agent.start(), 1)
    assert seen == ["before", "after"]
    assert not left_behind()


@virtual_time
async def test_a_tool_may_stop_the_agent():
    @tool
    async def hang_up(invocation_state: dict[str, Any]) -> str:
        """Hang up."""
        await invocation_state["agent"].stop()
        return "bye"

    model = FakeModel()
    agent = BidiAgent(model, tools=[hang_up])
    await agent.start()
    model.emit(use("hang_up"))
    events = [event async for event in agent.receive()]
    assert events[-1]["type"] == "tool_use_stream"
    await asyncio.sleep(1)
    assert not left_behind()
    assert not model.connected


@virtual_time
async def test_tools_that_stop_the_agent_while_it_stops_do_not_hang():
    @tool
    async def clingy(invocation_state: dict[str, Any]) -> str:
        """Stop at the end."""
        try:
            await asyncio.sleep(1000)
        finally:
            await invocation_state["agent"].stop()
        return ""

    model = FakeModel()
    agent = BidiAgent(model, tools=[clingy])
    await agent.start()
    model.emit(use("clingy"))
    await asyncio.sleep(0.1)
    await asyncio.wait_for(agent.stop(), 10)
    assert not left_behind()


@pytest.mark.parametrize("event", [BidiMessageAddedEvent, BidiAfterInvocationEvent])
@virtual_time
async def test_an_async_hook_may_stop_the_agent(event: type):
    async def stop(fired: Any) -> None:
        await asyncio.sleep(0)
        await fired.agent.stop()

    model = FakeModel()
    agent = BidiAgent(model, hooks=[On(event, stop)])
    await agent.start()
    await agent.send("hello")
    await asyncio.sleep(1)
    await asyncio.wait_for(agent.stop(), 10)
    assert not left_behind()
    assert not model.connected


@virtual_time
async def test_stop_frees_those_who_wait_to_send_and_to_receive():
    model = FakeModel()
    agent = BidiAgent(model)
    await agent.start()
    reading = asyncio.create_task(_read(agent))
    await asyncio.sleep(0.1)
    await agent.stop()
    assert [event["type"] for event in await reading] == ["bidi_connection_start"]
    with pytest.raises(AgentStateError, match="not started"):
        await agent.send("x")


@virtual_time
async def test_after_the_models_stream_has_ended_sending_says_so():
    model = FakeModel()
    async with BidiAgent(model) as agent:
        model.emit(None)
        events = await _read(agent)
        assert events[-1] == {"type": "bidi_connection_close", "connection_id": "fake-1", "reason": "complete"}
        with pytest.raises(AgentStateError, match="has ended"):
            await agent.send("x")


@virtual_time
async def test_the_close_event_comes_after_slow_hooks_and_the_stream_ends_with_it():
    async def slow(_: Any) -> None:
        await asyncio.sleep(3)

    model = FakeModel()
    async with BidiAgent(model, hooks=[On(BidiMessageAddedEvent, slow)]) as agent:
        await agent.send("x")
        model.emit(None)
        assert (await _read(agent))[-1]["type"] == "bidi_connection_close"


@virtual_time
async def test_a_second_consumer_is_refused_also_while_the_first_is_busy():
    model = FakeModel()
    async with BidiAgent(model) as agent:
        first = agent.receive()
        await anext(first)
        with pytest.raises(AgentStateError, match="reader already"):
            await anext(agent.receive())
        await first.aclose()
        model.emit(BidiResponseStartEvent("r1"))
        assert (await anext(agent.receive()))["type"] == "bidi_response_start"


@virtual_time
async def test_a_consumer_that_breaks_off_makes_room_for_the_next():
    model = FakeModel()
    async with BidiAgent(model) as agent:
        async for _ in agent.receive():
            break
        model.emit(BidiResponseStartEvent("r1"))
        async for event in agent.receive():
            assert event["type"] == "bidi_response_start"
            break


@virtual_time
async def test_stop_conversation_records_its_pair_and_is_not_answered():
    @tool
    def stop_conversation(reason: str = "") -> str:
        """Hang up."""
        return "Ending."

    model = FakeModel()
    async with BidiAgent(model, tools=[stop_conversation]) as agent:
        model.emit(use("stop_conversation"))
        events = await _read(agent)
        await asyncio.sleep(1)
        assert model.sent == []
    kinds = [event.get("type", "message") for event in events]
    assert kinds == ["bidi_connection_start", "tool_use_stream", "tool_result", "message", "bidi_connection_close"]
    assert events[-1]["reason"] == "user_request"
    assert [list(message["content"][0]) for message in agent.messages] == [["toolUse"], ["toolResult"]]


@virtual_time
async def test_a_refused_stop_conversation_ends_nothing():
    @tool
    def stop_conversation() -> str:
        """Hang up."""
        return "Ending."

    def refuse(event: BidiBeforeToolCallEvent) -> None:
        event.cancel_tool = "not yet"

    model = FakeModel()
    async with BidiAgent(model, tools=[stop_conversation], hooks=[On(BidiBeforeToolCallEvent, refuse)]):
        model.emit(use("stop_conversation"))
        await asyncio.sleep(1)
        assert model.sent[0]["tool_result"]["status"] == "error"


@virtual_time
async def test_sends_from_another_loop_arrive():
    model = FakeModel()
    async with BidiAgent(model) as agent:

        def other() -> None:
            asyncio.run(agent.send("from afar"))

        thread = threading.Thread(target=other)
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.01)
        assert model.sent[0]["text"] == "from afar"


@virtual_time
async def test_run_attaches_errors_that_come_together():
    model = FakeModel()

    async def one() -> str:
        await asyncio.sleep(1)
        raise KeyError("microphone")

    async def two() -> str:
        await asyncio.sleep(1)
        raise OSError("keyboard")

    async def out(event: Any) -> None:
        pass

    with pytest.raises((KeyError, OSError)) as caught:
        await BidiAgent(model).run(inputs=[one, two], outputs=[out])
    together = f"{caught.value!r} {caught.value.__notes__}"
    assert "microphone" in together
    assert "keyboard" in together
    assert not left_behind()


@virtual_time
async def test_run_ends_in_peace_when_the_model_hangs_up_while_inputs_send():
    model = FakeModel()

    async def microphone() -> str:
        await asyncio.sleep(0.02)
        return "x"

    async def slow(event: Any) -> None:
        await asyncio.sleep(1)

    async def hang_up() -> str:
        await asyncio.sleep(2)
        model.emit(BidiAudioStreamEvent.from_data(bytes(320), 16000), None)
        raise StopAsyncIteration

    await BidiAgent(model).run(inputs=[microphone, hang_up], outputs=[slow])
    assert not left_behind()
    assert not model.connected


@virtual_time
async def test_run_without_inputs_or_outputs_lasts_until_the_model_ends():
    model = FakeModel()
    agent = BidiAgent(model)
    running = asyncio.create_task(agent.run(inputs=[], outputs=[]))
    await asyncio.sleep(1)
    model.emit(None)
    await running


@virtual_time
async def test_after_run_a_player_is_no_longer_expected():
    from backchannel.io import VirtualSpeaker

    model = FakeModel()
    agent = BidiAgent(model)
    running = asyncio.create_task(agent.run(inputs=[], outputs=[VirtualSpeaker()]))
    await asyncio.sleep(1)
    assert agent.expects_played
    model.emit(None)
    await running
    assert not agent.expects_played


@virtual_time
async def test_cancelling_run_at_any_moment_leaves_nothing():
    for moment in range(12):
        model = FakeModel()
        agent = BidiAgent(model)
        running = asyncio.create_task(agent.run(inputs=[], outputs=[]))
        for _ in range(moment):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not left_behind(), moment
        assert not model.connected


async def _read(agent: BidiAgent) -> list[Any]:
    return [event async for event in agent.receive()]
