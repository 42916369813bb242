"""The computer's microphone and speakers: with a made-up library, and with PortAudio on devices of ALSA's own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backchannel import BidiAgent, ScriptedModel
from backchannel.errors import AgentStateError, AudioDeviceError, MissingExtraError
from backchannel.events import (
    BidiAudioStreamEvent,
    BidiInterruptionEvent,
    BidiResponseCompleteEvent,
    TypedEvent,
)
from backchannel.io import BidiAudioIO
from backchannel.io import audio as module
from backchannel.models.scripted import expect_text
from tests.support.listening import ListeningAgent
from tests.support.sound_library import PortAudioError, SoundLibrary


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> SoundLibrary:
    library = SoundLibrary()
    monkeypatch.setitem(sys.modules, "sounddevice", library)  # type: ignore[arg-type]
    return library


def samples(count: int, value: int = 1) -> bytes:
    return np.full(count, value, dtype="<i2").tobytes()


def voice(count: int, response_id: str = "r", rate: int = 24000) -> BidiAudioStreamEvent:
    return BidiAudioStreamEvent.from_data(samples(count), rate, response_id)


async def settle() -> None:
    """Let what other threads handed over be done."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "config, error, words",
    [
        ({"input_bufer_size": 3}, TypeError, "input_bufer_size"),
        ({"input_buffer_size": "3"}, TypeError, "input_buffer_size must be an int or None"),
        ({"input_buffer_size": True}, TypeError, "input_buffer_size"),
        ({"output_buffer_size": 0}, ValueError, "output_buffer_size must be 1 or more"),
        ({"input_device_index": -1}, ValueError, "input_device_index must be 0 or more"),
        ({"output_device_index": 1.0}, TypeError, "output_device_index"),
        ({"input_frames_per_buffer": None}, TypeError, "input_frames_per_buffer must be an int, not None"),
        ({"output_frames_per_buffer": 10**9}, ValueError, "output_frames_per_buffer"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(library: SoundLibrary, config: dict[str, Any], error: type, words: str):
    with pytest.raises(error, match=words):
        BidiAudioIO(**config)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtraError, match=r"backchannel\[audio\]"):
        BidiAudioIO()


def test_without_portaudio_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AudioDeviceError, match="apt install libportaudio2"):
        BidiAudioIO()


async def test_streams_are_opened_as_the_model_wants_them(library: SoundLibrary):
    channel = BidiAudioIO(input_device_index=0, input_frames_per_buffer=256)
    source, output = channel.input(), channel.output()
    agent = ListeningAgent(16000, 2, output_rate=24000)
    await source.start(agent)
    await output.start(agent)
    asked = [
        tuple(stream.options[name] for name in ("samplerate", "channels", "blocksize", "device", "dtype"))
        for stream in library.streams
    ]
    assert asked == [(16000, 2, 256, 0, "int16"), (24000, 2, 512, None, "int16")]
    assert all(stream.running for stream in library.streams)
    assert agent.expected
    await source.stop()
    await output.stop()
    assert all(stream.closed for stream in library.streams)


async def test_what_the_microphone_delivers_is_input(library: SoundLibrary):
    source = BidiAudioIO().input()
    await source.start(ListeningAgent(16000))
    waiting = asyncio.create_task(source())
    await settle()
    library.streams[0].deliver(samples(512, 7))
    event = await waiting
    assert event.data == samples(512, 7)
    assert (event["sample_rate"], event["channels"]) == (16000, 1)
    await source.stop()


async def test_beyond_its_bound_the_oldest_input_is_dropped_and_counted(library: SoundLibrary):
    source = BidiAudioIO(input_buffer_size=3).input()
    await source.start(ListeningAgent())
    for value in range(10):
        library.streams[0].deliver(samples(512, value))
    assert [(await source()).data for _ in range(3)] == [samples(512, value) for value in (7, 8, 9)]
    assert source.dropped == 7
    await source.stop()


