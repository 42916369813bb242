from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from backchannel.notebook.channel import Channel
from backchannel.notebook.voice_snapshot import apply, new_snapshot
from backchannel.notebook.wire import Ops, Welcome


class Page:
    """Applies as js/src/state.ts does: each operation once, in order; a Welcome unless it is older than what it has."""

    def __init__(self) -> None:
        self.seq = -1
        self.snapshot: dict[str, Any] = {}
        self.flushed: list[int] = []

    def take(self, message: Ops | Welcome) -> None:
        if isinstance(message, Welcome):
            if message.seq >= self.seq:
                self._flush(message.snapshot["gen"])
                self.seq, self.snapshot = message.seq, message.snapshot
            return
        for number, op in enumerate(message.ops, message.seq):
            if number == self.seq + 1 and self.seq >= 0:
                if op["op"] == "flush":
                    self._flush(op["gen"])
                self.snapshot = apply(self.snapshot, op)
                self.seq = number

    def _flush(self, gen: int) -> None:
        if gen > self.snapshot.get("gen", 0):
            self.flushed.append(gen)


def channel() -> Channel:
    return Channel(new_snapshot({"model": "m"}), apply)


def owner(name: str) -> dict[str, Any]:
    return {"op": "owner", "client": name}


def test_a_page_that_says_hello_is_given_the_whole_state() -> None:
    line = channel()
    line.post(owner("a"))
    line.due(0.0)
    line.hello("a", 1.0)
    assert line.due(1.0) == [Welcome("a", 1, 0, line.snapshot)]
    assert line.snapshot["owner"] == "a"


def test_a_new_operation_goes_to_every_page_once() -> None:
    line = channel()
    line.post(owner("a"))
    line.post(owner("b"))
    assert line.due(0.0) == [Ops("", 1, [owner("a"), owner("b")])]
    assert line.due(0.0) == []


def test_what_is_not_acknowledged_is_sent_again_after_a_quarter_of_a_second_to_that_page_only() -> None:
    line = channel()
    for name in ("a", "b"):
        line.hello(name, 0.0)
    line.due(0.0)
    for name in ("a", "b"):
        line.ack(name, 0, 0.0)
    line.post(owner("a"))
    line.due(0.0)
    line.ack("b", 1, 0.1)
    assert line.due(0.2) == []
    assert line.next_due() == 0.25
    assert line.due(0.25) == [Ops("a", 1, [owner("a")])]
    line.ack("a", 1, 0.3)
    assert line.due(9.0) == []
    assert line.next_due() is None


def test_a_welcome_that_was_lost_is_sent_again() -> None:
    line = channel()
    line.hello("a", 0.0)
    line.due(0.0)
    assert line.due(0.25) == [Welcome("a", 0, 0, line.snapshot)]


def test_a_page_that_is_silent_for_ten_seconds_is_forgotten_and_welcomed_when_it_returns() -> None:
    line = channel()
    line.hello("a", 0.0, lab=True)
    line.due(0.0)
    assert line.lab
    line.due(10.0)
    assert line.pages == []
    assert not line.lab
    line.ack("a", 0, 20.0)
    assert line.due(20.0) == [Welcome("a", 0, 0, line.snapshot)]
    assert line.lab


def test_a_page_that_had_everything_is_not_forgotten_the_moment_something_is_new() -> None:
    line = channel()
    line.hello("a", 0.0, lab=True)
    line.due(0.0)
    line.ack("a", 0, 0.1)
    line.post(owner("a"))
    assert line.due(14.0) == [Ops("", 1, [owner("a")])]
    assert line.due(14.25) == [Ops("a", 1, [owner("a")])]
    assert line.next_due() == 14.5
    line.due(23.9)
    assert (line.pages, line.lab) == (["a"], True)
    line.due(24.0)
    assert line.pages == []
    assert line.next_due() is None


