"""When a conversation hears of a running task."""

from __future__ import annotations

import itertools
import math
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import ToolDefinitionError
from backchannel.tasks import AsyncToolManager, Task, async_tool, progress, track
from backchannel.tasks.milestones import Milestones, MilestoneWatch, rule_fault


def test_a_model_is_told_at_each_quarter_once_and_not_at_the_end() -> None:
    machine, told = Milestones(), []
    for step in range(101):
        machine.progressed("a", step / 100, None, step)
        told += [(step, *entry) for entry in machine.take(step)]
    assert told == [(25, "a", False), (50, "a", False), (75, "a", False)]


def test_a_jump_over_quarters_is_told_once() -> None:
    machine = Milestones()
    assert machine.progressed("a", 0.1, None, 0.0) is False
    assert machine.progressed("a", 0.8, None, 1.0) is True
    assert machine.progressed("a", 0.3, None, 2.0) is False
    assert machine.take(2.0) == [("a", False)]
    assert machine.take(3.0) == []


def test_an_unknown_total_has_no_quarters() -> None:
    machine = Milestones()
    assert not machine.progressed("a", None, "quarters", 0.0)
    assert machine.next_due(0.0) is None


def test_a_voice_says_quarters_where_it_is_asked_to() -> None:
    machine = Milestones(gap_s=0.0)
    machine.progressed("a", 0.25, "quarters", 1.0)
    machine.progressed("b", 0.25, None, 1.0)
    assert machine.take(1.0) == [("a", True), ("b", False)]


def test_a_voice_says_it_every_so_many_seconds() -> None:
    machine, said = Milestones(gap_s=0.0), []
    machine.started("a", 0.0)
    for second in range(31):
        machine.progressed("a", None, 10, float(second))
        said += [second for _ in machine.take(float(second))]
    assert said == [10, 20, 30]


def test_a_voice_says_it_every_so_many_seconds_also_of_a_task_that_reports_nothing() -> None:
    machine = Milestones(gap_s=0.0)
    assert machine.started("a", 0.0, 10)
    assert not machine.started("b", 0.0, "quarters")
    assert machine.next_due(1.0) == 10.0
    assert machine.take(9.9) == []
    assert machine.take(10.0) == [("a", True)]
    assert machine.next_due(10.0) == 20.0
    machine.ended("a")
    assert machine.next_due(10.0) is None


def test_spoken_milestones_keep_a_distance_and_none_is_lost() -> None:
    machine = Milestones(gap_s=10.0)
    machine.progressed("a", 0.25, "quarters", 0.0)
    assert machine.take(0.0) == [("a", True)]
    machine.progressed("b", 0.25, "quarters", 1.0)
    machine.progressed("c", 0.25, "quarters", 2.0)
    assert machine.next_due(2.0) == 2.0
    assert machine.take(2.0) == [("b", False), ("c", False)]
    assert machine.next_due(2.0) == 10.0
    assert machine.take(9.9) == []
    assert machine.take(10.0) == [("b", True), ("c", True)]
    assert machine.next_due(10.0) is None


def test_of_a_task_that_ended_nothing_is_told() -> None:
    machine = Milestones()
    machine.progressed("a", 0.5, "quarters", 0.0)
    machine.ended("a")
    machine.ended("never there")
    assert machine.take(0.0) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.none() | st.floats(0, 1),
            st.sampled_from([None, "quarters", 3.0]),
            st.floats(0, 5),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_whatever_comes_spoken_ones_keep_their_distance_and_quarters_are_told_at_most_thrice(events: Any) -> None:
    machine, now, spoken, silent = Milestones(gap_s=10.0), 0.0, [], {"a": 0, "b": 0, "c": 0}
    for name, fraction, rule, passed, takes in events:
        now += passed
        machine.progressed(name, fraction, rule, now)
        if not takes:
            continue
        taken = machine.take(now)
        assert len({task for task, _ in taken}) == len(taken)
        if any(aloud for _, aloud in taken):
            spoken.append(now)
        for task, aloud in taken:
            silent[task] += not aloud
    assert all(later - earlier >= 10.0 - 1e-6 for earlier, later in itertools.pairwise(spoken))
    assert max(silent.values()) <= 3
    if machine.next_due(now) is None:
        assert machine.take(now) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["started", "progressed", "take"]),
            st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1)),
            st.sampled_from([None, "quarters", 5.0]),
            st.floats(0, 20),
        ),
        max_size=30,
    )
)
def test_a_report_that_is_no_news_would_change_nothing(events: Any) -> None:
    asked, everything = Milestones(gap_s=3.0), Milestones(gap_s=3.0)
    now = 0.0
    for kind, fraction, rule, pause in events:
        now += pause
        if kind == "started":
            assert asked.started("a", now, rule) == everything.started("a", now, rule)
        elif kind == "take":
            assert asked.take(now) == everything.take(now)
        else:
            due = asked.is_news("a", fraction, rule) and asked.progressed("a", fraction, rule, now)
            assert due == everything.progressed("a", fraction, rule, now)
        assert asked.next_due(now) == everything.next_due(now)
    assert asked.take(now) == everything.take(now)


