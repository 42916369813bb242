"""The same conversation over every model: the same events in the same order, the same history, the same frames out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import pytest

from backchannel import AsyncToolManager, BidiAgent, LocalModel, ScriptedModel, async_tool, tool
from backchannel.errors import BidiModelTimeoutError
from backchannel.events import BidiAudioStreamEvent
from backchannel.messages import validate_messages
from backchannel.models.realtime import profile_of
from backchannel.models.scripted import call, expect_announcement, expect_result, expect_text, say
from tests.support.speech import needs_speech


@tool
def look_up(topic: Literal["solar power", "wind energy"]) -> str:
    """Look a topic up."""
    return f"Much is known about {topic}."


class Wire:
    """Everything that the agent sends to a model, on its way there."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.sent: list[Any] = []
        self.starts: list[Any] = []
        self._limits: asyncio.Queue[Exception] = asyncio.Queue()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    async def start(self, *args: Any, **kwargs: Any) -> None:
        self.starts.append(list(kwargs["messages"] if "messages" in kwargs else args[2]))
        await self.model.start(*args, **kwargs)

    async def stop(self) -> None:
        await self.model.stop()

    async def send(self, content: Any) -> None:
        self.sent.append(content)
        await self.model.send(content)

    async def receive(self) -> Any:
        """The model's events, until the test says that its time is over."""
        events = self.model.receive().__aiter__()
        while True:
            event = asyncio.ensure_future(anext(events))
            limit = asyncio.ensure_future(self._limits.get())
            try:
                await asyncio.wait({event, limit}, return_when=asyncio.FIRST_COMPLETED)
                if limit.done():
                    raise limit.result()
                try:
                    yield event.result()
                except StopAsyncIteration:
                    return
            finally:
                for waiting in (event, limit):
                    waiting.cancel()
                await asyncio.gather(event, limit, return_exceptions=True)

    def limit(self) -> None:
        self._limits.put_nowait(BidiModelTimeoutError("its time is over"))


def scripted(*steps: Any) -> Callable[[], Any]:
    return lambda: ScriptedModel(*steps)


def members(*steps: Any) -> Any:
    return pytest.mark.parametrize(
        "make",
        [
            pytest.param(scripted(*steps), id="scripted"),
            pytest.param(lambda: LocalModel(), id="local", marks=needs_speech),
        ],
    )


class Listener:
    """Reads an agent, and waits for what is to come."""

    def __init__(self, agent: BidiAgent) -> None:
        self.events: list[Any] = []
        self._task = asyncio.create_task(self._read(agent))
        self._more = asyncio.Event()

    async def _read(self, agent: BidiAgent) -> None:
        async for event in agent.receive():
            self.events.append(event)
            self._more.set()

    async def until(self, kind: str, count: int = 1) -> None:
        async with asyncio.timeout(60):
            while sum(event.get("type") == kind for event in self.events) < count:
                self._more.clear()
                await self._more.wait()

    def kinds(self) -> list[str]:
        """The types of the events in order; several of one type that follow each other count once."""
        kinds = [event.get("type", "message") for event in self.events]
        kinds = [kind for kind in kinds if kind not in ("task_update", "user_speech", "bidi_usage")]
        return [kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind]


def response(kinds: list[str]) -> None:
    """One response: it begins, its voice and words come, it ends."""
    assert kinds[0] == "bidi_response_start"
    assert kinds[-1] == "bidi_response_complete"
    assert set(kinds[1:-1]) == {"bidi_audio_stream", "bidi_transcript_stream"}


@members(
    expect_text("look up"),
    call("look_up", {"topic": "solar power"}),
    expect_result("Much is known about solar power."),
    say("Much is known about solar power."),
)
async def test_a_question_a_call_and_its_answer(make):
    wire = Wire(make())
    async with BidiAgent(wire, tools=[look_up]) as agent:
        listener = Listener(agent)
        await agent.send("look up solar power")
        await listener.until("bidi_response_complete")
        kinds = listener.kinds()
        assert kinds[:4] == ["bidi_connection_start", "tool_use_stream", "tool_result", "message"]
        response(kinds[4:])
        rate = profile_of(wire).output_rate
        voices = [event for event in listener.events if isinstance(event, BidiAudioStreamEvent)]
        assert all((voice.format, voice.sample_rate, voice.channels) == ("pcm", rate, 1) for voice in voices)
        assert len({voice.response_id for voice in voices}) == 1
        finals = [event for event in listener.events if event.get("is_final")]
        assert [(event.role, "solar power" in event.text) for event in finals] == [("assistant", True)]
    assert [event["type"] for event in wire.sent] == ["bidi_text_input", "tool_result"]
    use_id = agent.messages[1]["content"][0]["toolUse"]["toolUseId"]
    assert wire.sent[1]["tool_result"]["toolUseId"] == use_id
    assert [(message["role"], list(message["content"][0])) for message in agent.messages] == [
        ("user", ["text"]),
        ("assistant", ["toolUse"]),
        ("user", ["toolResult"]),
        ("assistant", ["text"]),
    ]
    assert validate_messages(agent.messages) == []


@members(
    expect_text("research"),
    call("research", {"topic": "wind energy"}),
    expect_result("wind energy"),
    say("Started."),
    expect_announcement("Blows."),
    say("It is done."),
)
async def test_acknowledged_now_and_told_later(make):
    release = asyncio.Event()
    with AsyncToolManager() as manager:

        @async_tool(manager, grace_s=0)
        async def research(topic: Literal["solar power", "wind energy"]) -> str:
            """Research a topic."""
            await release.wait()
            return "Blows."

        wire = Wire(make())
        async with BidiAgent(wire, tools=[research]) as agent:
            listener = Listener(agent)
            await agent.send("research wind energy")
            await listener.until("bidi_response_complete")
            release.set()
            await listener.until("bidi_response_complete", 2)
            assert manager.tasks[0].delivered
    assert [event["type"] for event in wire.sent] == ["bidi_text_input", "tool_result", "bidi_text_input"]
    assert "Blows." in wire.sent[2]["text"]
    assert validate_messages(agent.messages) == []


@members(
    expect_text("look up"),
    call("look_up", {"topic": "solar power"}),
    expect_result("solar"),
    say("Much is known."),
    expect_text("look up"),
    call("look_up", {"topic": "wind energy"}, "call-2"),
    expect_result("wind"),
    say("Much is known."),
)
async def test_a_connection_that_is_made_anew_goes_on(make):
    wire = Wire(make())
    async with BidiAgent(wire, tools=[look_up]) as agent:
        listener = Listener(agent)
        await agent.send("look up solar power")
        await listener.until("bidi_response_complete")
        wire.limit()
        await listener.until("bidi_connection_start", 2)
        await agent.send("look up wind energy")
        await listener.until("bidi_response_complete", 2)
    assert [len(messages) for messages in wire.starts] == [0, 4]
    kinds = listener.kinds()
    assert kinds.index("bidi_connection_restart") < kinds.index("bidi_connection_start", 1)
    assert len(agent.messages) == 8
    assert validate_messages(agent.messages) == []


@members(expect_text("look up"), call("look_up", {"topic": "solar power"}), expect_result("solar"), say("x"))
async def test_stop_in_the_middle_and_start_again(make):
    wire = Wire(make())
    agent = BidiAgent(wire, tools=[look_up])
    for _ in range(2):
        async with agent:
            listener = Listener(agent)
            await listener.until("bidi_connection_start")
    async with agent:
        listener = Listener(agent)
        await agent.send("look up solar power")
        await listener.until("tool_result")
    assert len(wire.starts) == 3
