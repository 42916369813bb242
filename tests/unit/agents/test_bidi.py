"""BidiAgent with scripted models and fakes, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from backchannel import BidiAgent, tool
from backchannel.errors import AgentStateError, BidiModelTimeoutError, InvalidInputError
from backchannel.events import (
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiConnectionCloseEvent,
    BidiInterruptionEvent,
    BidiTextInputEvent,
    TypedEvent,
)
from backchannel.hooks import (
    BidiAfterConnectionRestartEvent,
    BidiAfterInvocationEvent,
    BidiAfterToolCallEvent,
    BidiAgentInitializedEvent,
    BidiBeforeConnectionRestartEvent,
    BidiBeforeInvocationEvent,
    BidiBeforeToolCallEvent,
    BidiMessageAddedEvent,
    HookRegistry,
)
from backchannel.hooks import BidiInterruptionEvent as InterruptionHook
from backchannel.messages import validate_messages
from backchannel.models.realtime import ModelProfile
from backchannel.models.scripted import ScriptedModel, call, expect_result, expect_text, fail, hear, interrupt, say
from backchannel.tools import SequentialToolExecutor
from tests.support.virtual_time import virtual_time


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def read_until(agent: BidiAgent, kind: str, count: int = 1) -> list[TypedEvent]:
    """Read the agent's events up to and including the ``count``-th of this type."""
    events: list[TypedEvent] = []
    async for event in agent.receive():
        events.append(event)
        if event.get("type") == kind:
            count -= 1
            if not count:
                break
    return events


def types(events: list[TypedEvent]) -> list[str]:
    return [event.get("type", "message" if "message" in event else "other") for event in events]


class Recorder:
    """A hook provider that keeps every event of the given classes."""

    def __init__(self, *kinds: type) -> None:
        self.kinds = kinds
        self.events: list[Any] = []

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
        for kind in self.kinds:
            registry.add_callback(kind, self.events.append)


@virtual_time
async def test_text_in_voice_out():
    model = ScriptedModel(expect_text("hello"), say("Hi."))
    async with BidiAgent(model) as agent:
        await agent.send("hello")
        events = await read_until(agent, "bidi_response_complete")
    assert types(events)[:3] == ["bidi_connection_start", "bidi_response_start", "bidi_transcript_stream"]
    assert sum(event.samples for event in events if isinstance(event, BidiAudioStreamEvent)) == 6400
    assert agent.messages == [
        {"role": "user", "content": [{"text": "hello"}]},
        {"role": "assistant", "content": [{"text": "Hi."}]},
    ]
    model.check()


@virtual_time
async def test_every_event_is_json():
    model = ScriptedModel(hear("add"), call("add", {"a": 1, "b": 2}), expect_result("3"), say("Three."))
    async with BidiAgent(model, tools=[add]) as agent:
        for event in await read_until(agent, "bidi_response_complete"):
            json.dumps(event)


@virtual_time
async def test_a_tool_call_goes_all_the_way_in_the_order_of_the_seed():
    model = ScriptedModel(
        expect_text("add"), call("add", {"a": 1, "b": 2}), expect_result("3", tool_use_id="call-1"), say("Three.")
    )
    async with BidiAgent(model, tools=[add]) as agent:
        await agent.send("add")
        events = await read_until(agent, "bidi_response_complete")
    order = [kind for kind in types(events) if kind in ("tool_use_stream", "tool_result", "message")]
    assert order == ["tool_use_stream", "tool_result", "message"]
    assert validate_messages(agent.messages) == []
    model.check()


@virtual_time
async def test_an_unknown_tool_is_an_error_result_for_the_model():
    model = ScriptedModel(call("nope"), expect_result("Unknown tool: nope", status="error"), say("Sorry."))
    async with BidiAgent(model, tools=[add]) as agent:
        await read_until(agent, "bidi_response_complete")
    model.check()


@virtual_time
async def test_wrong_arguments_are_told_to_the_model_and_the_tool_does_not_run():
    ran = []

    @tool
    def strict(count: int) -> str:
        """Count."""
        ran.append(count)
        return "ok"

    model = ScriptedModel(call("strict", {"count": "many"}), expect_result("count", status="error"), say("Sorry."))
    async with BidiAgent(model, tools=[strict]) as agent:
        await read_until(agent, "bidi_response_complete")
    assert ran == []


