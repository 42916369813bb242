"""The public event stream."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backchannel.agents.outlet import Outlet
from backchannel.agents.stream import BEHIND_S, EventStream, ReaderBehindError
from backchannel.events import (
    BidiAudioStreamEvent,
    BidiInterruptionEvent,
    BidiResponseStartEvent,
    BidiTranscriptStreamEvent,
)
from backchannel.hooks import BidiMessageAddedEvent, HookRegistry


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def audio(n: int = 0) -> BidiAudioStreamEvent:
    return BidiAudioStreamEvent.from_data(bytes([n, 0]), 16000, "r")


async def drain(stream: EventStream) -> list[Any]:
    stream.close()
    events: list[Any] = []
    while (event := await stream.get()) is not None:
        events.append(event)
    return events


async def test_events_come_in_order():
    stream = EventStream()
    sent = [BidiResponseStartEvent("r"), audio(1), audio(2)]
    for event in sent:
        stream.put(event)
    assert await drain(stream) == sent


async def test_an_interruption_takes_the_place_of_the_audio():
    stream = EventStream()
    start, words = BidiResponseStartEvent("r"), BidiTranscriptStreamEvent({}, "x", "assistant", True)
    for event in (start, audio(1), words, audio(2)):
        stream.put(event)
    interruption = BidiInterruptionEvent("user_speech")
    assert stream.overtake(interruption) == 2
    assert await drain(stream) == [start, interruption, words]


async def test_an_interruption_without_queued_audio_comes_last():
    stream = EventStream()
    start, interruption = BidiResponseStartEvent("r"), BidiInterruptionEvent("error")
    stream.put(start)
    assert stream.overtake(interruption) == 0
    assert await drain(stream) == [start, interruption]


async def test_a_waiting_reader_wakes_up():
    stream = EventStream()
    reading = asyncio.ensure_future(stream.get())
    await asyncio.sleep(0)
    event = audio()
    stream.put(event)
    assert await reading is event


async def test_a_cancelled_reader_loses_no_event():
    stream = EventStream()
    reading = asyncio.ensure_future(stream.get())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    event = audio()
    stream.put(event)
    assert await stream.get() is event


async def test_an_error_comes_after_the_events_before_it_and_ends_the_stream():
    stream = EventStream()
    event = audio()
    stream.put(event)
    stream.fail(ValueError("first"))
    stream.fail(ValueError("second"))
    assert await stream.get() is event
    with pytest.raises(ValueError, match="first"):
        await stream.get()
    assert await stream.get() is None


async def test_a_reader_far_behind_loses_audio_and_partial_words_only_and_is_told():
    clock = Clock()
    stream = EventStream(clock)
    start = BidiResponseStartEvent("r")
    partial = BidiTranscriptStreamEvent({}, "par", "assistant", False)
    final = BidiTranscriptStreamEvent({}, "partial", "assistant", True)
    for event in (start, audio(1), partial, final):
        stream.put(event)
    clock.now = BEHIND_S + 0.1
    late = audio(2)
    stream.put(late)
    kept = await drain(stream)
    assert kept[:2] == [start, final]
    assert kept[2]["code"] == "ReaderBehindError"
    assert kept[2]["details"] == {"dropped": 2}
    assert isinstance(kept[2].error, ReaderBehindError)
    assert kept[3] is late


async def test_a_reader_that_does_not_come_is_told_once_of_all_that_was_dropped():
    clock = Clock()
    stream = EventStream(clock)
    stream.put(BidiResponseStartEvent("r"))
    for _ in range(100):
        clock.now += BEHIND_S + 0.1
        stream.put(audio(1))
    kept = await drain(stream)
    told = [event for event in kept if event["type"] == "bidi_error"]
    assert [event["details"] for event in told] == [{"dropped": 99}]


async def test_events_that_nobody_reads_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("backchannel.agents.stream.MOST_EVENTS", 100)
    stream = EventStream(Clock())
    for number in range(1000):
        stream.put(BidiResponseStartEvent(f"r{number}"))
    assert [event["response_id"] for event in await drain(stream)] == [f"r{number}" for number in range(900, 1000)]


async def test_audio_behind_a_hook_that_hangs_is_bounded():
    dropped: list[Any] = []
    hooks = HookRegistry()
    outlet = Outlet(hooks, EventStream(Clock(), dropped.append))
    hooks.add_callback(BidiMessageAddedEvent, _hangs)
    outlet.hook(BidiMessageAddedEvent(None, {"role": "user", "content": []}))
    for _ in range(5000):
        outlet.emit(audio(1))
    outlet.emit(BidiResponseStartEvent("last"))
    assert len(outlet._waiting) < 2100
    assert len(dropped) > 2900
    assert outlet.pump is not None
    await asyncio.sleep(0)
    outlet.pump.cancel()
    await asyncio.wait({outlet.pump})
    assert (await drain(outlet.stream))[-1]["response_id"] == "last"


async def _hangs(_: Any) -> None:
    await asyncio.Event().wait()
