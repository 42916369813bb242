"""What waits on either side of a connection."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.events import BidiAudioInputEvent, BidiTextInputEvent
from backchannel.io import mailbox
from backchannel.io.mailbox import Inbox, Outbox, encode
from tests.support.virtual_time import virtual_time


def audio(seconds: float, value: int = 0) -> BidiAudioInputEvent:
    return BidiAudioInputEvent.from_data(bytes([value]) * (2 * int(seconds * 16000)), 16000)


@virtual_time
async def test_of_too_much_audio_the_oldest_is_dropped_and_text_is_not():
    inbox = Inbox()
    await inbox.put(BidiTextInputEvent("hello"))
    for value in range(10):
        await inbox.put(audio(0.5, value))
    inbox.close()
    events = [event async for event in _all(inbox)]
    assert events[0]["type"] == "bidi_text_input"
    assert [event.data[0] for event in events[1:]] == [4, 5, 6, 7, 8, 9]
    assert inbox.dropped == 4


@virtual_time
async def test_one_chunk_longer_than_the_bound_is_kept():
    inbox = Inbox()
    await inbox.put(audio(10))
    assert inbox.dropped == 0
    assert (await inbox.get())["type"] == "bidi_audio_input"


@virtual_time
async def test_too_much_text_makes_its_sender_wait():
    inbox = Inbox()
    for _ in range(mailbox.MOST_WAITING):
        await inbox.put(BidiTextInputEvent("x"))
    waiting = asyncio.create_task(inbox.put(BidiTextInputEvent("last")))
    await asyncio.sleep(1)
    assert not waiting.done()
    await inbox.get()
    await waiting
    inbox.close()
    assert [event["text"] async for event in _all(inbox)][-1] == "last"


@virtual_time
async def test_closing_frees_both_sides():
    inbox, outbox = Inbox(), Outbox()
    getting = [asyncio.create_task(box.get()) for box in (inbox, outbox)]
    await asyncio.sleep(1)
    inbox.close()
    outbox.close()
    assert await asyncio.gather(*getting) == [None, None]
    await inbox.put(BidiTextInputEvent("late"))
    await outbox.put(["late"])
    assert await inbox.get() is None
    assert await outbox.get() is None


@virtual_time
async def test_a_full_outbox_makes_the_agent_wait_and_dropping_audio_makes_room():
    outbox = Outbox()
    await outbox.put(["text"])
    await outbox.put(["x" * (mailbox.MOST_BYTES + 1)], audio=True)
    waiting = asyncio.create_task(outbox.put(["next"]))
    await asyncio.sleep(1)
    assert not waiting.done()
    outbox.drop_audio()
    await waiting
    assert [await outbox.get(), await outbox.get()] == [["text"], ["next"]]


@virtual_time
async def test_it_is_drained_when_the_last_message_was_sent_not_taken():
    outbox = Outbox()
    await outbox.put(["text"])
    draining = asyncio.create_task(outbox.drained())
    await outbox.get()
    await asyncio.sleep(1)
    assert not draining.done()
    outbox.sent()
    await draining


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "value, read",
    [
        (float("nan"), None),
        ({1}, [1]),
        ({(1, 2): 3}, {"(1, 2)": 3}),
        (ValueError("x"), "x"),
        (Unprintable(), "<Unprintable>"),
        ("\ud800", "\ud800"),
        (b"x", "b'x'"),
    ],
)
def test_any_event_can_be_encoded(value: object, read: object):
    assert json.loads(encode({"type": "tool_stream", "data": value})) == {"type": "tool_stream", "data": read}


def test_an_endless_value_is_cut():
    value: list[object] = []
    value.append(value)
    assert "\\u2026" in encode({"data": value})


@given(st.recursive(st.none() | st.floats() | st.text() | st.integers(), lambda inner: st.lists(inner)))
def test_encoded_events_are_json(value: object):
    json.loads(encode({"data": value}), parse_constant=lambda name: pytest.fail(name))


async def _all(inbox: Inbox):
    while (event := await inbox.get()) is not None:
        yield event