@virtual_time
async def test_an_interruption_overtakes_queued_audio_and_leaves_what_was_heard():
    model = ScriptedModel(say("One. Two. Three.", seconds=3.0), interrupt())
    recorder = Recorder(InterruptionHook)
    async with BidiAgent(model, hooks=[recorder]) as agent:
        events = await read_until(agent, "bidi_interruption")
        assert isinstance(events[-1], BidiInterruptionEvent)
    assert recorder.events[0].interrupted_response_id == "response-1"
    heard = sum(event.samples for event in events if isinstance(event, BidiAudioStreamEvent))
    assert model.truncated in ([], [("response-1", heard)])


@virtual_time
async def test_speech_of_the_user_interrupts_a_model_that_leaves_it_to_the_agent():
    model = ScriptedModel(
        say("One. Two.", seconds=2.0, complete=False),
        expect_text("go on"),
        hear("stop"),
        profile=ModelProfile(interruption="agent", tools="live"),
    )
    async with BidiAgent(model) as agent:
        agent.expect_played()
        await read_until(agent, "bidi_audio_stream", 50)
        agent.played("response-1", 16000)
        await model.send(BidiTextInputEvent("go on"))
        events = await read_until(agent, "bidi_transcript_stream")
        await asyncio.sleep(1)
    assert "bidi_interruption" in types(events)
    assert model.cancelled == ["response-1"]
    assert model.truncated == [("response-1", 16000)]
    assert agent.messages == [
        {"role": "assistant", "content": [{"text": "One."}]},
        {"role": "user", "content": [{"text": "stop"}]},
    ]


@virtual_time
async def test_hooks_see_the_life_of_a_conversation():
    recorder = Recorder(
        BidiAgentInitializedEvent, BidiBeforeInvocationEvent, BidiMessageAddedEvent, BidiAfterInvocationEvent
    )
    agent = BidiAgent(ScriptedModel(expect_text("x"), say("Y.")), hooks=[recorder])
    async with agent:
        await agent.send("x")
        await read_until(agent, "bidi_response_complete")
    assert [type(event).__name__ for event in recorder.events] == [
        "BidiAgentInitializedEvent",
        "BidiBeforeInvocationEvent",
        "BidiMessageAddedEvent",
        "BidiMessageAddedEvent",
        "BidiAfterInvocationEvent",
    ]


@virtual_time
async def test_an_async_message_hook_has_run_before_the_event_is_seen():
    seen: list[str] = []

    class Slow:
        def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
            registry.add_callback(BidiMessageAddedEvent, self.note)

        async def note(self, event: BidiMessageAddedEvent) -> None:
            await asyncio.sleep(1)
            seen.append(event.message["content"][0]["text"])

    async with BidiAgent(ScriptedModel(say("Hi.")), hooks=[Slow()]) as agent:
        async for event in agent.receive():
            if event.get("is_final"):
                assert seen == ["Hi."]
                break


@virtual_time
async def test_a_hook_can_cancel_replace_and_edit():
    class Editor:
        def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
            registry.add_callback(BidiBeforeToolCallEvent, self.before)
            registry.add_callback(BidiAfterToolCallEvent, self.after)

        def before(self, event: BidiBeforeToolCallEvent) -> None:
            if event.tool_use["input"].get("a") == 0:
                event.cancel_tool = "not with zero"
            elif event.tool_use["name"] == "plus":
                event.selected_tool = add

        def after(self, event: BidiAfterToolCallEvent) -> None:
            if event.cancel_message is None:
                event.result = {**event.result, "content": [{"text": "edited"}]}

    model = ScriptedModel(
        call("add", {"a": 0, "b": 1}, "c1"),
        expect_result("not with zero", status="error", tool_use_id="c1"),
        call("plus", {"a": 1, "b": 1}, "c2"),
        expect_result("edited", status="success", tool_use_id="c2"),
        say("Done."),
    )
    async with BidiAgent(model, tools=[add], hooks=[Editor()]) as agent:
        events = await read_until(agent, "bidi_response_complete")
    assert any("tool_cancel_event" in event for event in events)
    model.check()


