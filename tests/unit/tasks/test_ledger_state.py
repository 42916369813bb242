"""What the entries of a task ledger say."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backchannel.tasks.ledger_state import LedgerState, TaskRecord, fold

Entry = dict[str, Any]


def created(task_id: str = "aa", number: int = 1, **more: Any) -> Entry:
    return {
        "kind": "task.created",
        "id": task_id,
        "number": number,
        "tool": "train",
        "label": "train sales",
        "arguments": {"dataset": "sales"},
        "where": {"kind": "thread"},
        "options": {"timeout": 60.0},
        "deferred": False,
        "owned": True,
        "announce": "when_free",
        "at": 100.0,
        **more,
    }


def ended(task_id: str = "aa", status: str = "done", **more: Any) -> Entry:
    said = {"at": 110.0, "status": status, "elapsed": 9.0, "text": "4 percent", "whole": True, "reason": ""}
    return {"kind": "task.ended", "id": task_id, **said, **more}


def the_one(*entries: Entry) -> TaskRecord:
    state = fold(entries)
    (record,) = state.tasks.values()
    return record


def test_a_task_that_was_asked_for_is_queued() -> None:
    record = the_one(created())
    assert (record.id, record.number, record.tool, record.label) == ("aa", 1, "train", "train sales")
    assert record.arguments == {"dataset": "sales"}
    assert record.status == "queued"
    assert not record.ended


def test_it_runs_from_its_start_to_its_end() -> None:
    started = {"kind": "task.started", "id": "aa", "at": 101.0}
    moved = {"kind": "task.progressed", "id": "aa", "at": 105.0, "done": 3, "total": 4, "message": "epochs"}
    assert the_one(created(), started).status == "running"
    record = the_one(created(), started, moved, ended(value=[1, 2]))
    assert (record.status, record.started, record.finished, record.elapsed) == ("done", 101.0, 110.0, 9.0)
    assert (record.has_value, record.value, record.text) == (True, [1, 2], "4 percent")
    assert record.progress == {"done": 3, "total": 4, "message": "epochs"}
    assert record.owed


def test_the_first_end_counts() -> None:
    record = the_one(created(), ended(), ended(status="lost", at=120.0))
    assert (record.status, record.finished) == ("done", 110.0)


def test_what_comes_after_the_end_does_not_make_it_run_again() -> None:
    record = the_one(created(), ended(), {"kind": "task.started", "id": "aa", "at": 111.0})
    assert record.status == "done"


def test_a_result_that_is_told_is_not_owed_and_one_that_was_only_announced_is() -> None:
    announced = the_one(created(), ended(), {"kind": "task.announced", "id": "aa"})
    assert announced.announced
    assert announced.owed
    told = the_one(created(), ended(), {"kind": "task.told", "id": "aa"})
    assert not told.owed
    taken_back = the_one(created(), {"kind": "task.told", "id": "aa"}, {"kind": "task.told", "id": "aa", "told": False})
    assert not taken_back.told


def test_nobody_owes_what_is_never_to_be_announced_or_what_nobody_asked_for() -> None:
    assert not the_one(created(announce="never"), ended()).owed
    assert not the_one(created(owned=False), ended()).owed
    assert the_one(created(owned=False), ended(owned=True)).owed


def test_a_deferred_task_is_outside() -> None:
    entry = {"kind": "task.deferred", "id": "aa", "poll": True, "every_s": 2.0, "handle": {"job": "j-1"}}
    record = the_one(created(), entry, {"kind": "task.token", "id": "aa", "sha256": "00"})
    assert record.outside == {"poll": True, "every_s": 2.0, "handle": {"job": "j-1"}}
    assert record.tokens == ["00"]
    assert record.status == "running"


def test_numbers_go_on_after_the_highest_that_was_ever_given() -> None:
    assert fold([created(number=7), created("bb", 3)]).highest == 7
    assert fold([{"kind": "task.numbered", "highest": 40}, created(number=7)]).highest == 40


def test_pruning_keeps_the_last_ended_those_under_way_and_those_that_are_owed() -> None:
    entries: list[Entry] = []
    for index in range(10):
        entries += [created(f"t{index}", index + 1, owned=index == 0), ended(f"t{index}", at=200.0 + index)]
    state = fold([created("open", 11), *entries])
    assert state.prune(kept=3) == 6
    assert list(state.tasks) == ["open", "t0", "t7", "t8", "t9"]
    assert state.highest == 11


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
kinds = st.sampled_from(
    ["created", "started", "placed", "deferred", "token", "progressed", "ended", "announced", "told", "run_again"]
)
fields = st.sampled_from(
    ["number", "tool", "label", "arguments", "where", "at", "status", "elapsed", "text", "value", "by", "told"]
)
strange = st.builds(
    lambda kind, task_id, more: {"kind": f"task.{kind}", "id": task_id, **more},
    kinds,
    st.sampled_from(["aa", "bb", "cc"]),
    st.dictionaries(fields, anything | st.lists(anything, max_size=2) | st.dictionaries(st.text(), anything)),
)
sensible = st.builds(
    lambda task_id, kind, number, at: {
        "created": created(task_id, number, at=at),
        "started": {"kind": "task.started", "id": task_id, "at": at},
        "deferred": {"kind": "task.deferred", "id": task_id, "poll": False},
        "progressed": {"kind": "task.progressed", "id": task_id, "at": at, "done": 1, "total": 2, "message": ""},
        "ended": ended(task_id, at=at, value={"a": 1}),
        "failed": ended(task_id, "failed", at=at, error_type="ValueError", error="no"),
        "announced": {"kind": "task.announced", "id": task_id},
        "told": {"kind": "task.told", "id": task_id},
        "token": {"kind": "task.token", "id": task_id, "sha256": "ff"},
        "run_again": {"kind": "task.run_again", "id": task_id, "by": "zz"},
    }[kind],
    st.sampled_from(["aa", "bb", "cc"]),
    st.sampled_from(
        ["created", "started", "deferred", "progressed", "ended", "failed", "announced", "told", "token", "run_again"]
    ),
    st.integers(1, 50),
    st.floats(1, 1e9),
)


@given(st.lists(strange | sensible, max_size=30))
def test_any_beginning_of_any_entries_folds_and_an_end_stays_an_end(entries: list[Entry]) -> None:
    state = LedgerState()
    endings: dict[str, tuple[str, float | None]] = {}
    for entry in entries:
        state.apply(entry)
        for task_id, ending in endings.items():
            record = state.tasks[task_id]
            assert (record.status, record.finished) == ending
        endings |= {record.id: (record.status, record.finished) for record in state.tasks.values() if record.ended}
        for record in state.tasks.values():
            assert record.ended == (record.status not in ("queued", "running"))
            assert record.number <= state.highest


@given(st.lists(sensible, max_size=40))
def test_the_fewest_entries_say_the_same(entries: list[Entry]) -> None:
    state = fold(entries)
    again = fold(state.entries())
    assert again.highest == state.highest
    assert again.tasks == state.tasks