async def test_by_default_a_second_of_input_waits(library: SoundLibrary):
    source = BidiAudioIO().input()
    await source.start(ListeningAgent(16000))
    for _ in range(100):
        library.streams[0].deliver(samples(512))
    assert 100 - source.dropped == round(16000 / 512)
    await source.stop()


async def test_a_device_without_the_models_rate_or_channels_runs_at_its_own(library: SoundLibrary):
    def refuse(kind: str, options: dict[str, Any]) -> Exception | None:
        if options["samplerate"] != 48000:
            return PortAudioError("Invalid sample rate", -9997)
        return PortAudioError("Invalid number of channels", -9998) if options["channels"] != 2 else None

    library.refuse = refuse
    channel = BidiAudioIO()
    source, output, agent = channel.input(), channel.output(), ListeningAgent(16000, output_rate=24000)
    await source.start(agent)
    await output.start(agent)
    microphone, speaker = library.streams
    assert microphone.options["blocksize"] == 3 * 512
    for _ in range(3):
        microphone.deliver(samples(2 * 1536, 1000))
    events = [await source() for _ in range(3)]
    assert {(event["sample_rate"], event["channels"]) for event in events} == {(16000, 1)}
    assert sum(len(event.data) for event in events) == pytest.approx(2 * 1536, abs=100)
    await output(voice(24000))
    await output(BidiResponseCompleteEvent("r", "complete"))
    assert np.frombuffer(speaker.play(47000), "<i2")[1000:-1000].all()
    speaker.play(4800, ahead=0.001)
    await source.stop()
    await output.stop()


async def test_silence_is_played_while_there_is_nothing_to_say(library: SoundLibrary):
    output = BidiAudioIO().output()
    await output.start(ListeningAgent(24000))
    assert library.streams[0].play(512) == bytes(1024)
    await output(voice(100))
    assert library.streams[0].play(512) == samples(100) + bytes(2 * 412)
    await output.stop()


async def test_an_interruption_silences_the_speaker_at_once(library: SoundLibrary):
    agent = ListeningAgent(24000)
    output = BidiAudioIO().output()
    await output.start(agent)
    await output(voice(24000))
    library.streams[0].play(512, ahead=0.0001)
    await output(BidiInterruptionEvent("user_speech"))
    assert library.streams[0].play(512) == bytes(1024)
    await output(BidiResponseCompleteEvent("r", "interrupted"))
    await output(voice(10, "next"))
    assert library.streams[0].play(10) == samples(10)
    assert all(heard <= 512 for _, heard, _ in agent.reports)
    await output.stop()


async def test_what_was_played_is_reported_when_it_is_heard(library: SoundLibrary):
    agent = ListeningAgent(24000)
    output = BidiAudioIO().output()
    await output.start(agent)
    loop = asyncio.get_running_loop()
    await output(voice(600))
    await output(BidiResponseCompleteEvent("r", "complete"))
    before = loop.time()
    library.streams[0].play(512, ahead=0.2)
    library.streams[0].play(512)  # This device does not say when: its stream's latency counts, 0.1 s.
    await settle()
    assert agent.reports == []
    while not agent.reports:
        await asyncio.sleep(0.005)
    assert loop.time() - before >= 0.2 + 512 / 24000
    while len(agent.reports) < 2:
        await asyncio.sleep(0.005)
    assert agent.reports == [("r", 512, False), ("r", 600, True)]
    await output.stop()


async def test_too_much_voice_drops_the_oldest(library: SoundLibrary):
    output = BidiAudioIO(output_buffer_size=2).output()
    await output.start(ListeningAgent(24000))
    await output(voice(1500))
    assert output.dropped == 1500 - 1024
    await output.stop()