@virtual_time
async def test_a_raising_hook_surfaces_from_receive_and_names_itself():
    class Broken:
        def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
            registry.add_callback(BidiMessageAddedEvent, self.raises)

        def raises(self, event: BidiMessageAddedEvent) -> None:
            raise KeyError("oops")

    async with BidiAgent(ScriptedModel(say("Hi.")), hooks=[Broken()]) as agent:
        with pytest.raises(KeyError) as caught:
            await read_until(agent, "never")
    assert "Broken.raises" in "".join(caught.value.__notes__)


@virtual_time
async def test_an_async_callback_for_initialized_is_refused_in_words():
    class Asynchronous:
        def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
            registry.add_callback(BidiAgentInitializedEvent, self.run)

        async def run(self, event: BidiAgentInitializedEvent) -> None: ...

    with pytest.raises(RuntimeError, match="is async"):
        BidiAgent(ScriptedModel(), hooks=[Asynchronous()])


@virtual_time
async def test_nothing_works_before_start_and_start_works_once():
    agent = BidiAgent(ScriptedModel())
    with pytest.raises(RuntimeError, match="not started"):
        await agent.send("x")
    with pytest.raises(RuntimeError, match="not started"):
        await anext(agent.receive())
    await agent.stop()
    await agent.start()
    with pytest.raises(RuntimeError, match="started already"):
        await agent.start()
    await agent.stop()
    await agent.stop()
    await agent.start()
    await agent.stop()


@virtual_time
async def test_a_failed_start_lets_go_of_the_model_and_fires_the_after_hook():
    class Refuses(ScriptedModel):
        async def start(self, *args: Any, **kwargs: Any) -> None:
            await super().start(*args, **kwargs)
            raise ConnectionError("no route")

    recorder = Recorder(BidiBeforeInvocationEvent, BidiAfterInvocationEvent)
    model = Refuses()
    agent = BidiAgent(model, hooks=[recorder])
    with pytest.raises(ConnectionError):
        await agent.start()
    assert len(recorder.events) == 2
    with pytest.raises(Exception, match="not connected"):
        await model.send(BidiTextInputEvent("x"))


@virtual_time
async def test_stop_ends_a_waiting_reader():
    agent = BidiAgent(ScriptedModel())
    await agent.start()
    reading = asyncio.ensure_future(read_until(agent, "never"))
    await asyncio.sleep(1)
    await agent.stop()
    assert types(await reading) == ["bidi_connection_start"]


@virtual_time
async def test_stop_waits_for_tools_to_clean_up():
    order: list[str] = []

    @tool
    async def slow() -> str:
        """Wait."""
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            order.append("tool cleaned up")
        return "never"

    class Model(ScriptedModel):
        async def stop(self) -> None:
            order.append("model stopped")
            await super().stop()

    agent = BidiAgent(Model(call("slow")), tools=[slow])
    await agent.start()
    await read_until(agent, "tool_use_stream")
    await asyncio.sleep(1)
    await agent.stop()
    assert order == ["tool cleaned up", "model stopped"]


