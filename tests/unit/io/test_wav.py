"""A conversation with a file."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import numpy as np
import pytest

from backchannel import BidiAgent, ScriptedModel
from backchannel.audio.pcm import read_wav, write_wav
from backchannel.errors import AudioFormatError, InvalidInputError
from backchannel.events import BidiAudioInputEvent, BidiAudioStreamEvent, BidiInterruptionEvent
from backchannel.io import WavIO
from backchannel.models.scripted import Say, expect, say
from tests.support.listening import ListeningAgent
from tests.support.virtual_time import virtual_time

RATE = 16000


def tone(seconds: float, rate: int = RATE, value: int = 1000) -> np.ndarray:
    return np.full(int(seconds * rate), value, dtype=np.int16)


def save(path: Path, seconds: float = 0.5, rate: int = RATE) -> Path:
    path.write_bytes(write_wav(tone(seconds, rate), rate))
    return path


async def everything(source) -> list[BidiAudioInputEvent]:
    events = []
    while True:
        try:
            events.append(await source())
        except StopAsyncIteration:
            return events


@virtual_time
async def test_a_file_is_said_at_the_speed_of_speech_and_silence_follows(tmp_path: Path):
    source = WavIO(save(tmp_path / "in.wav"), tail_s=0.25).input()
    await source.start(ListeningAgent(RATE))
    loop = asyncio.get_running_loop()
    before = loop.time()
    events = await everything(source)
    assert loop.time() - before == pytest.approx(0.74, abs=0.03)
    samples = np.frombuffer(b"".join(event.data for event in events), "<i2")
    assert len(samples) == 0.75 * RATE
    assert (samples[: RATE // 2] == 1000).all()
    assert (samples[RATE // 2 :] == 0).all()
    await source.stop()


@virtual_time
async def test_without_real_time_nothing_is_waited_for(tmp_path: Path):
    source = WavIO(save(tmp_path / "in.wav", 30), realtime=False, tail_s=1).input()
    await source.start(ListeningAgent(RATE))
    before = asyncio.get_running_loop().time()
    assert sum(len(event.data) for event in await everything(source)) == 2 * 31 * RATE
    assert asyncio.get_running_loop().time() == before


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_becomes_the_models(tmp_path: Path, rate: int, channels: int):
    @virtual_time
    async def test():
        source = WavIO(save(tmp_path / "in.wav", 0.5, rate), realtime=False, tail_s=0).input()
        await source.start(ListeningAgent(24000, channels))
        events = await everything(source)
        assert {(event["sample_rate"], event["channels"]) for event in events} == {(24000, channels)}
        assert sum(len(event.data) for event in events) // (2 * channels) == pytest.approx(12000, abs=2)

    test()


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_any_sample_width_is_read(tmp_path: Path, bits: int):
    size = bits // 8
    frame = b"\xc0" if bits == 8 else bytes(size - 1) + b"\x40"
    body = frame * 2 * 1600
    head = struct.pack("<HHIIHH", 1, 2, RATE, RATE * 2 * size, 2 * size, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(body)) + body
    path = tmp_path / "in.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)

    @virtual_time
    async def test():
        source = WavIO(path, realtime=False, tail_s=0).input()
        await source.start(ListeningAgent(RATE))
        samples = np.frombuffer(b"".join([event.data for event in await everything(source)]), "<i2")
        assert len(samples) == 1600
        assert np.abs(samples - 16384).max() <= 1

    test()


@pytest.mark.parametrize(
    "content, error, words",
    [
        (None, FileNotFoundError, "there is no WAV file"),
        (b"", AudioFormatError, "is empty"),
        (b"not a wav file at all", AudioFormatError, "is not a WAV file"),
        (write_wav(tone(0), RATE), AudioFormatError, "no samples"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, error: type, words: str):
    path = tmp_path / "question.wav"
    if content is not None:
        path.write_bytes(content)

    @virtual_time
    async def test():
        with pytest.raises(error, match=words) as raised:
            await WavIO(path).input().start(ListeningAgent())
        assert "question.wav" in str(raised.value)

    test()


def test_arguments_that_cannot_be_used_are_refused(tmp_path: Path):
    with pytest.raises(TypeError, match="path_in must be a path, not int"):
        WavIO(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="tail_s"):
        WavIO("a.wav", tail_s=-1)
    with pytest.raises(InvalidInputError, match="tail_s"):
        WavIO("a.wav", tail_s=float("nan"))
    with pytest.raises(InvalidInputError, match="no path_in"):
        WavIO(None, "out.wav").input()


@virtual_time
async def test_what_was_heard_is_recorded_and_reported_and_what_was_interrupted_is_not(tmp_path: Path):
    agent, path = ListeningAgent(RATE), tmp_path / "out.wav"
    output = WavIO(None, path).output()
    await output.start(agent)
    assert agent.expected
    await output(BidiAudioStreamEvent.from_data(tone(2).tobytes(), RATE, "r"))
    await asyncio.sleep(0.5)
    await output(BidiInterruptionEvent("user_speech"))
    await asyncio.sleep(1)
    assert not path.exists()
    await output.stop()
    samples, rate = read_wav(path.read_bytes())
    assert rate == RATE
    assert len(samples) == pytest.approx(0.5 * RATE, abs=0.05 * RATE)
    assert agent.reports[-1] == ("r", len(samples), False)
    assert [name.name for name in tmp_path.iterdir()] == ["out.wav"]


@virtual_time
async def test_a_recording_replaces_the_older_one_whole(tmp_path: Path):
    path = save(tmp_path / "out.wav", 3)
    output = WavIO(None, path).output()
    await output.start(ListeningAgent(24000))
    await output.stop()
    assert len(path.read_bytes()) == 44
    await output.stop()


@virtual_time
async def test_without_a_path_nothing_is_kept():
    output = WavIO(None, None, realtime=False).output()
    agent = ListeningAgent(RATE)
    await output.start(agent)
    await output(BidiAudioStreamEvent.from_data(tone(2).tobytes(), RATE, "r"))
    assert agent.reports == [("r", 2 * RATE, False)]
    assert output._recording == []
    await output.stop()


@virtual_time
async def test_a_place_that_cannot_be_written_is_named_before_the_conversation(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        await WavIO(None, tmp_path / "nowhere" / "out.wav").output().start(ListeningAgent())
    with pytest.raises(IsADirectoryError, match="is a folder"):
        await WavIO(None, tmp_path).output().start(ListeningAgent())


@pytest.mark.parametrize("realtime", [True, False])
def test_a_whole_conversation_ends_by_itself_where_that_is_wanted(tmp_path: Path, realtime: bool):
    heard: list[int] = []

    def fits(event) -> bool:
        heard.append(len(event.get("audio", "")))
        return len(heard) == 25

    @virtual_time
    async def test():
        script: list[Say | object] = [expect("half a second of audio", fits), say("It is done.", seconds=3.0)]
        model = ScriptedModel(*script)
        channel = WavIO(
            save(tmp_path / "in.wav", 0.5, 44100), tmp_path / "out.wav", realtime, tail_s=0.5, stop_agent=True
        )
        agent = BidiAgent(model)
        await agent.run(inputs=[channel.input()], outputs=[channel.output()])
        samples, rate = read_wav((tmp_path / "out.wav").read_bytes())
        assert (len(samples), rate) == (3 * RATE, RATE)
        assert agent.messages[-1]["content"] == [{"text": "It is done."}]
        model.check()

    test()