async def test_a_microphone_that_goes_away_is_an_error_with_its_name(library: SoundLibrary):
    source = BidiAudioIO().input()
    await source.start(ListeningAgent())
    waiting = asyncio.create_task(source())
    await settle()
    library.streams[0].vanish()
    with pytest.raises(AudioDeviceError, match="the microphone 'builtin' went away"):
        await waiting
    await source.stop()


async def test_a_speaker_that_goes_away_is_an_error_with_its_name(library: SoundLibrary):
    output = BidiAudioIO().output()
    await output.start(ListeningAgent(24000))
    library.streams[0].vanish()
    await settle()
    with pytest.raises(AudioDeviceError, match="the speaker 'builtin' went away"):
        await output(voice(1))
    await output.stop()


async def test_a_speaker_that_went_away_unnoticed_is_an_error_of_its_stop_once(library: SoundLibrary):
    agent = ListeningAgent(24000)
    output = BidiAudioIO().output()
    await output.start(agent)
    library.streams[0].vanish()
    await settle()
    with pytest.raises(AudioDeviceError, match="the speaker 'builtin' went away"):
        await output.stop()
    await output.stop()
    assert agent.stops == 1


@pytest.mark.parametrize("kind, word", [("input", "microphone"), ("output", "speaker")])
async def test_a_device_that_goes_away_is_an_error_of_run_though_nobody_speaks(
    library: SoundLibrary, kind: str, word: str
):
    channel = BidiAudioIO()
    agent = BidiAgent(ScriptedModel(expect_text("nothing")))
    running = asyncio.create_task(agent.run(inputs=[channel.input()], outputs=[channel.output()]))
    while len(library.streams) < 2 or not library.streams[1].running:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    next(stream for stream in library.streams if stream.kind == kind).vanish()
    async with asyncio.timeout(30):
        with pytest.raises(AudioDeviceError) as raised:
            await running
    assert str(raised.value).startswith(f"the {word} 'builtin' went away")
    assert all(stream.closed for stream in library.streams)


