"""The file of a notebook: at any moment it tells the last state, also after a reload, and the page shows it once."""

from __future__ import annotations

import pytest

from tests.support.lab import Lab

from .cells import LOAD, TALK
from .conftest import Opener
from .pages import Board, NotebookPage, Voice

pytestmark = pytest.mark.browser

SCORES = '''%%async_tool
import threading

from backchannel import track

gates = {2: threading.Event(), 5: threading.Event()}


class Scores:
    def _repr_html_(self):
        return "<table class='scores'><tr><td>0.04</td></tr></table>"


def scores(dataset: str) -> object:
    """Train the model and return its scores."""
    for epoch in track(range(10), "epochs"):
        if epoch in gates:
            gates[epoch].wait(60)
    return Scores()
'''
CELLS = [LOAD, SCORES, TALK, "task = scores('sales')", "gates[2].set()", "gates[5].set()"]
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.mark.parametrize("where", ["lab", "stock_lab", "notebook_7"])
def test_the_file_tells_the_last_state_before_and_after_a_reload(
    where: str, open_notebook: Opener, request: pytest.FixtureRequest
) -> None:
    lab: Lab = request.getfixturevalue(where)
    notebook = open_notebook(CELLS, lab=lab, permissions=())
    for cell in range(4):
        notebook.run(cell)
    voice, board = Voice(notebook), Board(notebook, 1)
    board.wait_value(20)
    voice.say("hello")
    hello = voice.wait_caption("assistant", "hello")
    assert_saved(notebook, "2 of 10", hello)
    board.root.evaluate("(root) => { root.dataset.drawn = 'once'; }")
    notebook.run(4)
    board.wait_value(50)
    assert_saved(notebook, "5 of 10", hello)
    assert board.root.get_attribute("data-drawn") == "once"

    notebook.reload()
    board.wait_status("running")
    voice.say("what can you do")
    answer = voice.wait_caption("assistant", "scores", after=1)
    assert_saved(notebook, "5 of 10", answer)
    notebook.run(5)
    board.wait_status("done")
    notebook.cell(1).locator("table.scores").wait_for()
    outputs = assert_saved(notebook, "done", answer)
    assert sum("class='scores'" in str(output) for output in outputs) == 1
    assert_shown_once(notebook)

    # Another kernel has no widgets.
    notebook.shut_down_kernel()
    notebook.reload()
    notebook.page.wait_for_function("document.querySelectorAll('.jp-Notebook table').length === 2")
    notebook.cell(2).get_by_text(answer).wait_for()
    assert "Error displaying widget" not in notebook.page.locator(".jp-Notebook").inner_text()


def assert_saved(notebook: NotebookPage, run: str, said: str) -> list[dict[str, object]]:
    """The file has this of the run and of the conversation, and a form for every viewer."""
    transcript = notebook.wait_saved(2, said)
    outputs = notebook.wait_saved(1, run)
    assert not any(WIDGET in str(output) for output in (*outputs, *transcript))
    return outputs


def assert_shown_once(notebook: NotebookPage) -> None:
    """The board and the result are there, and no saved form beside them."""
    for widget in (".bc-board", ".bc-voice"):
        notebook.page.locator(f"{widget}:visible").wait_for()
    tables = notebook.page.locator(".jp-Notebook table:visible")
    assert tables.evaluate_all("(tables) => tables.map((table) => table.className)") == ["scores"]
