"""One suite over all inputs and outputs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from backchannel.audio.pcm import write_wav
from backchannel.events import (
    BidiAudioStreamEvent,
    BidiInterruptionEvent,
    BidiResponseCompleteEvent,
    TypedEvent,
)
from backchannel.io import (
    BidiAudioIO,
    BidiInput,
    BidiOutput,
    BidiTextIO,
    VirtualMicrophone,
    VirtualSpeaker,
    WavIO,
    WebSocketIO,
)
from tests.support.listening import ListeningAgent
from tests.support.sound_library import SoundLibrary

RATE = 24000


@dataclass
class Place:
    """What the channels under test stand on."""

    path: Path
    library: SoundLibrary
    keys: Any
    incoming: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    sent: list[dict[str, Any]] = field(default_factory=list)
    may_send: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, message: dict[str, Any]) -> None:
        await self.may_send.wait()
        self.sent.append(message)

    def websocket(self, **options: Any) -> WebSocketIO:
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.may_send.set()
        return WebSocketIO((self.incoming.get, self.send), **options)

    def wav(self, seconds: float) -> WavIO:
        path = self.path / "in.wav"
        path.write_bytes(write_wav(np.ones(int(RATE * seconds), dtype=np.int16), RATE))
        return WavIO(path, self.path / "out.wav", tail_s=0.02)


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    library = SoundLibrary(rate=RATE)
    monkeypatch.setitem(sys.modules, "sounddevice", library)  # type: ignore[arg-type]
    with ExitStack() as stack:
        keys = stack.enter_context(create_pipe_input())
        stack.enter_context(create_app_session(input=keys, output=DummyOutput()))
        yield Place(tmp_path, library, keys)


INPUTS: dict[str, Callable[[Place], Any]] = {
    "audio": lambda place: BidiAudioIO().input(),
    "text": lambda place: BidiTextIO().input(),
    "virtual": lambda place: VirtualMicrophone(RATE, chunk_ms=60),
    "wav": lambda place: place.wav(0.06),
    "websocket": lambda place: place.websocket().input(),
}
OUTPUTS: dict[str, Callable[[Place], Any]] = {
    "audio": lambda place: BidiAudioIO().output(),
    "text": lambda place: BidiTextIO().output(),
    "virtual": lambda place: VirtualSpeaker(RATE),
    "wav": lambda place: place.wav(1).output(),
    "websocket": lambda place: place.websocket().output(),
}


def make_input(name: str, place: Place) -> Any:
    made = INPUTS[name](place)
    return made.input() if name == "wav" else made


@pytest.mark.parametrize("name", INPUTS)
async def test_an_input_can_be_started_twice_and_stopped_twice_and_before_it_was_started(name: str, place: Place):
    source, agent = make_input(name, place), ListeningAgent(RATE)
    assert isinstance(source, BidiInput)
    await source.stop()
    source = make_input(name, place)
    await source.start(agent)
    await source.start(agent)
    await source.stop()
    await source.stop()
    assert len([stream for stream in place.library.streams if not stream.closed]) == 0


@pytest.mark.parametrize("name", [name for name in INPUTS if name != "virtual"])
async def test_stopping_an_input_frees_who_waits_for_it(name: str, place: Place):
    source = place.wav(30).input() if name == "wav" else make_input(name, place)
    await source.start(ListeningAgent(RATE))
    waiting = asyncio.create_task(_until_the_end(source))
    for _ in range(20):
        await asyncio.sleep(0)
    await source.stop()
    async with asyncio.timeout(20):
        await waiting
    with pytest.raises(StopAsyncIteration):
        await source()


@pytest.mark.parametrize("name", ["text", "wav", "websocket"])
async def test_the_end_of_an_input_is_the_end_of_its_iteration(name: str, place: Place):
    source = make_input(name, place)
    await source.start(ListeningAgent(RATE))
    if name == "text":
        place.keys.send_text("hello\r\x04")
    elif name == "websocket":
        place.incoming.put_nowait({"type": "websocket.receive", "bytes": b"\0\0"})
        place.incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
    async with asyncio.timeout(20):
        assert await _until_the_end(source) >= 1
    with pytest.raises(StopAsyncIteration):
        await source() if name != "text" else await _again(source, place)
    await source.stop()


@pytest.mark.parametrize("name", OUTPUTS)
async def test_an_output_can_be_started_twice_and_stopped_twice_and_before_it_was_started(name: str, place: Place):
    output, agent = OUTPUTS[name](place), ListeningAgent(RATE)
    assert isinstance(output, BidiOutput)
    await output.stop()
    output = OUTPUTS[name](place)
    await output.start(agent)
    if name != "virtual":
        await output.start(agent)
    await output.stop()
    await output.stop()
    assert len([stream for stream in place.library.streams if not stream.closed]) == 0


@pytest.mark.parametrize("name", OUTPUTS)
async def test_an_output_ignores_what_it_does_not_know(name: str, place: Place):
    output = OUTPUTS[name](place)
    await output.start(ListeningAgent(RATE))
    for event in (TypedEvent({"type": "from_the_future", "text": "x"}), TypedEvent({"message": {"role": "user"}})):
        await output(event)
    await output.stop()


@pytest.mark.parametrize("name", [name for name in OUTPUTS if name != "text"])
async def test_an_interruption_drops_the_audio_that_was_not_played(name: str, place: Place):
    output, agent = OUTPUTS[name](place), ListeningAgent(RATE)
    await output.start(agent)
    place.may_send.clear()
    for _ in range(100):
        await output(BidiAudioStreamEvent.from_data(bytes(2 * 960), RATE, "r"))
    await output(BidiInterruptionEvent("user_speech"))
    await output(BidiResponseCompleteEvent("r", "interrupted"))
    place.may_send.set()
    for stream in place.library.streams:
        assert stream.play(96000) == bytes(2 * 96000)
    await output.stop()
    assert sum("bidi_audio_stream" in message.get("text", "") for message in place.sent) <= 1
    assert all(samples <= 4 * 960 for _, samples, _ in agent.reports)
    if name == "wav":
        assert len((place.path / "out.wav").read_bytes()) <= 44 + 2 * 4 * 960


@pytest.mark.parametrize("name", ["audio", "virtual", "wav"])
async def test_a_player_reports_the_end_of_a_response_once_and_last(name: str, place: Place):
    output, agent = OUTPUTS[name](place), ListeningAgent(RATE)
    await output.start(agent)
    assert agent.expected
    for _ in range(3):
        await output(BidiAudioStreamEvent.from_data(bytes(2 * 480), RATE, "r"))
    await output(BidiResponseCompleteEvent("r", "complete"))
    for stream in place.library.streams:
        stream.play(960, ahead=0.001)
        stream.play(960, ahead=0.001)
    async with asyncio.timeout(20):
        while not agent.reports or not agent.reports[-1][2]:
            await asyncio.sleep(0.005)
    await output.stop()
    assert agent.reports[-1] == ("r", 1440, True)
    assert [finished for _, _, finished in agent.reports].count(True) == 1


async def _until_the_end(source: Any) -> int:
    count = 0
    while True:
        try:
            await source()
        except StopAsyncIteration:
            return count
        count += 1


async def _again(source: Any, place: Place) -> None:
    place.keys.send_text("\x04")
    await source()