def test_a_watch_wakes_and_tells_how_far_it_is() -> None:
    woken, go, half = [], threading.Event(), threading.Event()
    with AsyncToolManager() as manager:
        watch = MilestoneWatch(manager, lambda: woken.append(True))

        def work() -> None:
            """Work."""
            for step in track(range(4), "steps"):
                if step == 2:
                    half.set()
                    go.wait(10)

        task: Task = async_tool(manager, milestones="quarters")(work)()
        assert half.wait(10)
        (milestone,) = watch.take()
        go.set()
        assert task.wait(10)
        assert (milestone.task_id, milestone.fraction, milestone.aloud) == (task.id, 0.5, True)
        assert milestone.text.startswith("Task 1, work: 50 percent")
        assert len(woken) >= 1
        assert watch.take() == []
        assert watch.next_due_s() is None
        watch.close()


def test_a_watch_says_how_far_a_task_is_now_until_it_ends() -> None:
    begun, go = threading.Event(), threading.Event()

    def work() -> None:
        """Work."""
        begun.set()
        go.wait(10)

    with AsyncToolManager() as manager:
        woken: list[bool] = []
        watch = MilestoneWatch(manager, lambda: woken.append(True))
        task = async_tool(manager, milestones=0.001)(work)()
        assert begun.wait(10)
        assert woken == [True]
        due = watch.next_due_s()
        assert due is not None
        assert due <= 0.001
        milestone = watch.now(task.id)
        assert milestone is not None
        assert milestone.text == "Task 1, work: running for less than a second."
        assert watch.now("no such task") is None
        go.set()
        assert task.wait(10)
        assert watch.now(task.id) is None
        watch.close()


def test_a_watch_follows_only_what_it_wants() -> None:
    woken: list[bool] = []
    with AsyncToolManager() as manager:
        watch = MilestoneWatch(manager, lambda: woken.append(True), wants=lambda task: task.owner == "me")

        def work() -> None:
            """Work."""
            progress(3, 4)

        assert async_tool(manager)(work)().wait(10)
        watch.close()
    assert woken == []


@pytest.mark.parametrize("rule", [0, -1, math.nan, math.inf, True, "halves", [1]])
def test_what_is_no_rule_is_refused(rule: Any) -> None:
    assert "milestones=" in rule_fault(rule)

    def work() -> None:
        """Work."""

    decorate = async_tool(milestones=rule)
    with pytest.raises(ToolDefinitionError, match="milestones="):
        decorate(work)


@pytest.mark.parametrize("rule", [None, "quarters", 1, 0.5])
def test_rules(rule: Any) -> None:
    assert rule_fault(rule) == ""


def test_a_watch_follows_tasks_that_run_already() -> None:
    begun, go = threading.Event(), threading.Event()

    def work() -> None:
        """Work."""
        begun.set()
        assert go.wait(10)

    woken: list[bool] = []
    with AsyncToolManager() as manager:
        task = async_tool(manager, milestones=1000)(work)()
        assert begun.wait(10)
        watch = MilestoneWatch(manager, lambda: woken.append(True))
        assert woken == [True]
        due = watch.next_due_s()
        assert due is not None
        assert 900 < due <= 1000
        go.set()
        assert task.wait(10)
        assert watch.next_due_s() is None
        watch.close()
