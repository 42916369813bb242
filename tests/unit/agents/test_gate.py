"""The gate before the model: order, holding, dropping, failing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.agents.gate import SendGate
from backchannel.errors import AgentStateError, BidiModelTimeoutError
from backchannel.events import BidiAudioInputEvent, BidiTextInputEvent
from tests.support.virtual_time import run, virtual_time

RATE = 16000


def voice(seconds: float = 0.02, mark: int = 0) -> BidiAudioInputEvent:
    return BidiAudioInputEvent.from_data(bytes([mark]) * (2 * int(RATE * seconds)), RATE)


class Far:
    """The far end: keeps what arrives; raises what it is told to."""

    gate: SendGate

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.errors: list[Exception] = []
        self.limits: list[Exception] = []
        self.gone = False

    async def deliver(self, event: Any, again: bool) -> None:
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        self.got.append((event.get("text") or len(event["audio"]), again))

    async def gave_way(self) -> bool:
        if self.gone:
            self.gate.close()
        return self.gone


def gate_to(far: Far) -> SendGate:
    far.gate = SendGate(far.deliver, far.limits.append, far.gave_way)
    return far.gate


@virtual_time
async def test_what_is_sent_while_it_is_closed_goes_out_in_order_when_it_opens():
    far = Far()
    gate = gate_to(far)
    senders = [asyncio.create_task(gate.send(BidiTextInputEvent(text))) for text in "abc"]
    await asyncio.sleep(1)
    assert far.got == []
    await gate.open()
    await asyncio.gather(*senders)
    await gate.send(BidiTextInputEvent("d"))
    assert [text for text, _ in far.got] == ["a", "b", "c", "d"]


@virtual_time
async def test_audio_does_not_wait_and_the_oldest_of_more_than_three_seconds_is_dropped():
    far = Far()
    gate = gate_to(far)
    for _ in range(200):
        await gate.send(voice(0.02))
    assert await gate.open() == pytest.approx(1.0)
    assert len(far.got) == 150


@virtual_time
async def test_a_cancelled_sender_sends_nothing_later():
    far = Far()
    gate = gate_to(far)
    first = asyncio.create_task(gate.send(BidiTextInputEvent("never")))
    second = asyncio.create_task(gate.send(BidiTextInputEvent("kept")))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    await gate.open()
    await second
    assert far.got == [("kept", False)]


@virtual_time
async def test_a_failed_gate_frees_everyone_who_waits_and_refuses_the_rest():
    gate = gate_to(Far())
    waiting = asyncio.create_task(gate.send(BidiTextInputEvent("x")))
    opened = asyncio.create_task(gate.opened())
    await asyncio.sleep(0)
    gate.fail(AgentStateError("over"))
    for work in (waiting, opened, gate.send(voice())):
        with pytest.raises(AgentStateError, match="over"):
            await work


@virtual_time
async def test_closing_a_failed_gate_makes_nobody_wait():
    gate = gate_to(Far())
    gate.fail(AgentStateError("over"))
    gate.close()
    async with asyncio.timeout(1):
        for work in (gate.opened(), gate.send(BidiTextInputEvent("x")), gate.send(voice())):
            with pytest.raises(AgentStateError, match="over"):
                await work


@virtual_time
async def test_an_error_of_the_model_goes_to_the_one_who_sent():
    far = Far()
    gate = gate_to(far)
    await gate.open()
    far.errors = [ValueError("no images")]
    with pytest.raises(ValueError, match="no images"):
        await gate.send(BidiTextInputEvent("x"))
    await gate.send(BidiTextInputEvent("y"))
    assert far.got == [("y", False)]


@virtual_time
async def test_a_time_limit_met_while_sending_asks_for_a_restart_once_and_sends_again_after_it():
    far = Far()
    gate = gate_to(far)
    await gate.open()
    far.errors = [BidiModelTimeoutError("limit")]
    sender = asyncio.create_task(gate.send(BidiTextInputEvent("x")))
    await asyncio.sleep(1)
    assert len(far.limits) == 1
    assert not gate.is_open
    await gate.open()
    await sender
    assert far.got == [("x", True)]


@virtual_time
async def test_what_failed_because_the_connection_was_gone_is_sent_to_the_next():
    far = Far()
    gate = gate_to(far)
    await gate.open()
    far.errors, far.gone = [OSError("closed")], True
    sender = asyncio.create_task(gate.send(BidiTextInputEvent("x")))
    await asyncio.sleep(1)
    assert not sender.done()
    await gate.open()
    await sender
    assert far.got == [("x", True)]


@virtual_time
async def test_a_time_limit_met_while_opening_loses_nothing():
    far = Far()
    gate = gate_to(far)
    senders = [asyncio.create_task(gate.send(BidiTextInputEvent(text))) for text in "ab"]
    await asyncio.sleep(0)
    far.errors = [BidiModelTimeoutError("limit")]
    await gate.open()
    assert (len(far.limits), gate.is_open) == (1, False)
    await gate.open()
    await asyncio.gather(*senders)
    assert [text for text, _ in far.got] == ["a", "b"]


@virtual_time
async def test_copies_are_sent_to_both_connections():
    far = Far()
    gate = gate_to(far)
    await gate.open()
    gate.copy()
    await gate.send(BidiTextInputEvent("x"))
    assert far.got == [("x", False)]
    gate.close()
    later = asyncio.create_task(gate.send(BidiTextInputEvent("y")))
    await asyncio.sleep(0)
    await gate.open()
    await later
    assert far.got == [("x", False), ("x", True), ("y", False)]


@virtual_time
async def test_copies_are_forgotten_when_the_new_connection_does_not_come_about():
    far = Far()
    gate = gate_to(far)
    await gate.open()
    gate.copy()
    await gate.send(voice())
    gate.forget_copies()
    await gate.send(BidiTextInputEvent("y"))
    gate.close()
    await gate.open()
    assert len(far.got) == 2


@given(st.lists(st.sampled_from(["text", "audio", "close", "open"]), max_size=60))
def test_text_is_never_lost_doubled_or_reordered(steps: list[str]) -> None:
    async def play() -> tuple[list[str], list[str]]:
        far = Far()
        gate = gate_to(far)
        senders: list[asyncio.Task[None]] = []
        sent: list[str] = []
        for number, step in enumerate(steps):
            if step == "text":
                sent.append(f"t{number}")
                senders.append(asyncio.create_task(gate.send(BidiTextInputEvent(f"t{number}"))))
            elif step == "audio":
                await gate.send(voice())
            elif step == "close":
                gate.close()
            else:
                await gate.open()
            await asyncio.sleep(0)
        await asyncio.sleep(1)
        await gate.open()
        await asyncio.gather(*senders)
        return sent, [text for text, _ in far.got if isinstance(text, str)]

    sent, got = run(play())
    assert got == sent
