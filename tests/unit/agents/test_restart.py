"""A connection that comes to its limit is made anew, and nobody notices more than a pause."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from backchannel import BidiAgent, tool
from backchannel.errors import AgentStateError, BidiModelTimeoutError
from backchannel.events import (
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTranscriptStreamEvent,
    LateResultEvent,
    ToolUseStreamEvent,
    TypedEvent,
)
from backchannel.hooks import BidiAfterConnectionRestartEvent, BidiBeforeConnectionRestartEvent, HookRegistry
from backchannel.messages import validate_messages
from backchannel.models.realtime import ModelProfile
from tests.support.fake_model import FakeModel
from tests.support.virtual_time import virtual_time

LIMIT = BidiModelTimeoutError("8 minutes are over", handle="h1")


class Hooks:
    def __init__(self, before: Exception | None = None, after: Exception | None = None) -> None:
        self.seen: list[Any] = []
        self._before, self._after = before, after

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
        registry.add_callback(BidiBeforeConnectionRestartEvent, self.before)
        registry.add_callback(BidiAfterConnectionRestartEvent, self.after)

    async def before(self, event: BidiBeforeConnectionRestartEvent) -> None:
        self.seen.append(("before", event.timeout_error))
        if self._before is not None:
            raise self._before

    def after(self, event: BidiAfterConnectionRestartEvent) -> None:
        self.seen.append(("after", event.exception))
        if self._after is not None:
            raise self._after


class Reader:
    """Reads an agent to its end in the background."""

    def __init__(self, agent: BidiAgent) -> None:
        self.events: list[TypedEvent] = []
        self.error: BaseException | None = None
        self.task = asyncio.create_task(self._read(agent))

    async def _read(self, agent: BidiAgent) -> None:
        try:
            async for event in agent.receive():
                self.events.append(event)
        except Exception as error:
            self.error = error

    def of(self, kind: str) -> list[TypedEvent]:
        return [event for event in self.events if event.get("type") == kind]


def response(number: int, text: str = "Hello.") -> list[TypedEvent]:
    name = f"r{number}"
    return [
        BidiResponseStartEvent(name),
        BidiAudioStreamEvent.from_data(b"\1\0" * 1600, 16000, name),
        BidiTranscriptStreamEvent({"text": text}, text, "assistant", is_final=True),
        BidiResponseCompleteEvent(name, "complete"),
    ]


def use(tool_name: str, call_id: str, **arguments: Any) -> ToolUseStreamEvent:
    return ToolUseStreamEvent({}, {"toolUseId": call_id, "name": tool_name, "input": arguments})


def voice(seconds: float = 0.02) -> BidiAudioInputEvent:
    return BidiAudioInputEvent.from_data(bytes(2 * int(16000 * seconds)), 16000)


@virtual_time
async def test_the_restart_does_not_wait_for_the_consumer():
    model, hooks = FakeModel(), Hooks()
    async with BidiAgent(model, hooks=[hooks]) as agent:
        await agent.send("hello")
        model.emit(LIMIT)
        await asyncio.sleep(0.1)
        await agent.send("are you there")
        assert [event["text"] for event in model.sent] == ["are you there"]
    assert [kind for kind, _ in hooks.seen] == ["before", "after"]
    assert hooks.seen[1][1] is None


@virtual_time
async def test_history_and_the_models_own_configuration_are_replayed():
    model = FakeModel()
    async with BidiAgent(model, system_prompt="Be brief.") as agent:
        await agent.send("hello")
        model.emit(*response(1), LIMIT)
        await asyncio.sleep(0.1)
        assert model.connections[1]["messages"] == agent.messages
        assert model.connections[1]["prompt"] == "Be brief."
        assert model.connections[1]["handle"] == "h1"
        assert len(agent.messages) == 2


@virtual_time
async def test_the_event_is_json_and_says_whether_a_turn_was_cut_off():
    model = FakeModel()
    async with BidiAgent(model) as agent:
        reader = Reader(agent)
        await agent.send("hello")
        model.emit(response(1)[0], response(1)[1], LIMIT)
        await asyncio.sleep(3)
        model.emit(*response(2), None)
        await reader.task
    (restart,) = reader.of("bidi_connection_restart")
    assert json.loads(json.dumps(restart))["turn_interrupted"] is True
    assert restart.timeout_error is LIMIT
    assert len(reader.of("bidi_connection_start")) == 2


@virtual_time
async def test_between_turns_nothing_was_cut_off():
    model = FakeModel()
    async with BidiAgent(model) as agent:
        reader = Reader(agent)
        await agent.send("hello")
        model.emit(*response(1))
        await asyncio.sleep(5)
        model.emit(LIMIT)
        await asyncio.sleep(1)
    assert reader.of("bidi_connection_restart")[0]["turn_interrupted"] is False


@virtual_time
async def test_the_users_voice_of_the_gap_is_replayed_the_last_three_seconds_of_it():
    model = FakeModel()
    async with BidiAgent(model) as agent:
        reader = Reader(agent)
        model.emit(LIMIT)
        model.gate = asyncio.Event()
        await asyncio.sleep(0.1)
        for _ in range(200):
            await agent.send(voice())
        text = asyncio.create_task(agent.send("typed"))
        await asyncio.sleep(0.1)
        model.gate.set()
        await text
        kinds = [event["type"] for event in model.sent]
        assert kinds == ["bidi_audio_input"] * 150 + ["bidi_text_input"]
        await asyncio.sleep(0.1)
    (error,) = reader.of("bidi_error")
    assert error["details"]["dropped_s"] == pytest.approx(1.0)


@virtual_time
async def test_a_failed_restart_is_tried_again_and_then_goes_on():
    model, hooks = FakeModel(), Hooks()
    async with BidiAgent(model, hooks=[hooks]) as agent:
        reader = Reader(agent)
        model.failures = [OSError("no route"), OSError("no route")]
        model.emit(LIMIT)
        await asyncio.sleep(5)
        await agent.send("hello")
        assert [event["text"] for event in model.sent] == ["hello"]
        assert reader.error is None
    assert [entry[1] for entry in hooks.seen] == [LIMIT, None]


@virtual_time
async def test_a_restart_that_never_works_is_raised_from_receive_and_frees_senders():
    model, hooks = FakeModel(), Hooks()
    agent = BidiAgent(model, hooks=[hooks])
    await agent.start()
    reader = Reader(agent)
    model.failures = [OSError(f"try {number}") for number in range(20)]
    model.emit(LIMIT)
    await asyncio.sleep(0.1)
    sender = asyncio.create_task(agent.send("hello"))
    await reader.task
    assert isinstance(reader.error, OSError)
    assert "6 tries" in " ".join(reader.error.__notes__)
    assert isinstance(hooks.seen[-1][1], OSError)
    with pytest.raises(AgentStateError, match="conversation has ended"):
        await sender
    await agent.stop()
    assert agent.messages == []


@virtual_time
async def test_a_raising_before_hook_is_raised_from_receive_and_leaves_nobody_at_the_gate():
    model = FakeModel()
    agent = BidiAgent(model, hooks=[Hooks(before=KeyError("oops"))])
    await agent.start()
    reader = Reader(agent)
    model.emit(LIMIT)
    await reader.task
    assert isinstance(reader.error, KeyError)
    with pytest.raises(AgentStateError):
        await agent.send("hello")
    await agent.stop()
    assert model.connections[1:] == []


@virtual_time
async def test_a_raising_after_hook_is_raised_from_receive():
    model = FakeModel()
    async with BidiAgent(model, hooks=[Hooks(after=KeyError("oops"))]) as agent:
        reader = Reader(agent)
        model.emit(LIMIT)
        await reader.task
        assert isinstance(reader.error, KeyError)


@pytest.mark.parametrize("form", ["note", "call"])
@virtual_time
async def test_a_tool_that_runs_across_the_restart_answers_in_a_form_that_the_new_connection_takes(form: Any):
    go = asyncio.Event()

    @tool
    async def slow(topic: str) -> str:
        """Look it up."""
        await go.wait()
        return f"all about {topic}"

    model = FakeModel()
    model.profile = ModelProfile(open_calls=form)  # type: ignore[attr-defined]
    async with BidiAgent(model, tools=[slow]) as agent:
        model.emit(use("slow", "c1", topic="tides"), LIMIT)
        await asyncio.sleep(0.1)
        replayed = model.connections[1]["messages"]
        assert "slow" in json.dumps(replayed)
        assert agent.messages == []
        assert list(agent.open_calls) == ["c1"]
        go.set()
        await asyncio.sleep(0.1)
        (answer,) = model.sent
        if form == "call":
            assert answer["type"] == "tool_result"
            assert answer["tool_result"]["toolUseId"] == "c1"
        else:
            assert isinstance(answer, LateResultEvent)
            assert answer.tool_use["name"] == "slow"
        assert "all about tides" in json.dumps(answer)
        assert validate_messages(agent.messages) == []
        assert agent.open_calls == {}


@pytest.mark.parametrize("form", ["note", "call"])
@virtual_time
async def test_a_tool_that_ends_while_there_is_no_connection_answers_the_next_one(form: Any):
    go = asyncio.Event()

    @tool
    async def slow() -> str:
        """Wait."""
        await go.wait()
        return "done at last"

    model = FakeModel()
    model.profile = ModelProfile(open_calls=form)  # type: ignore[attr-defined]
    async with BidiAgent(model, tools=[slow]):
        model.failures = [OSError("down")]
        model.emit(use("slow", "c1"), LIMIT)
        await asyncio.sleep(0.1)
        go.set()
        await asyncio.sleep(2)
        assert "done at last" in json.dumps(model.connections[1]["messages"])
        assert validate_messages(model.connections[1]["messages"]) == []
        assert all(event["type"] == "bidi_text_input" for event in model.sent)


@virtual_time
async def test_late_events_of_the_old_connection_are_not_seen():
    class Chatty(FakeModel):
        async def receive(self) -> Any:
            try:
                async for event in super().receive():
                    yield event
            finally:
                self.log.append("receive ended")

    model = Chatty()
    model.profile = ModelProfile(session_limit_s=480)  # type: ignore[attr-defined]
    async with BidiAgent(model) as agent:
        reader = Reader(agent)
        await asyncio.sleep(1)
        old = model._events
        await asyncio.sleep(425)
        assert len(model.connections) == 2
        assert model.log.index("receive ended") < model.log.index("stop")
        for event in response(9):
            old.put_nowait(event)
        await asyncio.sleep(1)
        assert reader.of("bidi_response_start") == []


@virtual_time
async def test_a_connection_is_renewed_ahead_of_its_limit_between_turns():
    model = FakeModel()
    model.profile = ModelProfile(session_limit_s=480)  # type: ignore[attr-defined]
    async with BidiAgent(model) as agent:
        reader = Reader(agent)
        await asyncio.sleep(415)
        model.emit(response(1)[0], response(1)[1])
        await asyncio.sleep(10)
        assert len(model.connections) == 1
        model.emit(*response(1)[2:])
        await asyncio.sleep(5)
        assert len(model.connections) == 2
        await asyncio.sleep(430)
        assert len(model.connections) == 3
    assert all(not event["turn_interrupted"] for event in reader.of("bidi_connection_restart"))


@virtual_time
async def test_a_turn_without_end_is_cut_off_before_the_limit_does_it():
    model = FakeModel()
    model.profile = ModelProfile(session_limit_s=480)  # type: ignore[attr-defined]
    async with BidiAgent(model) as agent:
        reader = Reader(agent)
        model.emit(response(1)[0])
        for _ in range(470):
            model.emit(BidiAudioStreamEvent.from_data(b"\1\0" * 16000, 16000, "r1"))
            await asyncio.sleep(1)
        assert len(model.connections) == 2
    assert reader.of("bidi_connection_restart")[0]["turn_interrupted"] is True


class Overlapping(FakeModel):
    """Makes its next connection while it has one."""

    def __init__(self) -> None:
        super().__init__()
        self.profile = ModelProfile(session_limit_s=480, overlaps=True)
        self.making: asyncio.Event | None = None

    async def renew(self, system_prompt: Any = None, tools: Any = None, messages: Any = None, **kwargs: Any) -> None:
        if self.making is not None:
            await self.making.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.connected = False
        await self.start(system_prompt, tools, messages, **kwargs)


@virtual_time
async def test_where_the_provider_allows_it_the_old_connection_speaks_until_the_new_one_is_there():
    model = Overlapping()
    model.making = asyncio.Event()
    async with BidiAgent(model) as agent:
        reader = Reader(agent)
        await asyncio.sleep(421)
        model.emit(BidiTranscriptStreamEvent({"text": "one more"}, "one more", "assistant", is_final=True))
        await agent.send(voice())
        await agent.send("and this")
        assert len(model.sent) == 2
        model.making.set()
        await asyncio.sleep(0.1)
        assert len(model.connections) == 2
        assert [event["type"] for event in model.sent] == ["bidi_audio_input", "bidi_text_input"]
        assert "stop" not in model.log
        assert [message["content"][0]["text"] for message in agent.messages] == ["one more", "and this"]
        model.emit(*response(2))
        await asyncio.sleep(3)
        assert reader.of("bidi_response_complete")


@virtual_time
async def test_a_renewal_that_fails_leaves_the_old_connection_and_is_tried_again():
    model = Overlapping()
    async with BidiAgent(model) as agent:
        reader = Reader(agent)
        model.failures = [OSError("busy")]
        await asyncio.sleep(421)
        await agent.send("still here")
        assert [event["text"] for event in model.connections[0]["sent"]] == ["still here"]
        model.emit(*response(1))
        await asyncio.sleep(20)
        assert len(model.connections) == 2
        assert reader.error is None


@virtual_time
async def test_a_models_own_class_of_the_same_name_counts_as_the_limit():
    class Foreign(Exception):
        pass

    Foreign.__name__ = "BidiModelTimeoutError"
    error = Foreign("limit")
    error.restart_config = {"handle": "h2"}  # type: ignore[attr-defined]
    model = FakeModel()
    async with BidiAgent(model):
        model.emit(error)
        await asyncio.sleep(0.1)
        assert model.connections[1]["handle"] == "h2"


@virtual_time
async def test_a_limit_met_by_a_send_restarts_and_the_text_arrives():
    class Closed(FakeModel):
        async def send(self, content: Any) -> None:
            if len(self.connections) == 1:
                raise BidiModelTimeoutError("closed")
            await super().send(content)

    model = Closed()
    async with BidiAgent(model) as agent:
        await agent.send("hello")
        assert [event["text"] for event in model.sent] == ["hello"]
        assert len(agent.messages) == 1


@pytest.mark.parametrize("what", ["text", "result"])
@virtual_time
async def test_a_send_that_fails_because_the_limit_came_goes_to_the_next_connection(what: str):
    class Dying(FakeModel):
        async def send(self, content: Any) -> None:
            if len(self.connections) == 1:
                self.emit(LIMIT)
                raise OSError("broken pipe")
            await super().send(content)

    @tool
    async def quick() -> str:
        """Be quick."""
        return "quick answer"

    model = Dying()
    async with BidiAgent(model, tools=[quick]) as agent:
        reader = Reader(agent)
        if what == "text":
            await agent.send("hello")
        else:
            model.emit(use("quick", "c1"))
        await asyncio.sleep(1)
        assert reader.error is None
        assert len(model.connections) == 2
        assert ("hello" if what == "text" else "quick answer") in model.sent[0]["text"]


@virtual_time
async def test_the_end_of_a_connection_is_raised_and_not_the_send_that_failed_for_it():
    class Dying(FakeModel):
        async def send(self, content: Any) -> None:
            self.emit(ConnectionResetError("gone"))
            raise OSError("broken pipe")

    @tool
    async def quick() -> str:
        """Be quick."""
        return "quick answer"

    model = Dying()
    async with BidiAgent(model, tools=[quick]) as agent:
        reader = Reader(agent)
        model.emit(use("quick", "c1"))
        with pytest.raises(AgentStateError, match="gone"):
            await agent.send("hello")
        await reader.task
        assert isinstance(reader.error, ConnectionResetError)


@virtual_time
async def test_stopping_during_a_restart_leaves_nothing_running():
    model = FakeModel()
    agent = BidiAgent(model)
    await agent.start()
    model.failures = [OSError("down")] * 20
    model.emit(LIMIT)
    await asyncio.sleep(1)
    sender = asyncio.create_task(agent.send("hello"))
    await asyncio.sleep(0)
    await agent.stop()
    with pytest.raises(AgentStateError):
        await sender
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not model.connected


@virtual_time
async def test_what_is_owed_when_the_connection_goes_is_told_once_to_the_next():
    from backchannel import AsyncToolManager, async_tool

    go = asyncio.Event()
    manager = AsyncToolManager()

    @async_tool(manager, grace_s=0)
    async def train(name: str) -> str:
        """Train it."""
        await go.wait()
        return "error 4 %"

    model = FakeModel()
    async with BidiAgent(model, tools=[train]):
        model.emit(use("train", "c1", name="sales"))
        await asyncio.sleep(3)
        model.gate = asyncio.Event()
        model.emit(LIMIT)
        await asyncio.sleep(0.1)
        go.set()
        await asyncio.sleep(2)
        model.gate.set()
        await asyncio.sleep(5)
        told = [event for event in model.sent if "error 4 %" in event.get("text", "")]
        assert len(told) == 1
    manager.shutdown()