async def test_devices_that_fall_silent_are_errors(library: SoundLibrary, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SILENT_S", 0.0)
    channel = BidiAudioIO()
    source, output = channel.input(), channel.output()
    await source.start(ListeningAgent())
    await output.start(ListeningAgent(24000))
    with pytest.raises(AudioDeviceError, match="the microphone 'builtin' has delivered nothing"):
        await source()
    await output(voice(1))
    with pytest.raises(AudioDeviceError, match="the speaker 'builtin' has played nothing"):
        await output(voice(1))
    await source.stop()
    await output.stop()


@pytest.mark.parametrize(
    "devices, config, error, words",
    [
        ([], {}, None, "there is no microphone on this computer"),
        (
            ["one", "two"],
            {"input_device_index": 7},
            None,
            "device 7 is not a microphone that is there; .* 0 'one', 1 'two'",
        ),
        (["one"], {}, PortAudioError("Device unavailable", -9985), "another program may be using it"),
        (["one"], {}, PortAudioError("Invalid sample rate", -9997), "records neither at 16000 Hz nor at its own 48000"),
        (["one"], {}, PortAudioError("Unanticipated host error"), "cannot be opened .Unanticipated host error."),
    ],
)
async def test_a_microphone_that_cannot_be_opened_is_explained(
    library: SoundLibrary, devices: list[str], config: dict[str, Any], error: Exception | None, words: str
):
    library.devices = devices
    library.refuse = lambda kind, options: error
    source = BidiAudioIO(**config).input()
    with pytest.raises(AudioDeviceError, match=words):
        await source.start(ListeningAgent())
    await source.stop()


async def test_a_start_that_is_cancelled_leaves_no_stream_open(library: SoundLibrary):
    source = BidiAudioIO().input()
    starting = asyncio.create_task(source.start(ListeningAgent()))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    while not library.streams or not library.streams[0].closed:
        await asyncio.sleep(0.001)
    await source.stop()


async def test_before_its_start_a_microphone_says_what_is_missing_and_a_speaker_is_silent(library: SoundLibrary):
    channel = BidiAudioIO()
    with pytest.raises(AgentStateError, match="not started"):
        await channel.input()()
    await channel.output()(TypedEvent({"type": "bidi_interruption"}))


ALSA = """
pcm.!default {{ type null }}
ctl.!default {{ type null }}
pcm.loudspeaker {{ type file; slave.pcm "nowhere"; file "{out}"; format "raw" }}
pcm.mouth {{ type file; slave.pcm "nowhere"; file "/dev/null"; infile "{into}"; format "raw" }}
pcm.nowhere {{ type null }}
"""

CONVERSATION = """
import asyncio, sys
import sounddevice
from backchannel import BidiAgent, ScriptedModel
from backchannel.io import BidiAudioIO
from backchannel.models.scripted import call, expect, say

index = {device["name"]: device["index"] for device in sounddevice.query_devices()}
model = ScriptedModel(
    expect("a voice", lambda event: event["type"] == "bidi_audio_input" and any(event.data)),
    say("I hear you.", 0.5),
    expect("more", lambda event: heard and event["type"] == "bidi_audio_input"),
    call("stop_conversation"),
)
agent = BidiAgent(model)
heard = []
report = agent.played

def played(response_id, samples, finished=False):
    if finished:
        heard.append(samples)
    report(response_id, samples, finished)

agent.played = played
channel = BidiAudioIO(input_device_index=index["mouth"], output_device_index=index["loudspeaker"])

async def main():
    async with asyncio.timeout(60):
        await agent.run(inputs=[channel.input()], outputs=[channel.output()])

asyncio.run(main())
model.check()
print(heard, agent.messages[-3]["content"][0]["text"])
"""

REFUSALS = """
import asyncio
from backchannel import BidiAgent, ScriptedModel
from backchannel.io import BidiAudioIO

channel = BidiAudioIO(output_device_index=INDEX)
try:
    asyncio.run(BidiAgent(ScriptedModel()).run(inputs=[], outputs=[channel.output()]))
except Exception as error:
    print(type(error).__name__, error)
"""


def _with_alsa(script: str, tmp_path: Path, config: str) -> str:
    if sys.platform != "linux":
        pytest.skip("ALSA is Linux's")
    (tmp_path / "asound.conf").write_text(config)
    environment = {**os.environ, "ALSA_CONFIG_PATH": str(tmp_path / "asound.conf")}
    probe = subprocess.run(
        [sys.executable, "-c", "import sounddevice"], env=environment, capture_output=True, text=True, check=False
    )
    if probe.returncode:
        pytest.skip(f"PortAudio cannot be used here: {probe.stderr.strip() or probe.returncode}")
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_conversation_through_portaudio(tmp_path: Path):
    into, out = tmp_path / "in.raw", tmp_path / "out.raw"
    into.write_bytes(samples(16000 * 60, 1000))
    text = _with_alsa(CONVERSATION, tmp_path, ALSA.format(into=into, out=out))
    assert text.strip() == "[8000] I hear you."
    played = np.frombuffer(out.read_bytes(), "<i2")
    sound = np.flatnonzero(played)
    assert sound[-1] - sound[0] == pytest.approx(8000, abs=2 * 512)


def test_without_a_device_portaudio_is_explained(tmp_path: Path):
    for index in ("None", "99"):
        text = _with_alsa(REFUSALS.replace("INDEX", index), tmp_path, "pcm.broken { type nothing }")
        assert text.startswith("AudioDeviceError there is no speaker on this computer")


def test_a_device_that_portaudio_does_not_have_is_named_with_those_it_has(tmp_path: Path):
    text = _with_alsa(REFUSALS.replace("INDEX", "99"), tmp_path, "pcm.!default { type null }")
    assert text.startswith(
        "AudioDeviceError device 99 is not a speaker that is there; choose one by output_device_index: 0 'default'"
    )
