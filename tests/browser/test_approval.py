"""A call waits in the page until somebody allows it."""

from __future__ import annotations

import pytest

from .cells import LOAD
from .conftest import Opener
from .pages import NotebookPage, Voice

pytestmark = pytest.mark.browser

AGENT = """
from typing import Literal

from backchannel import BidiAgent, LocalModel, tool


@tool(confirm="Delete the <b>{name}</b>?")
def delete(name: Literal["draft", "letter"]) -> str:
    \"\"\"Delete a file.\"\"\"
    return f"The {name} is gone."


agent = BidiAgent(LocalModel(), tools=[delete])
"""
QUESTION = ".bc-question:has-text('Delete the <b>{}</b>?')"


def asked(notebook: NotebookPage, voice: Voice, name: str) -> None:
    """Ask for a deletion by typing, and wait until the page shows the question."""
    voice.say(f"delete {name}")
    notebook.page.locator(QUESTION.format(name)).wait_for()


def test_a_call_waits_over_a_reload_until_it_is_allowed_and_never_runs_when_it_is_not(open_notebook: Opener) -> None:
    notebook = open_notebook([LOAD, AGENT, "%talk agent"])
    for cell in range(3):
        notebook.run(cell)
    voice = Voice(notebook)
    asked(notebook, voice, "draft")
    assert notebook.page.evaluate("document.activeElement.className") == "bc-text"
    notebook.wait_output(2, "Waiting for your approval: Delete the <b>draft</b>?")
    assert "Delete the &lt;b&gt;draft&lt;/b&gt;?" in str(notebook.save())
    notebook.reload()
    voice = Voice(notebook)
    question = notebook.page.locator(QUESTION.format("draft"))
    question.get_by_text("All arguments").press("Enter")
    assert question.locator(".bc-arguments[open] .bc-value").inner_text() == "draft"
    question.get_by_text("Allow", exact=True).click()
    voice.wait_caption("assistant", "The draft is gone.")
    assert voice.wait_caption("note", "allowed") == "Allowed on the page: Delete the <b>draft</b>?"

    asked(notebook, voice, "letter")
    refuse = notebook.page.locator(QUESTION.format("letter")).get_by_text("Don't allow")
    notebook.page.wait_for_function("(button) => !button.disabled", arg=refuse.element_handle())
    refuse.press("Enter")
    voice.wait_caption("note", "not allowed on the page: delete the <b>letter</b>?")
    assert notebook.page.locator(".bc-question").count() == 0
    assert not any("letter is gone" in text for text in voice.captions("assistant"))

    voice.wait_caption("assistant", "I will not do it")
    before = len(voice.captions("assistant"))
    asked(notebook, voice, "letter")
    voice.wait_caption("assistant", "I need your approval", after=before)
    voice.wait_state("listening")
    voice.say("yes")
    voice.wait_caption("note", "allowed by voice: delete the <b>letter</b>? (yes)")
    voice.wait_caption("assistant", "The letter is gone.")