@virtual_time
async def test_a_second_reader_is_refused_in_words():
    async with BidiAgent(ScriptedModel()) as agent:
        reading = asyncio.ensure_future(read_until(agent, "never"))
        await asyncio.sleep(1)
        with pytest.raises(AgentStateError, match="has a reader"):
            await anext(agent.receive())
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (5, InvalidInputError),
        ({"type": "bidirectional_text_input", "text": "x"}, InvalidInputError),
        ({"text": "x"}, InvalidInputError),
        ({"type": "bidi_text_input", "text": "x", "more": 1}, TypeError),
        ({"type": "bidi_text_input", "text": 5}, TypeError),
        (
            {"type": "bidi_audio_input", "audio": "%%%", "format": "pcm", "sample_rate": 16000, "channels": 1},
            InvalidInputError,
        ),
        (
            {"type": "bidi_audio_input", "audio": "AAA=", "format": "pcm", "sample_rate": 12345, "channels": 1},
            InvalidInputError,
        ),
        (
            {"type": "bidi_audio_input", "audio": "AA==", "format": "pcm", "sample_rate": 16000, "channels": 1},
            InvalidInputError,
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_sent(value, error):
    async def main() -> None:
        model = ScriptedModel()
        async with BidiAgent(model) as agent:
            with pytest.raises(error):
                await agent.send(value)
            assert model.sent == []
            assert agent.messages == []

    asyncio.run(main())


@virtual_time
async def test_input_as_dict_event_and_text():
    model = ScriptedModel(expect_text("a"), expect_text("b"), expect_text("c"))
    async with BidiAgent(model) as agent:
        await agent.send("a")
        await agent.send(BidiTextInputEvent("b"))
        await agent.send({"type": "bidi_text_input", "text": "c", "role": "user"})
        await agent.send(BidiAudioInputEvent.from_data(b"\0\0", 16000))
    assert len(model.sent) == 4
    model.check()


@virtual_time
async def test_a_time_limit_restarts_the_connection_and_goes_on():
    recorder = Recorder(BidiBeforeConnectionRestartEvent, BidiAfterConnectionRestartEvent)
    model = ScriptedModel(
        expect_text("one"),
        say("First."),
        fail(BidiModelTimeoutError("8 minutes", handle="h1")),
        expect_text("two"),
        say("Second."),
    )
    async with BidiAgent(model, system_prompt="Be brief.", hooks=[recorder]) as agent:
        await agent.send("one")
        events = await read_until(agent, "bidi_connection_start", 2)
        json.dumps(events)
        await agent.send("two")
        await read_until(agent, "bidi_response_complete")
    assert [type(event).__name__ for event in recorder.events] == [
        "BidiBeforeConnectionRestartEvent",
        "BidiAfterConnectionRestartEvent",
    ]
    assert recorder.events[1].exception is None
    assert model.starts[1]["handle"] == "h1"
    assert [message["content"][0]["text"] for message in model.starts[1]["messages"]] == ["one", "First."]


@virtual_time
async def test_a_model_error_comes_out_of_receive():
    async with BidiAgent(ScriptedModel(fail(ConnectionError("gone")))) as agent:
        with pytest.raises(ConnectionError, match="gone"):
            await read_until(agent, "never")


@virtual_time
async def test_the_end_of_the_models_stream_ends_receive_with_a_close_event():
    class Ends:
        config: dict[str, Any] = {"audio": {"input_rate": 16000, "output_rate": 24000}}

        async def start(self, system_prompt=None, tools=None, messages=None, **kwargs): ...
        async def stop(self): ...
        async def send(self, content): ...
        async def receive(self) -> AsyncIterator[TypedEvent]:
            yield TypedEvent(type="bidi_connection_start", connection_id="c", model="m")

    async with BidiAgent(Ends()) as agent:
        assert agent.profile.output_rate == 24000
        events = await read_until(agent, "never")
    assert isinstance(events[-1], BidiConnectionCloseEvent)
    assert events[-1]["reason"] == "complete"


@virtual_time
async def test_stop_conversation_closes_and_says_so():
    async with BidiAgent(ScriptedModel(call("stop_conversation"))) as agent:
        events = await read_until(agent, "never")
    assert events[-1]["type"] == "bidi_connection_close"
    assert events[-1]["reason"] == "user_request"


@virtual_time
async def test_a_sequential_executor_runs_one_tool_after_the_other():
    running: list[str] = []
    most = 0

    @tool
    async def step(name: str) -> str:
        """Do a step."""
        nonlocal most
        running.append(name)
        most = max(most, len(running))
        await asyncio.sleep(1)
        running.remove(name)
        return name

    calls = [call("step", {"name": str(n)}, f"c{n}") for n in range(5)]
    results = [expect_result(str(n), tool_use_id=f"c{n}") for n in range(5)]
    model = ScriptedModel(calls, results, say("Done."))
    async with BidiAgent(model, tools=[step], tool_executor=SequentialToolExecutor()) as agent:
        await read_until(agent, "bidi_response_complete")
    assert most == 1
    model.check()


@virtual_time
async def test_run_carries_inputs_to_outputs_and_stops_everything():
    log: list[str] = []

    class Input:
        def __init__(self) -> None:
            self.texts = ["x"]

        async def start(self, agent: BidiAgent) -> None:
            log.append("input start")

        async def stop(self) -> None:
            log.append("input stop")

        async def __call__(self) -> str:
            if not self.texts:
                raise StopAsyncIteration
            return self.texts.pop()

    class Output:
        async def start(self, agent: BidiAgent) -> None:
            log.append("output start")
            self.agent = agent

        async def stop(self) -> None:
            log.append("output stop")

        async def __call__(self, event: TypedEvent) -> None:
            if event.get("type") == "bidi_response_complete":
                log.append("answered")

    model = ScriptedModel(expect_text("x"), say("Y."), call("stop_conversation"))
    await BidiAgent(model).run(inputs=[Input()], outputs=[Output()])
    assert log == ["input start", "output start", "answered", "input stop", "output stop"]


@virtual_time
async def test_run_raises_the_first_error_as_itself_and_notes_the_others():
    class Broken:
        async def start(self, agent: BidiAgent) -> None: ...
        async def stop(self) -> None:
            raise OSError("stop failed")

        async def __call__(self) -> str:
            raise ValueError("input broke")

    agent = BidiAgent(ScriptedModel())
    with pytest.raises(ValueError, match="input broke") as caught:
        await agent.run(inputs=[Broken()], outputs=[])
    assert any("stop failed" in note for note in caught.value.__notes__)
    with pytest.raises(RuntimeError, match="not started"):
        await agent.send("x")


@virtual_time
async def test_run_takes_plain_functions():
    seen: list[TypedEvent] = []
    sent = iter(["x"])

    async def source() -> str:
        for text in sent:
            return text
        raise StopAsyncIteration

    async def sink(event: TypedEvent) -> None:
        seen.append(event)

    model = ScriptedModel(expect_text("x"), say("Y."), call("stop_conversation"))
    await BidiAgent(model).run(inputs=[source], outputs=[sink])
    assert types(seen)[-1] == "bidi_connection_close"


@virtual_time
async def test_stopping_the_agent_ends_run_without_an_error_though_inputs_still_send():
    class SlowToStop(ScriptedModel):
        async def stop(self) -> None:
            await asyncio.sleep(1)
            await super().stop()

    async def microphone() -> BidiAudioInputEvent:
        await asyncio.sleep(0.02)
        return BidiAudioInputEvent.from_data(b"\0\0", 16000)

    agent = BidiAgent(SlowToStop())
    running = asyncio.ensure_future(agent.run(inputs=[microphone], outputs=[]))
    await asyncio.sleep(1)
    await agent.stop()
    await running


@virtual_time
async def test_cancelling_run_leaves_nothing_running():
    running = asyncio.ensure_future(BidiAgent(ScriptedModel()).run(inputs=[], outputs=[]))
    await asyncio.sleep(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_direct_tool_call_runs_and_is_recorded_as_four_messages():
    agent = BidiAgent(ScriptedModel(), tools=[add])
    result = agent.tool.add(a=1, b=2)
    assert result["status"] == "success"
    assert result["content"] == [{"text": "3"}]
    assert len(agent.messages) == 4
    assert validate_messages(agent.messages) == []
    silent = BidiAgent(ScriptedModel(), tools=[add], record_direct_tool_call=False)
    silent.tool.add(a=1, b=2)
    assert silent.messages == []


async def test_a_direct_tool_call_works_on_a_running_loop():
    agent = BidiAgent(ScriptedModel(), tools=[add])
    assert agent.tool.add(a=2, b=2)["content"] == [{"text": "4"}]


def test_an_unknown_direct_tool_is_named_with_those_that_exist():
    with pytest.raises(AttributeError, match=r"no tool 'nope'; it has: add"):
        BidiAgent(ScriptedModel(), tools=[add]).tool.nope()


def test_messages_are_kept_by_identity_also_when_empty():
    messages: list[Any] = []
    assert BidiAgent(ScriptedModel(), messages=messages).messages is messages


def test_unknown_keywords_are_named():
    with pytest.warns(UserWarning, match="interventions"):
        BidiAgent(ScriptedModel(), interventions=[1])


def test_state_is_copied_json_and_anything_else_is_refused():
    agent = BidiAgent(ScriptedModel(), state={"a": [1]})
    agent.state.get("a").append(2)
    assert agent.state.get("a") == [1]
    with pytest.raises(ValueError, match="state must be"):
        BidiAgent(ScriptedModel(), state=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot be JSON"):
        agent.state.set("b", object())


def test_what_is_not_a_model_is_refused_in_words():
    with pytest.raises(TypeError, match="int is not a model"):
        BidiAgent(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'nova' is not known"):
        BidiAgent("nova")
    with pytest.raises(ValueError, match="path separator"):
        BidiAgent(ScriptedModel(), agent_id="a/b")
