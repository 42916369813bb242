"""The notebook changes while somebody talks to it."""

from __future__ import annotations

import pytest

from .cells import LOAD, TALK, research
from .conftest import Opener
from .pages import Board, Voice

pytestmark = pytest.mark.browser


def test_a_tool_that_is_defined_anew_is_used_from_the_next_turn_on(open_notebook: Opener) -> None:
    notebook = open_notebook([LOAD, research(1), TALK])
    for cell in range(3):
        notebook.run(cell)
    voice, board = Voice(notebook), Board(notebook, 1)
    voice.say("research solar power")
    voice.wait_caption("assistant", "square meter")

    notebook.edit(1, research(1, "The sun is a star."))
    assert "Error" not in notebook.run(1)
    voice.say("research solar power")
    voice.wait_caption("assistant", "the sun is a star")

    notebook.edit(1, research(1, "This is not Python.").replace("def ", "fed "))
    assert "SyntaxError" in notebook.run(1)
    before = len(voice.captions("assistant"))
    voice.say("research volcanoes")
    voice.wait_caption("assistant", "the sun is a star", after=before)
    board.wait_status("done", 2)


def test_after_a_restart_of_the_kernel_the_widget_says_what_to_do(open_notebook: Opener) -> None:
    notebook = open_notebook([LOAD, research(60), TALK])
    for cell in range(3):
        notebook.run(cell)
    voice, board = Voice(notebook), Board(notebook, 1)
    voice.say("research solar power")
    board.wait_status("running")
    notebook.restart_kernel()
    voice.wait_sentence("The kernel was restarted. Run the cell again to talk.")
    assert board.root.get_by_text("these runs ended with it").is_visible()
    for cell in range(3):
        notebook.run(cell)
    voice.say("research solar power")
    voice.wait_caption("assistant", "started")
