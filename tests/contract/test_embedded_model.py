"""The embedded model on real, synthesised voices: what is said is done, what is not meant is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from backchannel.audio.pcm import Samples, to_int16
from backchannel.audio.resample import resample
from backchannel.events import (
    ApprovalQuestionEvent,
    BidiAudioInputEvent,
    BidiTextInputEvent,
    TaskStarted,
    ToolResultEvent,
)
from backchannel.messages import ToolSpec
from backchannel.models.local import LocalModel
from tests.support.speech import ESPEAK_VOICES, RATE, needs_speech, say, with_silence

pytestmark = needs_speech

TOPICS = [
    "solar power",
    "wind energy",
    "quantum computing",
    "machine learning",
    "ocean currents",
    "nuclear fusion",
    "GPT-4",
]


def tool(name: str, required: list[str], **properties: Any) -> ToolSpec:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"name": name, "description": "", "inputSchema": {"json": schema}}


TOOLS = [
    tool("research", ["topic"], topic={"enum": TOPICS}),
    tool("train_model", ["dataset"], dataset={"enum": ["sales", "weather"]}, epochs={"type": "integer"}),
    tool("background_tasks", [], action={"enum": ["list", "look", "cancel"]}, task={"type": "string"}),
]


@pytest.fixture
async def model() -> AsyncIterator[LocalModel]:
    model = LocalModel()
    await model.start(tools=TOOLS)
    yield model
    await model.stop()


async def turn(model: LocalModel, samples: Samples, rate: int = RATE, channels: int = 1) -> list[Any]:
    """Let the model hear sound as fast as it can; return its events up to its call or the end of its answer."""
    data, size = samples.tobytes(), rate * channels * 2 // 50
    for start in range(0, len(data), size):
        await model.send(BidiAudioInputEvent.from_data(data[start : start + size], rate, channels))  # type: ignore[arg-type]
    return await answer(model)


async def answer(model: LocalModel) -> list[Any]:
    seen: list[Any] = []
    async with asyncio.timeout(60):
        async for event in model.receive():
            seen.append(event)
            if seen[-1].type in ("tool_use_stream", "bidi_response_complete"):
                return seen
    raise AssertionError(f"the events ended: {seen}")


def call(events: list[Any]) -> tuple[str, dict[str, Any]] | None:
    if events[-1].type != "tool_use_stream":
        return None
    use = events[-1].current_tool_use
    return use["name"], use["input"]


def said(events: list[Any]) -> str:
    return " ".join(event.text for event in events if event.type == "bidi_transcript_stream" and event.is_final)


COMMANDS = {
    "research solar power": ("research", {"topic": "solar power"}),
    "please research quantum computing": ("research", {"topic": "quantum computing"}),
    "start research on nuclear fusion": ("research", {"topic": "nuclear fusion"}),
    "research g p t four": ("research", {"topic": "GPT-4"}),
    "train model on sales": ("train_model", {"dataset": "sales"}),
    "train the model on weather with twenty epochs": ("train_model", {"dataset": "weather", "epochs": 20}),
    "how far is it": ("background_tasks", {"action": "list"}),
    "cancel task one": ("background_tasks", {"action": "cancel", "task": "1"}),
}


@pytest.mark.parametrize("voice", ["slt", "rms", "awb", "kal16"])
async def test_what_is_said_is_called(model: LocalModel, voice: str):
    wrong = {}
    for text, wanted in COMMANDS.items():
        events = await turn(model, with_silence(say(text, voice)))
        if call(events) != wanted:
            wrong[text] = said(events)
    assert len(wrong) <= 1, wrong


@pytest.mark.parametrize("voice", ESPEAK_VOICES)
async def test_another_synthesiser_is_mostly_understood_and_never_misunderstood(model: LocalModel, voice: str):
    right = 0
    for text, wanted in COMMANDS.items():
        events = await turn(model, with_silence(say(text, voice)))
        assert call(events) in (None, wanted)
        right += call(events) == wanted
    assert right >= 5


@pytest.mark.parametrize("voice", ["slt", "rms", "awb"])
async def test_what_is_not_meant_for_it_is_not_done(model: LocalModel, voice: str):
    for text in (
        "the meeting was moved to thursday afternoon", "where did you put the keys", "i had eggs for breakfast",
        "research shows that people sleep less", "how far is the moon from the earth",
    ):  # fmt: skip
        events = await turn(model, with_silence(say(text, voice)))
        assert call(events) is None, text
        assert "Sorry, I did not catch that." in said(events) or "Did you say" in said(events)


@pytest.mark.parametrize(
    ("name", "gain", "rate", "channels"),
    [
        ("quiet", 0.03, 16000, 1),
        ("clipped", 12.0, 16000, 1),
        ("44.1 kHz", 1.0, 44100, 1),
        ("48 kHz stereo", 1.0, 48000, 2),
    ],
)
async def test_level_and_format_do_not_matter(model: LocalModel, name: str, gain: float, rate: int, channels: int):
    samples = resample(to_int16(with_silence(say("research solar power", "rms")) * gain), RATE, rate)
    events = await turn(model, np.repeat(samples, channels), rate, channels)
    assert call(events) == ("research", {"topic": "solar power"}), name


async def test_noise_at_twenty_decibels_is_tolerated(model: LocalModel):
    clean = with_silence(say("research solar power", "slt"))
    speech_rms = np.sqrt(np.mean(say("research solar power", "slt").astype(float) ** 2))
    noise = np.random.default_rng(1).normal(0, speech_rms / 10, len(clean))
    assert call(await turn(model, to_int16(clean + noise))) == ("research", {"topic": "solar power"})


async def test_noise_alone_is_not_a_turn(model: LocalModel):
    noise = to_int16(np.random.default_rng(1).normal(0, 300, 5 * RATE))
    events = await turn(model, np.concatenate((noise, with_silence(say("research solar power")))))
    assert [event.speaking for event in events if event.type == "user_speech"] == [True, False]


async def test_a_conversation_by_voice_with_a_task_its_acknowledgement_and_new_tools(model: LocalModel):
    events = await turn(model, with_silence(say("research solar power")))
    use = events[-1].current_tool_use
    result: Any = {"toolUseId": use["toolUseId"], "status": "success", "content": [{"text": "started"}]}
    await model.send(ToolResultEvent(result, task=TaskStarted("ab12cd34", 1, "research", use["input"])))
    events = await answer(model)
    assert said(events) == "Started research solar power, task one."
    voice = b"".join(event.data for event in events if event.type == "bidi_audio_stream")
    assert 1.5 < len(voice) / 2 / RATE < 4.0
    await model.update_tools([tool("paint", ["colour"], colour={"enum": ["crimson", "turquoise"]})])
    assert call(await turn(model, with_silence(say("paint crimson")))) == ("paint", {"colour": "crimson"})
    assert call(await turn(model, with_silence(say("research solar power")))) is None


async def test_a_word_that_no_dictionary_has_is_heard(model: LocalModel):
    await model.update_tools([tool("deploy", ["target"], target={"enum": ["kubernetes", "dynamodb", "postgres"]})])
    assert call(await turn(model, with_silence(say("deploy kubernetes", "rms")))) == (
        "deploy",
        {"target": "kubernetes"},
    )


async def test_the_loop_is_free_while_sound_is_recognised(model: LocalModel):
    """Counts the turns of the loop: where recognition held it, there would be as many as chunks."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    samples = with_silence(say("train the model on weather with twenty epochs"))
    await turn(model, samples)
    counting.cancel()
    assert turns > 3 * len(samples) / (RATE / 50)


