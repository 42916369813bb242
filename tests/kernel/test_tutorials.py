"""Every tutorial runs from its first cell to its last, in a real kernel, and shows what it says."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

pytest.importorskip("nbclient", reason="nbclient is not installed: pip install --group dev")
from nbclient import NotebookClient

NOTEBOOKS = sorted(Path(__file__).parents[2].joinpath("notebooks").glob("*.ipynb"))

SHOWN = {
    "01-first-conversation": [],
    "02-background-tools": [
        "No runs yet",
        "Task 1, count words Moby-Dick",
        "{'book': 'Moby-Dick', 'words': 5280}",
        "['Moby-Dick is counted']",
        "There is no result yet",
        "a leaflet is counted",
        "100 of 100 megabytes",
        "20 MB of pictures",
        "was cancelled: nobody has the time",
        "'cancelled'",
        "the text of the front page",
        "3 attempts",
        "Attempt 2 of 4 failed: ConnectionError: the line is busy",
        "True",
        "Ulysses is longer than Emma by 2,640 words.",
        "'Blue, please.'",
        "'a lemon cake'",
        "78498 primes, found by another process: True",
        "100000 values in the variable",
        "more",
        "Started research topic the sea",
        "research topic the sea",
        "By the way, research topic the sea is done. the sea is larger than it looks.",
        "ask the boss May we go home? - running",
        "At six.",
        "Task 1: count words Moby-Dick, done",
    ],
    "03-aws-tools": [
        "practice: nothing leaves this computer",
        "call api weather",
        "{'endpoint': 'weather', 'degrees': 21}",
        "The Lambda function slow-api-function failed: ValueError: no such endpoint",
        "'weather in Oslo', 'degrees': 21",
        "'weather in Rome'",
        "'weather in Lima'",
        "{'id': '7', 'price': 9.9, 'pieces': 3}",
        "There is no item with id '8' in the table slow-query-table",
        "('21 degrees', '9.9 euros')",
        "finds no Lambda function slow-ap1-function in eu-west-1",
        "finds no table slow-query-tabel in eu-west-1",
        "Task 1: call api weather, done",
    ],
}
"""What each says, in this order, whatever else it says."""


def test_every_tutorial_is_tested():
    assert [path.stem for path in NOTEBOOKS] == sorted(SHOWN)


@pytest.mark.kernel
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_tutorial_runs_and_is_saved_without_outputs(path, tmp_path, monkeypatch):
    # A reader's account, which practice must not touch.
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a token")
    notebook = nbformat.read(path, as_version=4)
    assert [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []
    assert len([output for output in outputs if "text/html" in output.get("data", {})]) >= 2
    text = "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)
    place = 0
    for words in SHOWN[path.stem]:
        found = text.find(words, place)
        assert found >= 0, f"{words!r} is not shown after {text[max(place - 200, 0) : place]!r}; then: {text[place:]}"
        place = found + len(words)
