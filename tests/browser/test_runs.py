"""Runs on the board: kept over a restart of the kernel and run again, and results as a cell would show them."""

from __future__ import annotations

import pytest

from .cells import LOAD
from .conftest import Opener
from .pages import Board
from .test_pictures import OVERFLOWS

pytestmark = pytest.mark.browser

LEDGER = "%tasks --ledger runs.jsonl"
TRAIN = '''%%async_tool
import threading


def train(dataset: str, seconds: int = 0) -> str:
    """Train the model."""
    threading.Event().wait(seconds)
    return f"<b>{dataset}</b> is fine"
'''
FRAME = '''%%async_tool --timeout 600 --retries 2
import pandas as pd


def scores(dataset: str) -> pd.DataFrame:
    """Train the model and return its scores."""
    return pd.DataFrame({"model": ["<i>small</i>", "large"], "error": [0.25, 0.04]})
'''


def test_rows_outlive_the_kernel_and_a_lost_one_is_run_again_once(open_notebook: Opener) -> None:
    notebook = open_notebook([LOAD, LEDGER, TRAIN, "train('sales').result(30)", "train('more', 600).started"])
    for cell in range(5):
        notebook.run(cell)
    board = Board(notebook, 1)
    board.wait_status("done", 0)
    board.wait_status("running", 1)

    notebook.restart_kernel()
    notebook.run(0)
    notebook.run(1)
    row = board.wait_status("done", 0)
    assert row.locator(".bc-result").inner_text() == "<b>sales</b> is fine"
    lost = board.wait_status("lost", 1)
    assert "declare train" in lost.locator(".bc-message").inner_text()
    again = lost.get_by_role("button", name="Run train more seconds 600 again")
    assert not again.is_visible()

    notebook.run(2)
    again.wait_for()
    again.focus()
    notebook.page.keyboard.press("Enter")
    lost.get_by_text("run again as task 3").wait_for()
    again.wait_for(state="hidden")
    assert lost.evaluate("(row) => row === document.activeElement")
    for cell in (1, 2):
        Board(notebook, cell).wait_status("running", 2)
    assert board.root.locator(".bc-row").count() == 3
    board.row(2).get_by_role("button", name="Cancel").click()
    board.wait_status("cancelled", 2)
    board.row(2).get_by_role("button", name="again").wait_for()

    notebook.page.evaluate("window.jupyterapp.shell.collapseLeft()")
    notebook.page.set_viewport_size({"width": 300, "height": 800})
    board.root.scroll_into_view_if_needed()
    board.row(2).get_by_role("button", name="again").scroll_into_view_if_needed()
    assert board.root.evaluate(OVERFLOWS) == []

    shown = [
        "".join(output["data"]["text/html"])
        for output in notebook.save()["cells"][1]["outputs"]
        if "text/html" in output.get("data", {})
    ]
    assert "lost" in shown[0]
    assert "run again as task 3" in shown[0]
    assert "&lt;b&gt;sales&lt;/b&gt; is fine" in shown[0]
    assert "<button" not in shown[0]


def test_a_frame_is_shown_as_a_cell_shows_it_below_its_board(open_notebook: Opener) -> None:
    pytest.importorskip("pandas")
    notebook = open_notebook([LOAD, FRAME, "scores('sales').result(30)"])
    for cell in range(3):
        notebook.run(cell)
    board = Board(notebook, 1)
    board.wait_status("done")
    table = notebook.cell(1).locator("table.dataframe")
    table.wait_for()
    assert table.locator("td").all_inner_texts() == ["<i>small</i>", "0.25", "large", "0.04"]
    notebook.cell(1).get_by_text("Task 1, scores sales", exact=True).wait_for()
    assert board.root.locator(".bc-row").count() == 1