def test_a_forgotten_page_is_welcomed_at_any_sign_of_life() -> None:
    line = channel()
    line.hello("a", 0.0, lab=True)
    line.due(0.0)
    line.due(10.0)
    line.post(owner("a"))
    assert line.due(11.0) == [Ops("", 1, [owner("a")])]
    line.seen("a", 20.0)
    assert line.due(20.0) == [Welcome("a", 1, 0, line.snapshot)]
    assert (line.pages, line.lab) == (["a"], True)


def test_a_page_that_has_everything_is_never_forgotten() -> None:
    line = channel()
    line.hello("a", 0.0)
    line.due(0.0)
    line.ack("a", 0, 0.1)
    line.due(1e6)
    assert line.pages == ["a"]


def test_a_page_behind_more_than_is_kept_is_welcomed_instead() -> None:
    line = channel()
    line.hello("a", 0.0)
    line.due(0.0)
    line.ack("a", 0, 0.0)
    for _ in range(Channel.MAX_KEPT + 1):
        line.post(owner("a"))
    line.due(0.0)
    assert line.due(0.3) == [Welcome("a", Channel.MAX_KEPT + 1, 0, line.snapshot)]


def test_a_page_that_had_everything_has_ten_seconds_for_a_welcome_too() -> None:
    line = channel()
    line.hello("a", 0.0)
    line.due(0.0)
    line.ack("a", 0, 0.0)
    for _ in range(Channel.MAX_KEPT + 1):
        line.post(owner("a"))
    line.due(14.0)
    assert line.due(23.9) == [Welcome("a", Channel.MAX_KEPT + 1, 0, line.snapshot)]
    line.due(24.0)
    assert line.pages == []


def test_an_acknowledgement_from_the_future_is_ignored() -> None:
    line = channel()
    line.hello("a", 0.0)
    line.due(0.0)
    line.ack("a", 99, 0.1)
    assert line.next_due() == 0.25


def test_no_more_than_sixteen_pages_are_kept() -> None:
    line = channel()
    for number in range(40):
        line.hello(f"page {number}", float(number))
    assert line.pages == [f"page {number}" for number in range(24, 40)]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_is_lost_doubled_or_swapped_every_page_ends_with_the_kernels_state(data: st.DataObject) -> None:
    line = channel()
    pages = {name: Page() for name in ("a", "b")}
    wire: list[Ops | Welcome] = []
    now, gen = 0.0, 0
    for name in pages:
        line.hello(name, now)
    for step in range(data.draw(st.integers(1, 40))):
        now += data.draw(st.sampled_from([0.01, 0.1, 0.3]))
        match data.draw(st.sampled_from(["post", "flush", "lose", "double", "swap", "deliver", "deliver", "reload"])):
            case "post":
                op = {"op": "caption", "id": f"c{step % 5}", "role": "user", "text": str(step)}
                line.post({**op, "final": True, "heard": True})
            case "flush":
                gen += 1
                line.post({"op": "flush", "gen": gen})
            case "lose" if wire:
                wire.pop(data.draw(st.integers(0, len(wire) - 1)))
            case "double" if wire:
                wire.append(wire[data.draw(st.integers(0, len(wire) - 1))])
            case "swap" if wire:
                wire.append(wire.pop(0))
            case "reload":
                pages["a"] = Page()
                line.hello("a", now)
            case _:
                deliver(line, pages, wire, now)
        wire += line.due(now)
    for _ in range(6):
        deliver(line, pages, wire, now)
        now += 0.3
        wire += line.due(now)
    assert line.due(now + 5.0) == []
    for page in pages.values():
        assert page.snapshot == line.snapshot
        assert page.flushed == sorted(set(page.flushed))
        assert page.flushed[-1:] == ([gen] if gen else [])


def deliver(line: Channel, pages: dict[str, Page], wire: list[Ops | Welcome], now: float) -> None:
    while wire:
        message = wire.pop(0)
        for name, page in pages.items():
            if message.to in ("", name):
                page.take(message)
                if page.seq >= 0:
                    line.ack(name, page.seq, now)
