"""The embedded model's shell, with stand-ins for its parts; no clock is involved, time is samples."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from backchannel import BidiAgent, tool
from backchannel.errors import AgentStateError, AudioFormatError, InvalidInputError, MissingExtraError
from backchannel.events import (
    AnnouncementEvent,
    ApprovalQuestionEvent,
    BidiAudioInputEvent,
    BidiAudioStreamEvent,
    BidiImageInputEvent,
    BidiOutputEvent,
    BidiTextInputEvent,
    TaskFinished,
    TaskStarted,
    ToolResultEvent,
)
from backchannel.messages import BACKGROUND_NOTICE, Message, Messages, ToolSpec
from backchannel.models import resolve_model
from backchannel.models.local import LocalModel, Recognition
from backchannel.models.realtime import BidiModel, CancelsResponses, TruncatesResponses, UpdatesTools

from .fakes import LevelActivity, ScriptedEars, TextVoice, silence, voice
from .tools import ALL, NOTE, RESEARCH, TASKS

UTTERANCE = silence(0.5) + voice(0.6) + silence(0.6)


class Conversation:
    """A started model, and what it has emitted."""

    def __init__(self, *utterances: str | Recognition, **parts: Any) -> None:
        self.stt, self.tts = ScriptedEars(*utterances), TextVoice()
        self.model = LocalModel(stt=self.stt, tts=self.tts, vad=LevelActivity(), **parts)
        self.events: AsyncIterator[BidiOutputEvent]

    async def __aenter__(self) -> Conversation:
        await self.model.start(tools=ALL)
        self.events = self.model.receive()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.model.stop()

    async def hear(self, sound: bytes = UTTERANCE) -> None:
        for start in range(0, len(sound), 1280):
            await self.model.send(BidiAudioInputEvent.from_data(sound[start : start + 1280], 16000))

    async def until(self, wanted: Callable[[Any], bool]) -> list[Any]:
        seen = []
        async with asyncio.timeout(10):
            async for event in self.events:
                seen.append(event)
                if wanted(event):
                    return seen
        raise AssertionError(f"the events ended: {seen}")

    async def response(self) -> list[Any]:
        return await self.until(lambda event: event.type == "bidi_response_complete")

    async def result(self, call: Any, task: TaskStarted | None = None) -> None:
        result = {
            "toolUseId": call.current_tool_use["toolUseId"],
            "status": "success",
            "content": [{"text": "42 rows"}],
        }
        await self.model.send(ToolResultEvent(result, task=task))  # type: ignore[arg-type]


def kinds(events: Sequence[Any]) -> list[str]:
    """The types in order, neighbours of one type once."""
    found = [event.type.removeprefix("bidi_") for event in events]
    return [kind for index, kind in enumerate(found) if index == 0 or found[index - 1] != kind]


def said(events: Sequence[Any]) -> list[str]:
    return [event.text for event in events if event.type == "bidi_transcript_stream" and event.is_final]


def is_call(event: Any) -> bool:
    return event.type == "tool_use_stream"


def is_audio(event: Any) -> bool:
    return event.type == "bidi_audio_stream"


def test_it_is_what_the_contract_asks_for():
    model = LocalModel(stt=ScriptedEars(), tts=TextVoice())
    assert isinstance(model, BidiModel)
    assert isinstance(model, UpdatesTools)
    assert isinstance(model, CancelsResponses)
    assert isinstance(model, TruncatesResponses)
    profile = model.profile
    assert (profile.name, profile.place) == ("embedded model", "stays on this computer")
    assert (profile.interruption, profile.tools, profile.input_rate) == ("agent", "live", 16000)


async def test_a_spoken_command_becomes_speech_facts_a_transcript_and_a_call():
    async with Conversation("research solar power") as talk:
        await talk.hear()
        events = await talk.until(is_call)
    assert kinds(events) == ["connection_start", "user_speech", "transcript_stream", "tool_use_stream"]
    assert [event.speaking for event in events if event.type == "user_speech"] == [True, False]
    transcript, call = events[-2:]
    assert (transcript.text, transcript.role, transcript.is_final) == ("research solar power", "user", True)
    use = call.current_tool_use
    assert (use["name"], use["input"]) == ("research", {"topic": "solar power"})


async def test_every_call_has_an_id_of_its_own():
    async with Conversation("research solar power", "research solar power") as talk:
        await talk.hear(UTTERANCE * 2)
        first, second = (await talk.until(is_call))[-1], (await talk.until(is_call))[-1]
    assert first.current_tool_use["toolUseId"] != second.current_tool_use["toolUseId"]


async def test_a_started_task_is_acknowledged_sentence_by_sentence_with_its_audio():
    async with Conversation("research solar power") as talk:
        await talk.hear()
        call = (await talk.until(is_call))[-1]
        await talk.result(call, TaskStarted("ab12cd34", 1, "research", {"topic": "solar power"}, 20))
        events = await talk.response()
    start, *middle, final, complete = events
    assert (start.type, complete.stop_reason) == ("bidi_response_start", "complete")
    assert kinds(middle) == ["transcript_stream", "audio_stream", "transcript_stream", "audio_stream"]
    pieces = [event.text for event in middle if event.type == "bidi_transcript_stream"]
    assert pieces == ["Started research solar power, task one.", " It will take about twenty seconds."]
    assert final.text == "".join(pieces)
    audio = [event for event in middle if isinstance(event, BidiAudioStreamEvent)]
    assert {event.response_id for event in audio} == {start.response_id} == {complete.response_id}
    assert max(event.samples for event in audio) == 640
    assert sum(event.samples for event in audio) == 100 * (len(final.text) - 1)


async def test_typed_text_is_answered_and_not_repeated_as_a_transcript():
    async with Conversation() as talk:
        await talk.model.send(BidiTextInputEvent("hello"))
        events = await talk.response()
    assert said(events) == ["Hello. What can I do for you?"]
    assert all(event.role == "assistant" for event in events if event.type == "bidi_transcript_stream")


async def test_typed_free_text_is_an_argument():
    async with Conversation() as talk:
        await talk.model.send(BidiTextInputEvent("Write note Buy milk, eggs."))
        call = (await talk.until(is_call))[-1]
    assert call.current_tool_use["input"] == {"text": "Buy milk, eggs"}


async def test_an_announcement_is_spoken():
    done = TaskFinished("ab12cd34", 1, "research", {"topic": "solar power"}, "done", "It works.", 3.0)
    async with Conversation() as talk:
        await talk.model.send(AnnouncementEvent("for a text model", (done,)))
        assert said(await talk.response()) == ["By the way, research solar power is done. It works."]


async def test_what_was_not_understood_is_asked_again():
    async with Conversation(Recognition("", 0.0, False)) as talk:
        await talk.hear()
        assert said(await talk.response()) == [
            "(not understood)", "Sorry, I did not catch that. You can say research solar power.",
        ]  # fmt: skip


async def test_a_doubtful_command_is_confirmed_by_voice():
    async with Conversation(Recognition("research solar power", 0.5, False), "yes") as talk:
        await talk.hear()
        assert said(await talk.response()) == ["research solar power (?)", "Did you say research solar power?"]
        await talk.hear()
        assert (await talk.until(is_call))[-1].current_tool_use["input"] == {"topic": "solar power"}


async def test_a_noise_is_no_turn():
    async with Conversation(Recognition("", 0.0, False), "hello") as talk:
        await talk.hear(voice(0.1) + silence(1))
        await talk.hear()
        events = await talk.response()
    assert said(events)[0] == "hello"


async def test_responses_are_spoken_one_after_another_in_order():
    async with Conversation() as talk:
        for text in ("hello", "thank you"):
            await talk.model.send(BidiTextInputEvent(text))
        first, second = await talk.response(), await talk.response()
    assert said(first + second) == ["Hello. What can I do for you?", "You are welcome."]


async def test_the_voice_for_an_acknowledgement_is_ready_before_the_call_is_answered():
    research = {**RESEARCH, "description": BACKGROUND_NOTICE}
    async with Conversation() as talk:
        await talk.model.update_tools([research])
        await talk.model.send(BidiTextInputEvent("research solar power"))
        use = (await talk.until(lambda event: event.type == "tool_use_stream"))[-1].current_tool_use
        async with asyncio.timeout(10):
            while not talk.tts.said:
                await asyncio.sleep(0)
        event = ToolResultEvent({"toolUseId": use["toolUseId"], "status": "success", "content": [{"text": "ok"}]})
        event.task = TaskStarted("ab12cd34", 1, "research", use["input"])
        await talk.model.send(event)
        assert said(await talk.response()) == ["Started research solar power, task one."]
        assert talk.tts.said == ["Started research solar power, task one."]


@pytest.mark.parametrize("fails", [False, True])
async def test_what_was_made_ready_in_vain_is_not_said(fails: bool):
    class Hoarse(TextVoice):
        def speak(self, text: str) -> bytes:
            self.said.append(text)
            if fails and text.startswith("Started"):
                raise RuntimeError("hoarse")
            return super().speak(text)

    research = {**RESEARCH, "description": BACKGROUND_NOTICE}
    async with Conversation() as talk:
        talk.model._link._tts = Hoarse()  # type: ignore[union-attr]
        await talk.model.update_tools([research])
        await talk.model.send(BidiTextInputEvent("research solar power"))
        use = (await talk.until(lambda event: event.type == "tool_use_stream"))[-1].current_tool_use
        result: Any = {"toolUseId": use["toolUseId"], "status": "success", "content": [{"text": "Found at once."}]}
        await talk.model.send(ToolResultEvent(result))
        assert said(await talk.response()) == ["Found at once."]


async def test_a_cancelled_response_stops_at_once_and_the_next_is_spoken():
    async with Conversation() as talk:
        talk.tts.gate = threading.Event()
        await talk.model.send(BidiTextInputEvent("what can you do"))
        start = (await talk.until(lambda event: event.type == "bidi_response_start"))[-1]
        await talk.model.cancel_response(start.response_id)
        events = await talk.response()
        assert kinds(events) == ["response_complete"]
        assert events[-1].stop_reason == "interrupted"
        talk.tts.gate.set()
        await talk.model.send(BidiTextInputEvent("thank you"))
        assert said(await talk.response()) == ["You are welcome."]
    assert talk.tts.said in (["You are welcome."], [talk.tts.said[0], "You are welcome."])


async def test_audio_of_a_cancelled_response_that_waits_is_not_delivered():
    async with Conversation() as talk:
        await talk.model.send(BidiTextInputEvent("what can you do"))
        audio = (await talk.until(is_audio))[-1]
        await talk.model.cancel_response(audio.response_id)
        assert kinds(await talk.response()) == ["response_complete"]


async def test_unknown_and_finished_responses_cannot_be_cancelled():
    async with Conversation() as talk:
        await talk.model.cancel_response("unknown")
        await talk.model.send(BidiTextInputEvent("hello"))
        complete = (await talk.response())[-1]
        await talk.model.cancel_response(complete.response_id)
        await talk.model.send(BidiTextInputEvent("thank you"))
        assert (await talk.response())[-1].stop_reason == "complete"


async def test_it_hears_while_it_speaks_and_loses_no_owed_result():
    async with Conversation("research solar power", "hello") as talk:
        await talk.hear()
        call = (await talk.until(is_call))[-1]
        talk.tts.gate = threading.Event()
        await talk.result(call)
        await talk.until(lambda event: event.type == "bidi_response_start")
        await talk.hear()
        await talk.until(lambda event: event.type == "bidi_transcript_stream" and event.role == "user")
        talk.tts.gate.set()
        assert said(await talk.response() + await talk.response()) == ["42 rows.", "Hello. What can I do for you?"]


async def test_what_is_owed_is_not_said_over_the_user():
    async with Conversation("hello") as talk:
        await talk.hear(silence(0.3) + voice(0.5))
        await talk.until(lambda event: event.type == "user_speech")
        await talk.model.send(BidiTextInputEvent("thank you"))
        await talk.hear(silence(0.8))
        events = await talk.response()
    assert kinds(events)[:3] == ["user_speech", "transcript_stream", "response_start"]
    assert said(events)[0] == "hello"


async def test_a_microphone_that_goes_away_ends_the_utterance(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("backchannel.models.local.local._STALLED_S", 0.01)
    async with Conversation("hello") as talk:
        await talk.model.send(BidiAudioInputEvent.from_data(silence(0.3) + voice(0.5), 16000))
        assert said(await talk.response()) == ["hello", "Hello. What can I do for you?"]


async def test_synthesis_does_not_run_ahead_of_a_slow_reader():
    async with Conversation() as talk:
        await talk.model.send(BidiTextInputEvent("hello"))
        text = "word " * 60 + "end. "
        done = TaskFinished("ab12cd34", 1, "research", {}, "failed", text * 3, 1.0)
        for _ in range(4):
            await talk.model.send(AnnouncementEvent("", (done,)))
        await talk.response()
        spoken_early = len(talk.tts.said)
        for _ in range(4):
            await talk.response()
    assert spoken_early < len(talk.tts.said)


async def test_new_tools_are_understood_in_the_next_turn():
    async with Conversation("write note") as talk:
        await talk.model.update_tools([NOTE, TASKS])
        await talk.model.send(BidiTextInputEvent("research solar power"))
        assert said(await talk.response()) == ["Sorry, I did not catch that. You can say write note."]
    assert [[tool.name for tool in grammar.tools] for grammar in talk.stt.grammars] == [
        ["research", "train_model", "write_note"], ["write_note"],
    ]  # fmt: skip


async def test_a_voice_that_fails_is_reported_and_the_text_still_delivered():
    class Hoarse(TextVoice):
        def speak(self, text: str) -> bytes:
            raise RuntimeError("no voice today")

    model = LocalModel(stt=ScriptedEars(), tts=Hoarse(), vad=LevelActivity())
    await model.start(tools=ALL)
    await model.send(BidiTextInputEvent("hello"))
    events = []
    async for event in model.receive():
        events.append(event)
        if event["type"] == "bidi_response_complete":
            await model.stop()
    assert kinds(events) == ["connection_start", "response_start", "error", "transcript_stream", "response_complete"]
    assert events[-1].stop_reason == "error"
    assert said(events) == ["Hello. What can I do for you?"]


async def test_an_ear_that_fails_is_reported_and_hears_on():
    class Deaf(LevelActivity):
        broken = True

        def probability(self, frame: Any) -> float:
            if self.broken:
                self.broken = False
                raise RuntimeError("a click")
            return super().probability(frame)

    model = LocalModel(stt=ScriptedEars("hello"), tts=TextVoice(), vad=Deaf())
    await model.start(tools=ALL)
    await model.send(BidiAudioInputEvent.from_data(silence(0.5), 16000))
    await model.send(BidiAudioInputEvent.from_data(UTTERANCE, 16000))
    events = []
    async for event in model.receive():
        events.append(event)
        if event["type"] == "bidi_response_complete":
            await model.stop()
    assert kinds(events)[:3] == ["connection_start", "error", "user_speech"]


async def test_a_language_model_takes_the_place_of_the_commands():
    class Echo:
        async def respond(self, messages: Messages, tools: Sequence[ToolSpec], system_prompt: str | None) -> Message:
            last = messages[-1]["content"][0]
            if "toolResult" in last:
                return {"role": "assistant", "content": [{"text": "I found 42 rows."}]}
            use = {"name": "research", "input": {"topic": last["text"]}, "toolUseId": "t1"}
            return {"role": "assistant", "content": [{"text": "One moment."}, {"toolUse": use}]}  # type: ignore[typeddict-item]

    async with Conversation("anything at all", llm=Echo()) as talk:
        await talk.hear()
        call = (await talk.until(is_call))[-1]
        assert call.current_tool_use == {"name": "research", "input": {"topic": "anything at all"}, "toolUseId": "t1"}
        await talk.result(call)
        assert said(await talk.response() + await talk.response()) == ["One moment.", "I found 42 rows."]


async def test_a_language_model_that_fails_is_reported_and_apologised_for():
    class Broken:
        async def respond(self, messages: Messages, tools: Sequence[ToolSpec], system_prompt: str | None) -> Message:
            raise ConnectionError("no route to model")

    async with Conversation(llm=Broken()) as talk:
        await talk.model.send(BidiTextInputEvent("hello"))
        events = await talk.response()
    assert [event.message for event in events if event.type == "bidi_error"] == ["no route to model"]
    assert said(events) == ["Sorry, something went wrong while I was thinking about that."]


async def test_loading_reports_its_progress_in_order():
    steps: list[tuple[float, str]] = []
    model = LocalModel(stt=ScriptedEars(), tts=TextVoice(), vad=LevelActivity())
    model.on_loading = lambda fraction, what: steps.append((fraction, what))
    await model.start()
    await model.stop()
    assert [fraction for fraction, _ in steps] == sorted(fraction for fraction, _ in steps)
    assert (steps[0][0], steps[-1]) == (0.0, (1.0, "ready"))


async def test_it_can_be_started_again_after_it_was_stopped():
    talk = Conversation()
    for _ in range(2):
        async with talk:
            await talk.model.send(BidiTextInputEvent("hello"))
            assert said(await talk.response()) == ["Hello. What can I do for you?"]


async def test_events_end_when_it_is_stopped_and_stopping_twice_is_fine():
    async with Conversation() as talk:
        await talk.until(lambda event: event.type == "bidi_connection_start")
        reading = asyncio.create_task(talk.until(lambda event: False))
        await talk.model.stop()
        await talk.model.stop()
        with pytest.raises(AssertionError, match="the events ended"):
            await reading


async def test_use_before_the_start_and_a_second_start_are_refused():
    async with Conversation() as talk:
        with pytest.raises(AgentStateError, match="started already"):
            await talk.model.start()
    with pytest.raises(AgentStateError, match="call start"):
        await talk.model.send(BidiTextInputEvent("hello"))
    with pytest.raises(AgentStateError, match="call start"):
        await talk.model.update_tools([])
    await talk.model.cancel_response("any")


async def test_a_part_that_cannot_be_loaded_fails_the_start_and_leaves_it_stopped():
    class Missing(TextVoice):
        def load(self) -> None:
            raise MissingExtraError("The embedded model", "local")

    model = LocalModel(stt=ScriptedEars(), tts=Missing(), vad=LevelActivity())
    with pytest.raises(MissingExtraError, match=r"pip install \"backchannel\[local\]\""):
        await model.start()
    with pytest.raises(AgentStateError, match="call start"):
        await model.send(BidiTextInputEvent("hello"))


async def test_without_the_extra_the_start_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"The embedded model needs .* pip install"):
        await LocalModel().start()
    with pytest.raises(MissingExtraError, match=r"The embedded model needs .* pip install"):
        resolve_model("local")
    LocalModel(stt=ScriptedEars(), tts=TextVoice()).check_installed()


async def test_what_it_cannot_take_is_refused_in_words():
    async with Conversation() as talk:
        with pytest.raises(InvalidInputError, match="takes voice, text and tool results, not bidi_image_input"):
            await talk.model.send(BidiImageInputEvent("", "image/png"))
        with pytest.raises(AudioFormatError, match="hears pcm and wav, not mp3"):
            await talk.model.send(BidiAudioInputEvent("", "mp3", 16000, 1))


async def test_what_cannot_be_spoken_is_logged(caplog: pytest.LogCaptureFixture):
    many: Any = {"enum": [f"item {number}" for number in range(2001)]}
    tool: ToolSpec = {"name": "pick", "description": "", "inputSchema": {"json": {"properties": {"item": many}}}}
    async with Conversation() as talk:
        with caplog.at_level(logging.WARNING):
            await talk.model.update_tools([tool])
    assert "only the first 2000 of 2001 values of 'item' can be spoken" in caplog.text


QUESTION = ApprovalQuestionEvent(
    "Ask the user.", "a1", "Delete a.txt?", {"toolUseId": "c1", "name": "delete", "input": {"path": "a.txt"}}
)


def audio_samples(events: Sequence[Any]) -> int:
    return sum(event.samples for event in events if is_audio(event))


async def test_an_approval_is_asked_and_answered_by_voice():
    async with Conversation("go ahead") as talk:
        await talk.model.send(QUESTION)
        assert said(await talk.response()) == ["I need your approval. Delete a.txt?"]
        await talk.hear()
        use = (await talk.until(is_call))[-1].current_tool_use
    assert (use["name"], use["input"]) == ("answer_approval", {"approval_id": "a1", "approved": True})


@pytest.mark.parametrize(("share", "counts"), [(0.0, False), (0.3, False), (0.9, True), (1.0, True)])
async def test_a_yes_counts_only_if_most_of_the_question_was_heard(share: float, counts: bool):
    async with Conversation("yes", "yes") as talk:
        await talk.model.send(QUESTION)
        events = await talk.response()
        response_id = next(event.response_id for event in events if is_audio(event))
        await talk.model.truncate_response(response_id, int(share * audio_samples(events)))
        await talk.model.truncate_response("another response", 0)
        await talk.hear()
        if not counts:
            assert said(await talk.response()) == ["yes", "I need your approval. Delete a.txt?"]
            await talk.hear()
        assert (await talk.until(is_call))[-1].current_tool_use["input"]["approved"] is True


async def test_a_question_that_is_cancelled_while_it_is_made_is_asked_again():
    async with Conversation() as talk:
        talk.tts.gate = threading.Event()
        await talk.model.send(QUESTION)
        start = (await talk.until(lambda event: event.type == "bidi_response_start"))[-1]
        await talk.model.cancel_response(start.response_id)
        talk.tts.gate.set()
        await talk.until(lambda event: event.type == "bidi_response_complete")
        await talk.model.send(BidiTextInputEvent("yes"))
        assert said(await talk.response()) == ["I need your approval. Delete a.txt?"]


async def test_a_language_model_is_told_in_words_what_waits():
    heard = []

    class Fake:
        async def respond(self, messages: Messages, tools: Sequence[ToolSpec], system_prompt: str | None) -> Message:
            heard.append(messages[-1]["content"][0]["text"])
            return {"role": "assistant", "content": [{"text": "May I delete it?"}]}

    async with Conversation(llm=Fake()) as talk:
        await talk.model.send(QUESTION)
        assert said(await talk.response()) == ["May I delete it?"]
    assert heard == ["Ask the user."]


@pytest.mark.parametrize(("words", "result"), [("yes", "a.txt is gone."), ("no", "Okay, I will not do it.")])
async def test_an_agent_has_its_call_approved_by_voice(words: str, result: str):
    deleted = []

    @tool(confirm="Delete {path}?")
    async def delete(path: str) -> str:
        """Delete a file."""
        deleted.append(path)
        return f"{path} is gone"

    model = LocalModel(stt=ScriptedEars(words), tts=TextVoice(), vad=LevelActivity())
    lines: list[str] = []
    async with asyncio.timeout(10), BidiAgent(model, tools=[delete]) as agent:
        await agent.send("delete a.txt")
        async for event in agent.receive():
            if event.get("type") == "bidi_transcript_stream" and event.is_final and event.role == "assistant":
                lines.append(event.text)
            if event.get("type") == "bidi_response_complete" and lines[-1] == "I need your approval. Delete a.txt?":
                for start in range(0, len(UTTERANCE), 1280):
                    await agent.send(BidiAudioInputEvent.from_data(UTTERANCE[start : start + 1280], 16000))
            if lines[-1:] == [result]:
                break
    assert deleted == (["a.txt"] if words == "yes" else [])
