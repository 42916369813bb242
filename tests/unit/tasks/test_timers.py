"""Functions called at a time."""

from __future__ import annotations

import threading

import pytest

from backchannel.tasks.timers import Timers

WAIT = 10


def test_timers_fire_in_the_order_of_their_time() -> None:
    timers, order, done = Timers(), [], threading.Event()
    timers.after(0.06, lambda: (order.append("late"), done.set()))
    timers.after(0.01, lambda: order.append("early"))
    assert done.wait(WAIT)
    assert order == ["early", "late"]


def test_a_cancelled_timer_does_not_fire() -> None:
    timers, fired, done = Timers(), [], threading.Event()
    cancelled = timers.after(0.01, lambda: fired.append(1))
    timers.after(0.05, done.set)
    cancelled.cancel()
    cancelled.cancel()
    assert done.wait(WAIT)
    assert fired == []


def test_a_timer_that_raises_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    timers, done = Timers(), threading.Event()
    timers.after(0.001, lambda: 1 / 0)
    timers.after(0.01, done.set)
    assert done.wait(WAIT)
    assert "ZeroDivisionError" in caplog.text


def test_timers_work_again_after_there_were_none() -> None:
    timers = Timers()
    for _ in range(3):
        done = threading.Event()
        timers.after(0.001, done.set)
        assert done.wait(WAIT)


def test_many_cancelled_timers_are_not_kept() -> None:
    timers = Timers()
    for _ in range(1000):
        timers.after(3600, lambda: None).cancel()
    assert len(timers._heap) < 200
