"""When a connection is made anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backchannel.agents.renewal import Renewal


def test_a_connection_without_a_limit_and_with_its_tools_is_left_alone():
    renewal = Renewal()
    renewal.connected(0.0)
    assert renewal.due(1e9, free=True) is None
    assert renewal.wake_at(0.0) is None


def test_it_is_renewed_ahead_of_the_limit_at_the_end_of_a_turn():
    renewal = Renewal(480.0)
    renewal.connected(100.0)
    assert renewal.due(100.0 + 419.9, free=True) is None
    assert renewal.due(100.0 + 420.0, free=False) is None
    assert "480 s" in str(renewal.due(100.0 + 420.0, free=True))


def test_the_end_of_a_turn_is_not_waited_for_past_the_limit():
    renewal = Renewal(480.0)
    renewal.connected(0.0)
    assert renewal.due(464.9, free=False) is None
    assert renewal.due(465.0, free=False) is not None


def test_new_tools_wait_for_the_end_of_a_turn():
    renewal = Renewal()
    renewal.connected(0.0)
    renewal.tools_changed()
    assert renewal.due(1.0, free=False) is None
    assert "tools" in str(renewal.due(1.0, free=True))
    renewal.tools_taken()
    assert renewal.due(1.0, free=True) is None


def test_what_could_not_be_done_is_put_off():
    renewal = Renewal(480.0)
    renewal.connected(0.0)
    renewal.put_off(430.0, 5.0)
    assert renewal.due(434.0, free=True) is None
    assert renewal.due(435.0, free=True) is not None


def test_new_tools_that_could_not_be_given_are_put_off_too_and_somebody_wakes_up_for_it():
    renewal = Renewal()
    renewal.connected(0.0)
    renewal.tools_changed()
    renewal.put_off(10.0, 5.0)
    assert renewal.due(14.0, free=True) is None
    assert renewal.wake_at(10.0) == 15.0
    assert renewal.due(15.0, free=True) is not None


@given(st.floats(1, 1e5), st.floats(0, 1e6))
def test_whoever_wakes_when_told_renews_before_the_limit(limit: float, start: float) -> None:
    renewal = Renewal(limit)
    renewal.connected(start)
    now = start
    while renewal.due(now, free=False) is None:
        at = renewal.wake_at(now)
        assert at is not None
        assert at > now
        now = at
    assert now < start + limit
