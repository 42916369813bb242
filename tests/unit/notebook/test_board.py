"""One board and its pages, without a loop: the clock is an argument."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from backchannel.notebook import widget as widget_module
from backchannel.notebook.board import Board
from backchannel.notebook.results import Form
from backchannel.notebook.routing import Routing
from backchannel.notebook.wire import VIEW_MIMETYPE, Ack, Hello, Output, ToPage, Welcome

FORM = Form("d1", {"text/html": "<table></table>"}, {})


def row(name: str, status: str = "running", done: int = 0) -> dict[str, Any]:
    empty = {"number": 1, "tool": "t", "label": "t", "message": "", "text": "", "error": "", "eta_s": None}
    return {"id": name, "status": status, "fraction": done / 100, "done": done, "total": 100, "elapsed_s": 0.0, **empty}


class Notebook:
    """A board, its pump's work at a time of the test's own, and what came of it."""

    def __init__(self) -> None:
        self.now = 1.0
        self.told: list[ToPage] = []
        self.published: list[dict[str, Any]] = []
        results = SimpleNamespace(show=lambda: None, forms=[FORM])
        self.board = Board(
            hint="",
            submit=lambda call, *arguments: call(*arguments),
            routing=Routing(None),
            publish=lambda data, _display_id, _update: self.published.append(data),
            cancel=lambda _: None,
            again=lambda _: None,
            reruns=SimpleNamespace(),  # type: ignore[arg-type]
            kept=lambda: False,
            changed=lambda: None,
            clock=lambda: self.now,
            results=results,  # type: ignore[arg-type]
        )
        self.board.widget.tell = self._tell  # type: ignore[method-assign]
        self.board.show()

    def _tell(self, message: ToPage, audio: bytes | None = None) -> None:
        self.told.append(message)

    def step(self, seconds: float = 0.01) -> None:
        """Do what the pump does."""
        self.now += seconds
        if self.board.rows.due(self.now):
            self.board.send(self.now)
        due = self.board.next_save()
        if due is not None and due <= self.now:
            self.board.save(self.now)

    def outputs(self) -> list[Output]:
        return [message for message in self.told if isinstance(message, Output)]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    monkeypatch.setattr(widget_module, "built_text", lambda name: "")
    return Notebook()


@pytest.mark.parametrize("idle", [0.5, 9.9, 14.0, 3600.0])
def test_a_board_that_was_quiet_for_long_stays_live_when_a_run_begins(notebook: Notebook, idle: float) -> None:
    board = notebook.board
    board.receive(Hello("p", 1, lab=True))
    board.receive(Ack("p", 0, board.rows.version))
    notebook.step(idle)
    for done in range(101):
        board.rows.put(row("a", "done" if done == 100 else "running", done))
        board.output.changed()
        notebook.step()
        # The page acknowledges ten times a second at most.
        if done % 10 == 9:
            board.receive(Ack("p", 0, board.rows.version))
    notebook.step(3.0)
    assert "100 %" in notebook.published[-1]["text/html"]
    assert all(VIEW_MIMETYPE in data for data in notebook.published)
    assert board.rows.lab


def test_a_page_that_keeps_outputs_is_given_the_state_and_the_results_when_it_comes(notebook: Notebook) -> None:
    board = notebook.board
    board.rows.put(row("a", done=20))
    board.receive(Hello("p", 1, lab=True, keeps=True))
    result = Output("p", FORM.id, FORM.data, FORM.metadata, board.output.display_id)
    assert [type(message) for message in notebook.told] == [Welcome, Output]
    assert notebook.outputs() == [result]
    notebook.step()
    assert notebook.outputs()[-1].id == board.output.display_id
    assert "20 of 100" in notebook.outputs()[-1].data["text/html"]
    assert len(notebook.published) == 1


def test_another_page_is_given_results_by_the_cell_only(notebook: Notebook) -> None:
    notebook.board.receive(Hello("p", 1))
    assert notebook.outputs() == []
