"""The life of a task."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.tasks.lifecycle import (
    CancelRequested,
    Command,
    EndRequested,
    Fact,
    Life,
    Raised,
    Rejected,
    Resolved,
    RetryDue,
    Returned,
    Started,
    TimeoutReached,
    Vanished,
    step,
)

RUN, STOP, SETTLE = Command.RUN, Command.STOP, Command.SETTLE
PAUSE, QUEUE, AWAIT = Command.PAUSE, Command.QUEUE, Command.AWAIT
AGAIN = [RUN, PAUSE, QUEUE, RUN]


def live(*facts: Fact) -> tuple[Life, list[Command]]:
    life, ordered = Life(0.0), []
    for fact in facts:
        life, commands = step(life, fact)
        ordered.extend(commands)
    return life, ordered


@pytest.mark.parametrize(
    ("facts", "state", "ordered"),
    [
        ([], "queued", []),
        ([Started(1)], "running", [RUN]),
        ([Started(1), Returned(2)], "done", [RUN, SETTLE]),
        ([Started(1), Raised(2)], "failed", [RUN, SETTLE]),
        ([Started(1), Raised(2, stopped=True)], "cancelled", [RUN, SETTLE]),
        ([Started(1), CancelRequested(2)], "cancelled", [RUN, STOP, SETTLE]),
        ([Started(1), TimeoutReached(2)], "timed_out", [RUN, STOP, SETTLE]),
        ([CancelRequested(1)], "cancelled", [SETTLE]),
        ([Raised(1, stopped=True)], "cancelled", [SETTLE]),
        ([Started(1), Raised(2, retry=True)], "running", [RUN, PAUSE]),
        ([Started(1), Raised(2, retry=True), RetryDue(3)], "running", [RUN, PAUSE, QUEUE]),
        ([Started(1), Raised(2, retry=True), RetryDue(3), Started(4), Returned(5)], "done", [*AGAIN, SETTLE]),
        ([Started(1), Raised(2, retry=True), CancelRequested(3)], "cancelled", [RUN, PAUSE, SETTLE]),
        ([Started(1), Raised(2, retry=True), TimeoutReached(3)], "timed_out", [RUN, PAUSE, SETTLE]),
        ([Started(1), Returned(2, deferred=True)], "running", [RUN, AWAIT]),
        ([Started(1), Returned(2, deferred=True), Resolved(3)], "done", [RUN, AWAIT, SETTLE]),
        ([Started(1), Returned(2, deferred=True), Rejected(3)], "failed", [RUN, AWAIT, SETTLE]),
        ([Started(1), Returned(2, deferred=True), TimeoutReached(3)], "timed_out", [RUN, AWAIT, SETTLE]),
        ([Started(1), Resolved(2), Returned(3, deferred=True)], "done", [RUN, SETTLE]),
        ([Rejected(1)], "failed", [SETTLE]),
        ([Vanished(1)], "lost", [SETTLE]),
        ([Started(1), Vanished(2)], "lost", [RUN, SETTLE]),
        ([Started(1), Returned(2, deferred=True), Vanished(3)], "lost", [RUN, AWAIT, SETTLE]),
        ([Started(1), EndRequested(2, "exit")], "running", [RUN, STOP]),
        ([Started(1), EndRequested(2, "exit"), EndRequested(3, "exit")], "running", [RUN, STOP]),
        ([Started(1), EndRequested(2, "exit"), Returned(3)], "done", [RUN, STOP, SETTLE]),
        ([Started(1), EndRequested(2, "exit"), Raised(3)], "cancelled", [RUN, STOP, SETTLE]),
        ([Started(1), EndRequested(2, "exit"), Raised(3, retry=True)], "cancelled", [RUN, STOP, SETTLE]),
        ([Started(1), EndRequested(2, "exit"), Raised(3, "loop", stopped=True)], "cancelled", [RUN, STOP, SETTLE]),
        ([Started(1), EndRequested(2, "exit"), Vanished(3)], "lost", [RUN, STOP, SETTLE]),
        ([EndRequested(1, "exit")], "queued", []),
    ],
)
def test_each_way_through_life(facts: list[Fact], state: str, ordered: list[Command]) -> None:
    life, commands = live(*facts)
    assert life.state == state
    assert commands == ordered
    assert life.ended == (state not in ("queued", "running"))


def test_a_result_after_a_cancel_is_dropped() -> None:
    life, commands = live(Started(1), CancelRequested(2, "enough"), Returned(3))
    assert (life.state, life.reason, life.finished) == ("cancelled", "enough", 2)
    assert commands == [RUN, STOP, SETTLE]


def test_a_body_that_is_cancelled_while_it_waits_never_runs() -> None:
    assert RUN not in live(CancelRequested(1), Started(2))[1]


def test_a_time_out_before_the_start_is_none() -> None:
    assert live(TimeoutReached(1)) == (Life(0.0), [])


def test_a_body_cannot_end_before_it_starts() -> None:
    assert live(Returned(1), Raised(1)) == (Life(0.0), [])


def test_a_second_start_orders_nothing() -> None:
    assert live(Started(1), Started(2)) == (Life(0.0, "running", 1, attempts=1, phase="body"), [RUN])


def test_elapsed_counts_from_the_start_to_the_end() -> None:
    assert live(CancelRequested(5))[0].elapsed(9) == 0
    assert live(Started(2))[0].elapsed(9) == 7
    assert live(Started(2), Returned(5))[0].elapsed(9) == 3


TIMES = st.floats(min_value=0, max_value=1e6)
FACTS = st.one_of(
    st.builds(Started, TIMES),
    st.builds(Returned, TIMES, st.booleans()),
    st.builds(Raised, TIMES, st.text(max_size=3), st.booleans(), st.booleans()),
    st.builds(RetryDue, TIMES),
    st.builds(Resolved, TIMES),
    st.builds(Rejected, TIMES, st.text(max_size=3)),
    st.builds(CancelRequested, TIMES, st.text(max_size=3)),
    st.builds(TimeoutReached, TIMES, st.text(max_size=3)),
)


@given(st.lists(FACTS, max_size=12))
def test_whatever_the_order_a_task_runs_once_and_ends_once(facts: list[Fact]) -> None:
    life, ordered = Life(0.0), []
    for fact in facts:
        before = life
        life, commands = step(before, fact)
        if before.ended:
            assert (life, commands) == (before, ())
        assert (SETTLE in commands) == (life.ended and not before.ended)
        assert STOP not in commands or before.phase == "body"
        assert (RUN in commands) == (life.attempts == before.attempts + 1)
        ordered.extend(commands)
    assert (
        ordered.count(RUN)
        == life.attempts
        == ordered.count(QUEUE) + (life.started is not None) - (life.phase == "waiting" and life.attempts > 0)
    )
    assert ordered.count(PAUSE) - (life.phase == "pause") == ordered.count(QUEUE)
    assert ordered.count(SETTLE) == life.ended
    assert ordered.count(STOP) <= 1
    assert life.ended == (life.state not in ("queued", "running"))


@given(st.lists(FACTS, max_size=12), TIMES)
def test_a_cancel_always_ends_a_task(facts: list[Fact], at: float) -> None:
    assert live(*facts, CancelRequested(at))[0].ended


def test_a_further_attempt_keeps_the_time_of_the_first_start():
    life, _ = live(Started(1), Raised(2, retry=True), RetryDue(5), Started(6))
    assert (life.started, life.attempts, life.elapsed(9)) == (1, 2, 8)


@given(st.lists(FACTS, max_size=12), TIMES)
def test_elapsed_is_never_negative(facts: list[Fact], now: float) -> None:
    assert live(*facts)[0].elapsed(now) >= 0


def test_what_was_asked_to_end_says_why_it_was_cancelled() -> None:
    life, _ = live(Started(1), EndRequested(2, "the interpreter ended"), Raised(3))
    assert life.reason == "the interpreter ended"
    stopped, _ = live(Started(1), EndRequested(2, "the interpreter ended"), Raised(3, "its loop", stopped=True))
    assert stopped.reason == "the interpreter ended"