async def test_typed_and_spoken_turns_mix(model: LocalModel):
    await turn(model, with_silence(say("research")))
    await model.send(BidiTextInputEvent("quantum computing"))
    assert call(await answer(model)) == ("research", {"topic": "quantum computing"})


@pytest.mark.parametrize("voice", ["slt", "rms", "awb"])
async def test_an_approval_is_given_and_refused_by_voice_and_never_the_other_way_round(model: LocalModel, voice: str):
    right, answers = 0, {"yes": True, "go ahead": True, "no": False, "don't do it": False, "never mind": False}
    for number, (text, approved) in enumerate(answers.items()):
        use: Any = {"toolUseId": f"call-{number}", "name": "delete", "input": {"path": "a"}}
        await model.send(ApprovalQuestionEvent("Ask.", str(number), "Delete the file?", use))
        assert said(await answer(model)) == "I need your approval. Delete the file?"
        events = await turn(model, with_silence(say(text, voice)))
        wanted = ("answer_approval", {"approval_id": str(number), "approved": approved})
        assert call(events) in (None, wanted), text
        right += call(events) == wanted
        result: Any = {"toolUseId": f"call-{number}", "status": "error", "content": [{"text": "over"}]}
        await model.send(ToolResultEvent(result))
        await answer(model)
    assert right >= 4


async def test_other_words_approve_nothing(model: LocalModel):
    use: Any = {"toolUseId": "call-1", "name": "delete", "input": {"path": "a"}}
    await model.send(ApprovalQuestionEvent("Ask.", "a1", "Delete the file?", use))
    await answer(model)
    for text in ("i had eggs for breakfast", "the meeting was moved", "what time is it", "yesterday it rained"):
        assert call(await turn(model, with_silence(say(text, "slt")))) is None, text
