from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from backchannel.notebook.board_state import BoardRows, RowBudget
from backchannel.notebook.wire import Rows


def row(name: str, status: str = "running", **fields: Any) -> dict[str, Any]:
    empty = {"number": 1, "tool": "t", "label": "t", "fraction": None, "done": None, "total": None, "message": ""}
    return {"id": name, "status": status, **empty, "eta_s": None, "elapsed_s": 0.0, "text": "", "error": "", **fields}


class Page:
    """Applies as js/src/state.ts does."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.version = 0

    def take(self, message: Rows) -> None:
        if message.version < self.version:
            return
        for whole in message.rows:
            self.rows[whole["id"]] = whole
        for name, done, total, fraction, eta_s, elapsed_s, text in message.moves:
            if name in self.rows:
                moved = {"done": done, "total": total, "fraction": fraction, "eta_s": eta_s, "elapsed_s": elapsed_s}
                self.rows[name] = {**self.rows[name], **moved, "message": text}
        self.version = message.version


def test_a_new_row_is_sent_whole_and_then_only_its_progress() -> None:
    rows = BoardRows()
    rows.put(row("a"))
    assert rows.message(0.0) == Rows("", 1, [row("a")], [])
    rows.move("a", 8, 20, 0.4, 11.5, 7.7, "epochs")
    assert rows.message(1.0) == Rows("", 2, [], [["a", 8, 20, 0.4, 11.5, 7.7, "epochs"]])


def test_many_moves_between_two_messages_are_one() -> None:
    rows = BoardRows()
    rows.put(row("a"))
    rows.message(0.0)
    for done in range(100):
        rows.move("a", done, 100, done / 100, None, 1.0, "")
    assert len(rows.message(1.0).moves) == 1
    assert not rows.due(2.0)


def test_a_row_that_did_not_change_is_not_sent() -> None:
    rows = BoardRows()
    rows.put(row("a"))
    rows.message(0.0)
    rows.put(row("a"))
    assert not rows.due(1.0)


def test_what_a_page_has_not_acknowledged_is_sent_again_whole_where_it_lacks_the_whole() -> None:
    rows = BoardRows()
    rows.hello("p", 0.0)
    rows.put(row("a"))
    rows.message(0.0)
    rows.move("a", 1, 2, 0.5, None, 1.0, "")
    assert [item["done"] for item in rows.message(0.1).rows] == [1]
    rows.ack("p", 2, 0.2)
    rows.move("a", 2, 2, 1.0, None, 2.0, "")
    lost = rows.message(0.3)
    assert (lost.rows, len(lost.moves)) == ([], 1)
    assert not rows.due(0.5)
    assert rows.due(0.55)
    assert rows.message(0.55) == lost
    rows.ack("p", 3, 0.6)
    assert rows.next_due() is None


def test_a_silent_page_is_forgotten_and_given_everything_when_it_returns() -> None:
    rows = BoardRows()
    rows.hello("p", 0.0, lab=True)
    rows.put(row("a"))
    rows.message(0.0)
    assert rows.lab
    assert not rows.due(10.0)
    assert rows.pages == []
    assert not rows.lab
    rows.ack("p", 0, 20.0)
    assert rows.lab
    assert rows.due(20.25)
    assert rows.message(20.25).rows == [row("a")]


def test_a_page_that_had_everything_is_not_forgotten_the_moment_a_row_is_new() -> None:
    rows = BoardRows()
    rows.hello("p", 0.0, lab=True)
    rows.ack("p", 0, 0.1)
    rows.put(row("a"))
    rows.message(14.0)
    assert not rows.due(14.1)
    assert (rows.pages, rows.lab) == (["p"], True)
    assert rows.due(14.25)
    rows.message(14.25)
    rows.due(23.9)
    assert rows.pages == ["p"]
    rows.due(24.0)
    assert rows.pages == []


def test_patience_counts_from_the_last_sign_of_life_while_a_page_is_behind() -> None:
    rows = BoardRows()
    rows.hello("p", 0.0)
    rows.put(row("a"))
    rows.message(0.0)
    rows.put(row("b"))
    rows.message(1.0)
    rows.ack("p", 1, 8.0)
    rows.due(17.9)
    assert rows.pages == ["p"]
    rows.due(18.0)
    assert rows.pages == []


def test_a_forgotten_page_delays_nothing_and_keeps_no_rows() -> None:
    rows = BoardRows()
    rows.hello("p", 0.0)
    for number in range(BoardRows.MAX_ROWS):
        rows.put(row(str(number), "done"))
    rows.message(0.0)
    rows.due(10.0)
    assert rows.next_due() is None
    rows.put(row("new"))
    assert rows.message(10.0).rows == [row("new")]
    assert len(rows) == BoardRows.MAX_ROWS


def test_no_more_than_sixteen_pages_are_kept() -> None:
    rows = BoardRows()
    for number in range(40):
        rows.hello(f"page {number}", float(number))
    assert rows.pages == [f"page {number}" for number in range(24, 40)]


def test_active_rows_are_counted() -> None:
    rows = BoardRows()
    rows.put(row("a", "queued"))
    rows.put(row("b"))
    assert rows.active == 2
    rows.put(row("a", "done"))
    rows.put(row("b", "failed"))
    assert rows.active == 0


def test_the_oldest_finished_rows_go_when_there_are_too_many() -> None:
    rows = BoardRows()
    rows.put(row("busy"))
    for number in range(BoardRows.MAX_ROWS + 5):
        rows.put(row(str(number), "done"))
    names = [item["id"] for item in rows.rows]
    assert len(names) == BoardRows.MAX_ROWS
    assert names[:2] == ["busy", "6"]


def test_an_end_that_a_page_does_not_know_is_kept_however_many_rows_there_are() -> None:
    rows = BoardRows()
    rows.hello("page", 0.0)
    for number in range(BoardRows.MAX_ROWS + 5):
        rows.put(row(str(number)))
    rows.ack("page", rows.message(0.0).version, 0.0)
    rows.put(row("0", "done"))
    rows.put(row("new"))
    told = rows.message(1.0)
    assert [(item["id"], item["status"]) for item in told.rows] == [("0", "done"), ("new", "running")]
    rows.ack("page", told.version, 1.0)
    rows.put(row("newer"))
    assert "0" not in {item["id"] for item in rows.rows}


def test_rows_that_ended_are_forgotten_when_there_were_too_many_under_way() -> None:
    rows = BoardRows()
    for number in range(BoardRows.MAX_ROWS + 500):
        rows.put(row(str(number)))
    for number in range(BoardRows.MAX_ROWS + 500):
        rows.put(row(str(number), "done"))
    assert len(rows) == BoardRows.MAX_ROWS
    assert rows.rows[0]["id"] == "500"


def test_a_move_of_an_unknown_row_is_reported() -> None:
    assert not BoardRows().move("a", 1, 2, 0.5, None, 1.0, "")


def test_the_budget_allows_thirty_messages_a_second_and_fewer_when_they_are_large() -> None:
    budget = RowBudget(messages=30, rows=6000)
    budget.spend(1, 10.0)
    assert budget.next_free() == 10.0 + 1 / 30
    budget.spend(1000, 10.0)
    assert budget.next_free() == 10.0 + 1000 / 6000


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_is_lost_every_page_ends_with_the_kernels_rows(data: st.DataObject) -> None:
    rows, pages = BoardRows(), {"p": Page(), "q": Page()}
    now = 0.0
    for name in pages:
        rows.hello(name, now)
    for step in range(data.draw(st.integers(1, 30))):
        now += 0.1
        name = data.draw(st.sampled_from("abc"))
        match data.draw(st.sampled_from(["put", "move", "end"])):
            case "put":
                rows.put(row(name, text=str(step)))
            case "move":
                rows.move(name, step, None, None, None, float(step), "")
            case _:
                rows.put(row(name, "done", text=str(step)))
        if rows.due(now):
            message = rows.message(now)
            for page_name, page in pages.items():
                if data.draw(st.booleans()):
                    page.take(message)
                    rows.ack(page_name, page.version, now)
    now += 1.0
    if rows.due(now):
        message = rows.message(now)
        for page_name, page in pages.items():
            page.take(message)
            rows.ack(page_name, page.version, now)
    assert rows.next_due() is None
    for page in pages.values():
        assert page.rows == {item["id"]: item for item in rows.rows}
