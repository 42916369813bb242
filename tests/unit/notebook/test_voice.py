"""A Voice between a fake agent and a fake page, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from backchannel.errors import InvalidInputError, MissingExtraError
from backchannel.events import (
    ApprovalAnswerEvent,
    ApprovalRequestEvent,
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiConnectionRestartEvent,
    BidiConnectionStartEvent,
    BidiErrorEvent,
    BidiInterruptionEvent,
    BidiResponseCompleteEvent,
    BidiResponseStartEvent,
    BidiTranscriptStreamEvent,
    TaskUpdateEvent,
    UserSpeechEvent,
)
from backchannel.models.realtime import ModelProfile
from backchannel.notebook import widget as widget_module
from backchannel.notebook.routing import Routing
from backchannel.notebook.voice import Voice
from backchannel.notebook.wire import (
    Ack,
    Answer,
    Audio,
    Cancel,
    Claim,
    Heard,
    Hello,
    Mic,
    Ops,
    Output,
    Ping,
    Played,
    Pong,
    Release,
    Say,
    ToPage,
    Welcome,
)
from tests.support.virtual_time import virtual_time

RATE = 16000
CHUNK = bytes(640)


class Registry:
    def __init__(self) -> None:
        self.tools: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        return self.tools.get(name)

    def register(self, tool: Any) -> None:
        self.tools[tool.tool_name] = tool


class FakeApprovals:
    def __init__(self) -> None:
        self.answers: list[tuple[str, bool, str]] = []

    def answer(self, approval_id: str, approved: bool, reason: str = "", by: str = "code") -> None:
        if approval_id in [answer[0] for answer in self.answers]:
            raise InvalidInputError("answered already")
        self.answers.append((approval_id, approved, by))


class Agent:
    """Says what the test puts into ``says``; keeps what it was sent and what was played."""

    def __init__(self) -> None:
        self.model = object()
        self.tool_registry = Registry()
        self.approvals = FakeApprovals()
        self.profile = ModelProfile(name="fake", place="stays here")
        self.says: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []
        self.reports: list[tuple[str, int, bool]] = []
        self.calls: list[str] = []
        self.fails: Exception | None = None
        self.accepts = asyncio.Event()
        self.accepts.set()

    async def start(self) -> None:
        self.calls.append("start")
        if self.fails is not None:
            raise self.fails

    async def send(self, input_data: Any) -> None:
        await self.accepts.wait()
        self.sent.append(input_data)

    async def receive(self) -> AsyncIterator[Any]:
        while (event := await self.says.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def stop(self) -> None:
        self.calls.append("stop")

    def expect_played(self, expected: bool = True) -> None:
        self.calls.append("expect_played")

    def played(self, response_id: str, samples: int, finished: bool = False) -> None:
        self.reports.append((response_id, samples, finished))


class Talk:
    """A voice and the messages that its pages were sent."""

    def __init__(self, *, all_tools: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.agent = Agent()
        self.messages: list[tuple[float, ToPage, bytes | None]] = []
        self.published: list[dict[str, Any]] = []
        self.cancelled: list[str] = []
        self.held: list[str] = []
        self.voice = Voice(
            self.agent,
            all_tools=all_tools,
            submit=loop.call_soon_threadsafe,
            routing=Routing(None),
            publish=lambda data, _display_id, _update: self.published.append(data),
            cancel=self.cancelled.append,
            hold=self._hold,
            notices=lambda lab: [] if lab else ["No extension."],
            clock=loop.time,
        )
        self.voice.widget.tell = self._tell  # type: ignore[method-assign]

    @contextlib.contextmanager
    def _hold(self) -> Iterator[None]:
        self.held.append("held")
        try:
            yield
        finally:
            self.held.append("let go")

    def _tell(self, message: ToPage, audio: bytes | None = None) -> None:
        self.messages.append((asyncio.get_running_loop().time(), message, audio))

    def page(self, *messages: Any, audio: bytes | None = None) -> None:
        for message in messages:
            self.voice.receive(message, [] if audio is None else [audio])

    async def claimed(self) -> None:
        self.page(Hello("p", 1, lab=True), Ack("p", 0), Claim("p"))
        await self.rest()

    async def say(self, *events: Any) -> None:
        for event in events:
            self.agent.says.put_nowait(event)
        await self.rest()

    async def rest(self, seconds: float = 0.1) -> None:
        await asyncio.sleep(seconds)

    def told(self, kind: type[Any]) -> list[Any]:
        return [message for _, message, _ in self.messages if isinstance(message, kind)]

    def ops(self, kind: str) -> list[dict[str, Any]]:
        seen: dict[int, dict[str, Any]] = {}
        for message in self.told(Ops):
            seen |= dict(enumerate(message.ops, message.seq))
        return [op for _, op in sorted(seen.items()) if op["op"] == kind]

    @property
    def states(self) -> list[str]:
        return [op["state"] for op in self.ops("state")]

    @property
    def voiced(self) -> bytes:
        return b"".join(audio for _, message, audio in self.messages if isinstance(message, Audio) and audio)


@pytest.fixture(autouse=True)
def no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widget_module, "built_text", lambda name: "")


def speech(samples: int, response_id: str = "r1") -> BidiAudioStreamEvent:
    return BidiAudioStreamEvent.from_data(b"\x01\x02" * samples, RATE, response_id)


def transcript(role: Any, text: str, final: bool = True) -> BidiTranscriptStreamEvent:
    return BidiTranscriptStreamEvent({"text": text}, text, role, final)


@virtual_time
async def test_a_page_is_welcomed_with_what_the_model_is_and_where_the_audio_goes() -> None:
    talk = Talk()
    talk.page(Hello("p", 1, lab=True))
    await talk.rest()
    welcome = talk.told(Welcome)[0]
    assert welcome.to == "p"
    assert welcome.snapshot["state"] == "off"
    assert welcome.snapshot["info"] == {
        "model": "fake",
        "place": "stays here",
        "input_rate": RATE,
        "output_rate": RATE,
    }
    assert talk.agent.calls == []


@virtual_time
async def test_how_long_silence_may_last_reaches_the_pages_that_are_there_and_those_that_come() -> None:
    talk = Talk()
    await talk.claimed()
    talk.voice.mute_after(90.0)
    await talk.rest()
    assert talk.ops("info") == [{"op": "info", "mute_after_s": 90.0}]
    talk.page(Hello("q", 1, lab=True))
    await talk.rest()
    assert talk.told(Welcome)[-1].snapshot["info"]["mute_after_s"] == 90.0


@virtual_time
async def test_a_claim_connects_and_the_microphone_reaches_the_agent() -> None:
    talk = Talk()
    await talk.claimed()
    assert talk.agent.calls == ["expect_played", "start"]
    assert talk.held == ["held"]
    for n in range(3):
        talk.page(Mic("p", n, RATE), audio=bytes([n, 0]) * 320)
    await talk.rest()
    assert [event.data[:1] for event in talk.agent.sent] == [b"\x00", b"\x01", b"\x02"]
    assert all(isinstance(event, BidiAudioInputEvent) for event in talk.agent.sent)
    assert talk.told(Heard)[-1] == Heard("p", 2)
    assert talk.states == ["connecting", "listening"]
    await talk.voice.stop()


@virtual_time
async def test_arrived_microphone_is_confirmed_ten_times_a_second() -> None:
    talk = Talk()
    await talk.claimed()
    for n in range(100):
        talk.page(Mic("p", n, RATE), audio=CHUNK)
        await talk.rest(0.02)
    await talk.rest()
    assert 18 <= len(talk.told(Heard)) <= 22
    assert talk.told(Heard)[-1].n == 99
    await talk.voice.stop()


@virtual_time
async def test_a_whole_turn_is_shown_as_captions_and_states_and_sent_as_voice() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.say(UserSpeechEvent(True), UserSpeechEvent(False), transcript("user", "research solar power"))
    assert talk.states[-1] == "thinking"
    await talk.say(BidiResponseStartEvent("r1"), transcript("assistant", "Started."), speech(1600))
    await talk.say(BidiResponseCompleteEvent("r1", "complete"))
    assert talk.states[-1] == "speaking"
    assert talk.voiced == b"\x01\x02" * 1600
    assert talk.ops("caption")[-1] == {
        "op": "caption",
        "id": "a2",
        "role": "assistant",
        "text": "Started.",
        "final": True,
        "heard": False,
    }
    gen = talk.told(Audio)[-1].gen
    talk.page(Played("p", gen, 1600, 800))
    await talk.rest()
    assert talk.agent.reports[-1] == ("r1", 800, False)
    talk.page(Played("p", gen, 1600, 1600))
    await talk.rest()
    assert talk.agent.reports[-1] == ("r1", 1600, True)
    assert talk.states[-1] == "listening"
    assert talk.ops("caption")[-1]["heard"] is True
    await talk.voice.stop()


@virtual_time
async def test_a_long_answer_is_sent_only_as_far_ahead_as_it_may_be_and_all_of_it_in_the_end() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.say(BidiResponseStartEvent("r1"), speech(60 * RATE), BidiResponseCompleteEvent("r1", "complete"))
    gen, played = talk.told(Audio)[-1].gen, 0
    while len(talk.voiced) < 2 * 60 * RATE:
        assert len(talk.voiced) // 2 - played <= 0.4 * RATE
        played = min(len(talk.voiced) // 2, played + RATE // 10)
        talk.page(Played("p", gen, len(talk.voiced) // 2, played))
        await talk.rest(0.1)
    assert len(talk.messages) / asyncio.get_running_loop().time() <= 200
    talk.page(Played("p", gen, 60 * RATE, 60 * RATE))
    assert talk.agent.reports[-1] == ("r1", 60 * RATE, True)
    await talk.voice.stop()


@virtual_time
async def test_an_interruption_flushes_at_once_and_nothing_of_the_old_answer_follows() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.say(BidiResponseStartEvent("r1"), transcript("assistant", "Well,", False), speech(10 * RATE))
    gen = talk.told(Audio)[-1].gen
    talk.page(Played("p", gen, 4800, 1600))
    await talk.rest()
    before, voiced = asyncio.get_running_loop().time(), talk.voiced
    await talk.say(BidiInterruptionEvent("user_speech"))
    assert talk.ops("flush")[-1]["gen"] == gen + 1
    at = next(time for time, item, _ in talk.messages if isinstance(item, Ops) and talk.ops("flush")[-1] in item.ops)
    assert at - before <= 0.001
    assert talk.states[-1] == "listening"
    assert talk.agent.reports[-1] == ("r1", 1600, True)
    talk.page(Played("p", gen, 4800, 3200))
    await talk.rest()
    assert talk.voiced == voiced
    await talk.say(BidiResponseStartEvent("r2"), speech(160, "r2"))
    assert talk.told(Audio)[-1].gen == gen + 1
    assert talk.told(Audio)[-1].start == 0
    await talk.voice.stop()


@virtual_time
async def test_a_flush_that_is_not_acknowledged_is_sent_again() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.say(BidiInterruptionEvent("user_speech"))
    last = talk.told(Ops)[-1]
    talk.page(Ack("p", last.seq - 1))
    await talk.rest(0.3)
    assert any(op["op"] == "flush" for op in talk.told(Ops)[-1].ops)
    assert talk.told(Ops)[-1].to == "p"
    await talk.voice.stop()


@virtual_time
async def test_a_second_page_is_told_who_owns_and_may_take_over_where_the_first_one_stopped() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.say(BidiResponseStartEvent("r1"), speech(8000), BidiResponseCompleteEvent("r1", "complete"))
    talk.page(Played("p", talk.told(Audio)[-1].gen, 5600, 1600))
    talk.page(Hello("q", 1), Ack("q", 0), Claim("q"))
    await talk.rest()
    assert talk.ops("owner")[-1] == {"op": "owner", "client": "p"}
    talk.messages.clear()
    talk.page(Claim("q", force=True))
    await talk.rest()
    assert talk.ops("owner")[-1] == {"op": "owner", "client": "q"}
    audio = talk.told(Audio)
    assert {item.to for item in audio} == {"q"}
    assert audio[0].start == 0
    for _ in range(3):
        talk.page(Played("q", audio[0].gen, len(talk.voiced) // 2, len(talk.voiced) // 2))
    assert len(talk.voiced) // 2 == 6400
    assert talk.agent.reports[-1] == ("r1", 8000, True)
    talk.page(Mic("p", 0, RATE), audio=CHUNK)
    await talk.rest()
    assert talk.agent.sent == []
    await talk.voice.stop()


@virtual_time
async def test_voice_waits_for_a_page_that_vanished_and_goes_on_when_it_is_back() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.rest(6.0)
    assert talk.states[-1] == "paused"
    assert talk.ops("owner")[-1]["client"] == ""
    await talk.say(BidiResponseStartEvent("r1"), speech(1600), BidiResponseCompleteEvent("r1", "complete"))
    assert talk.voiced == b""
    assert talk.agent.reports == []
    talk.page(Ping("p", 1.0))
    await talk.rest()
    assert talk.told(Pong) == [Pong("p", 1.0)]
    assert len(talk.voiced) == 3200
    assert talk.states[-1] == "speaking"
    await talk.voice.stop()


@virtual_time
async def test_an_idle_owner_that_answers_stays_owner() -> None:
    talk = Talk()
    await talk.claimed()
    for _ in range(20):
        await talk.rest(1.0)
        talk.page(Ack("p", talk.told(Ops)[-1].seq))
    assert talk.states[-1] == "listening"
    await talk.voice.stop()


@virtual_time
async def test_typed_text_is_shown_and_sent_once_the_model_hears() -> None:
    talk = Talk()
    talk.page(Hello("p", 1, lab=True), Say("p", "how far is it"), Say("p", "   "))
    await talk.rest()
    assert talk.agent.sent == ["how far is it"]
    assert [op["text"] for op in talk.ops("caption")] == ["how far is it"]
    await talk.voice.stop()


@virtual_time
async def test_a_typed_text_that_is_refused_is_shown_and_the_next_one_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk()
    send = talk.agent.send

    async def picky(text: Any) -> None:
        if "forbidden" in text:
            raise ValueError("too long for its context")
        await send(text)

    monkeypatch.setattr(talk.agent, "send", picky)
    await talk.claimed()
    talk.page(Say("p", "forbidden"), Say("p", "hello \ud83d"))
    await talk.rest()
    assert talk.agent.sent == ["hello \ufffd"]
    notes = [op["text"] for op in talk.ops("caption") if op["role"] == "note"]
    assert any("forbidden" in note and "too long for its context" in note for note in notes)
    assert "error" not in talk.states
    await talk.voice.stop()


@virtual_time
async def test_a_slow_model_costs_the_oldest_microphone_and_is_told() -> None:
    talk = Talk()
    await talk.claimed()
    talk.agent.accepts.clear()
    for n in range(100):
        talk.page(Mic("p", n, RATE), audio=bytes([n, 0]) * 320)
    await talk.rest()
    talk.agent.accepts.set()
    await talk.rest()
    kept = [event.data[0] for event in talk.agent.sent]
    assert kept == list(range(50, 100)) or kept[1:] == list(range(50, 100))
    assert "dropped" in talk.ops("notices")[-1]["notices"][-1]
    await talk.voice.stop()


@virtual_time
async def test_malformed_microphone_is_counted_and_ignored() -> None:
    talk = Talk()
    await talk.claimed()
    for rate, audio in ((RATE, b"\x01"), (123, CHUNK), (8000, bytes(64000))):
        talk.page(Mic("p", 0, rate), audio=audio)
    talk.page(Mic("p", 0, RATE))
    await talk.rest()
    assert talk.voice.widget.gate.malformed == 4
    assert talk.agent.sent == []
    await talk.voice.stop()


@virtual_time
async def test_an_agent_that_cannot_start_says_why_and_a_new_claim_tries_again() -> None:
    talk = Talk()
    talk.agent.fails = MissingExtraError("The embedded model", "local")
    await talk.claimed()
    assert talk.states[-1] == "error"
    assert 'pip install "backchannel[local]"' in talk.ops("state")[-1]["detail"]
    talk.agent.fails = None
    talk.page(Claim("p"))
    await talk.rest()
    assert talk.states[-1] == "listening"
    await talk.voice.stop()


@virtual_time
async def test_a_conversation_that_breaks_ends_with_its_error_and_lets_everything_go() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.say(speech(1600), RuntimeError("the line is dead"))
    assert talk.states[-1] == "error"
    assert talk.ops("state")[-1]["detail"] == "RuntimeError: the line is dead"
    assert talk.agent.calls[-1] == "stop"
    assert talk.held == ["held", "let go"]
    assert not talk.voice.running
    assert talk.ops("owner")[-1]["client"] == ""


@virtual_time
async def test_a_conversation_that_the_agent_ends_is_off() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.say(None)
    assert talk.states[-1] == "off"
    assert talk.agent.calls[-1] == "stop"
    assert talk.ops("owner")[-1]["client"] == ""


@virtual_time
async def test_a_restart_and_an_error_are_shown_and_it_goes_on() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.say(BidiConnectionRestartEvent(TimeoutError("eight minutes are over")))
    assert (talk.states[-1], talk.ops("state")[-1]["detail"]) == ("reconnecting", "eight minutes are over")
    assert talk.ops("caption") == []
    await talk.say(BidiConnectionRestartEvent(TimeoutError("again"), turn_interrupted=True))
    assert "say it again" in talk.ops("caption")[-1]["text"]
    await talk.say(BidiConnectionStartEvent("c2", "fake"), BidiErrorEvent(ValueError("odd")))
    assert talk.states[-1] == "listening"
    assert talk.ops("caption")[-1]["text"] == "Error: odd"
    await talk.voice.stop()


@virtual_time
async def test_tasks_are_noted_and_can_be_cancelled_from_the_page() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.say(TaskUpdateEvent({"id": "1f", "number": 1, "label": "research solar power", "status": "running"}))
    assert talk.ops("caption")[-1]["text"] == "Task 1, research solar power, has started."
    talk.page(Cancel("p", "1f"))
    assert talk.cancelled == ["1f"]
    await talk.voice.stop()


@virtual_time
async def test_releasing_ends_the_voice_at_once_and_the_conversation_stays() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.say(BidiResponseStartEvent("r1"), speech(16000))
    talk.page(Release("p"))
    await talk.rest()
    assert talk.states[-1] == "off"
    assert talk.ops("flush")
    assert talk.voice.running
    await talk.voice.stop()


@virtual_time
async def test_the_saved_output_has_the_conversation() -> None:
    talk = Talk()
    talk.voice.show()
    await talk.claimed()
    await talk.say(transcript("user", "what <b>can</b> you do"))
    await talk.rest(3.0)
    assert "what &lt;b&gt;can&lt;/b&gt; you do" in talk.published[-1]["text/html"]
    assert talk.published[-1]["text/plain"] == "You: what <b>can</b> you do"
    await talk.voice.stop()


@virtual_time
async def test_a_page_that_keeps_outputs_has_the_conversation_two_seconds_later_at_most() -> None:
    talk = Talk()
    talk.voice.show()
    talk.page(Hello("p", 1, keeps=True), Ack("p", 0), Claim("p"))
    await talk.rest()
    assert talk.told(Output)[-1].id == talk.voice.output.display_id
    await talk.say(transcript("user", "first"))
    await talk.rest(2.0)
    assert "first" in talk.told(Output)[-1].data["text/html"]
    await talk.say(transcript("user", "second"))
    await talk.rest(2.0)
    assert "second" in talk.told(Output)[-1].data["text/html"]
    assert len(talk.published) == 1
    talk.page(Hello("p", 1, keeps=True))
    before = len(talk.told(Output))
    await talk.rest()
    assert len(talk.told(Output)) == before + 1
    await talk.voice.stop()


@virtual_time
async def test_a_page_without_the_extension_is_told_so() -> None:
    talk = Talk()
    talk.page(Hello("p", 1, lab=False))
    await talk.rest()
    assert talk.told(Welcome)[-1].snapshot["notices"] == ["No extension."]


class Tool:
    tool_name = "train"


@pytest.mark.parametrize("own", [True, False])
@virtual_time
async def test_a_new_definition_replaces_an_agents_own_tool_only_unless_it_takes_all(own: bool) -> None:
    talk = Talk(all_tools=False)
    if own:
        talk.agent.tool_registry.register(Tool())
    tool: Any = Tool()
    talk.voice.offer(tool)
    assert (talk.agent.tool_registry.get("train") is tool) is own
    everything = Talk(all_tools=True)
    everything.voice.offer(tool)
    assert everything.agent.tool_registry.get("train") is tool


DELETE: Any = {"toolUseId": "c1", "name": "delete", "input": {"path": "<b>a</b>"}}


@virtual_time
async def test_a_question_is_on_every_page_until_it_is_answered() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.say(ApprovalRequestEvent("q1", "Delete <b>a</b>?", DELETE), ApprovalRequestEvent("q2", "And b?", DELETE))
    assert [item["text"] for item in talk.voice.snapshot()["questions"]] == ["Delete <b>a</b>?", "And b?"]
    talk.page(Hello("another", 1), Answer("another", "q1", True))
    await talk.rest()
    assert talk.told(Welcome)[-1].snapshot["questions"] == talk.voice.snapshot()["questions"]
    assert talk.agent.approvals.answers == [("q1", True, "widget")]
    await talk.say(ApprovalAnswerEvent("q1", True, "widget"), ApprovalAnswerEvent("q2", False, "voice", "no, keep it"))
    shown = talk.voice.snapshot()
    assert shown["questions"] == []
    assert [item["text"] for item in shown["captions"] if item["role"] == "note"] == [
        "Allowed on the page: Delete <b>a</b>?",
        "Not allowed by voice: And b? (no, keep it)",
    ]


@virtual_time
async def test_an_answer_that_comes_second_changes_nothing() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.say(ApprovalRequestEvent("q1", "Delete?", DELETE))
    talk.page(Answer("p", "q1", False), Answer("another", "q1", True))
    await talk.rest()
    assert talk.agent.approvals.answers == [("q1", False, "widget")]
    assert talk.states[-1] != "error"


@virtual_time
async def test_questions_end_with_the_conversation() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.say(ApprovalRequestEvent("q1", "Delete?", DELETE))
    await talk.voice.stop()
    await talk.rest()
    assert talk.voice.snapshot()["questions"] == []
    assert talk.voice.snapshot()["captions"][-1]["text"] == "Not allowed any more: Delete? (the conversation has ended)"


@virtual_time
async def test_the_saved_output_shows_an_open_question_as_text() -> None:
    talk = Talk()
    await talk.claimed()
    await talk.say(ApprovalRequestEvent("q1", "Delete <b>a</b>?", DELETE))
    html, text = talk.voice._render()
    assert text.endswith("Waiting for your approval: Delete <b>a</b>?")
    assert "Delete &lt;b&gt;a&lt;/b&gt;?" in html
    assert "<b>" not in html


@virtual_time
async def test_voice_that_no_page_plays_is_dropped_in_the_end_and_said() -> None:
    talk = Talk()
    talk.page(Hello("p", 1, lab=True))
    talk.voice.begin()
    await talk.rest()
    for number in range(40):
        await talk.say(
            BidiResponseStartEvent(f"r{number}"),
            transcript("assistant", f"Answer {number}."),
            speech(10 * RATE, f"r{number}"),
            BidiResponseCompleteEvent(f"r{number}", "complete"),
        )
    dropped = {response_id for response_id, samples, finished in talk.agent.reports if finished and samples == 0}
    assert {"r0", "r9"} <= dropped < {f"r{number}" for number in range(40)}
    assert not any(op["heard"] for op in talk.ops("caption"))
    assert "no page has played it" in talk.voice.snapshot()["notices"][-1]
    await talk.voice.stop()
