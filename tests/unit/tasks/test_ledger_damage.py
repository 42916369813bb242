"""Entries that are well-formed and wrong: nothing raises, and the rest is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.cli.task_rows import row_of
from backchannel.errors import SessionDamagedError, SessionVersionError
from backchannel.journal.lines import encode_line
from backchannel.tasks.ledger_reader import read_ledger
from backchannel.tasks.ledger_state import LedgerState, fold

KINDS = ["task.created", "task.started", "task.placed", "task.deferred", "task.progressed", "task.ended", "task.told"]
NAMES = [
    "number", "tool", "label", "arguments", "where", "options", "at", "status", "done", "total", "message", "text",
    "elapsed", "every_s", "poll", "agent", "tokens", "by", "highest", "value", "told", "reason", "superseded_by",
]  # fmt: skip
WRONG = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just(10**400), st.just(-(10**400))
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)
GOOD = {"kind": "task.created", "id": "good", "number": 1, "tool": "load", "at": 1.0}


ENTRIES = st.fixed_dictionaries(
    {"kind": st.sampled_from(KINDS), "id": st.sampled_from(["a", "good"])}, optional=dict.fromkeys(NAMES, WRONG)
)


@given(st.lists(ENTRIES, max_size=12))
def test_wrong_entries_leave_what_is_right(entries: list[dict[str, Any]]):
    state = fold([GOOD, *entries])
    assert state.tasks["good"].tool == "load"
    again = LedgerState()
    for entry in state.entries():
        again.apply(entry)
    assert list(again.tasks) == list(state.tasks)
    for record in state.tasks.values():
        row_of(record, alive=False, now=2.0, numbers={})


OPENED = {"kind": "journal.opened", "layout": 1, "format": "tasks", "version": 1, "epoch": 1, "writer": "w"}


@pytest.mark.parametrize("name", ["layout", "version"])
@pytest.mark.parametrize("wrong", [None, "1", 1.0, [], {}, True])
def test_a_beginning_of_the_wrong_type_is_damage_and_not_a_newer_version(tmp_path: Path, name: str, wrong: Any):
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(encode_line(0, {**OPENED, name: wrong}))
    with pytest.raises(SessionDamagedError, match=r"line 1 of .* restore it from a copy"):
        read_ledger(path)
    path.write_bytes(encode_line(0, {**OPENED, name: 99}))
    with pytest.raises(SessionVersionError, match="newer version"):
        read_ledger(path)
