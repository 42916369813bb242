"""The microphone is open only where somebody sees that it is, for one conversation, and not for ever."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.chrome import Microphone

from .cells import LOAD, TALK
from .conftest import Opener
from .pages import NotebookPage, Voice, write_notebook

pytestmark = pytest.mark.browser

RELEASED_MS = 2000
TALL = "for n in range(400): print(n)"


def talking(open_notebook: Opener, *more: str) -> tuple[NotebookPage, Voice]:
    """A notebook whose second cell has an open microphone."""
    notebook = open_notebook([LOAD, TALK, *more])
    for cell in range(2):
        notebook.run(cell)
    voice = Voice(notebook)
    voice.microphone.click()
    voice.wait_state("listening")
    notebook.wait_tracks(1)
    return notebook, voice


@pytest.mark.parametrize(("command", "cell"), [("notebook:clear-all-cell-outputs", 0), ("notebook:delete-cell", 1)])
def test_the_microphone_is_released_with_the_last_view(
    open_notebook: Opener, microphone: Microphone, command: str, cell: int
) -> None:
    notebook, voice = talking(open_notebook, "'last'")
    notebook.select(cell)
    notebook.command(command)
    expect(voice.root).to_have_count(0)
    notebook.wait_tracks(0, RELEASED_MS)

    last = 2 if command.startswith("notebook:clear") else 1
    notebook.edit(last, TALK)
    notebook.run(last)
    voice.wait_pressed(False)
    voice.microphone.click()
    voice.wait_state("listening")
    notebook.wait_tracks(1)


def test_a_closed_notebook_has_no_microphone_and_one_when_it_is_opened_again(
    open_notebook: Opener, microphone: Microphone
) -> None:
    notebook, voice = talking(open_notebook)
    notebook.save()
    notebook.page.evaluate("window.jupyterapp.shell.currentWidget.close()")
    notebook.wait_tracks(0, RELEASED_MS)
    expect(voice.root).to_have_count(0)

    notebook.command("docmanager:open", path=notebook.notebook)
    notebook.ready()
    voice.wait_pressed(False)
    notebook.wait_tracks(0)
    voice.wait_sentence("press the microphone to talk")
    voice.microphone.click()
    voice.wait_pressed(True)
    notebook.wait_tracks(1)


def test_a_microphone_that_is_scrolled_away_or_moved_stays_open(open_notebook: Opener, microphone: Microphone) -> None:
    notebook, voice = talking(open_notebook, *[TALL] * 8)
    for cell in range(2, 10):
        notebook.run(cell)
    notebook.cell(9).scroll_into_view_if_needed()
    notebook.page.evaluate("(to) => window.jupyterapp.shell.currentWidget.content.scrollToItem(to, 'end')", 9)
    notebook.page.wait_for_function(
        """() => {
            const root = document.querySelector(".bc-voice");
            return !root || root.getBoundingClientRect().bottom < 0;
        }"""
    )
    # Longer than it takes to release one that nobody can see.
    notebook.wait_until(notebook.now() + RELEASED_MS)
    notebook.wait_tracks(1)
    notebook.page.evaluate("window.jupyterapp.shell.currentWidget.content.scrollToItem(1, 'start')")
    voice.wait_pressed(True)

    notebook.select(1)
    notebook.command("notebook:move-cell-up")
    notebook.wait_until(notebook.now() + RELEASED_MS)
    voice.wait_pressed(True)
    notebook.wait_tracks(1)
    assert notebook.page.evaluate("window.__tracks.length") == 1


def test_two_notebooks_of_a_page_share_one_microphone(open_notebook: Opener, microphone: Microphone) -> None:
    notebook, _ = talking(open_notebook)
    other = "other.ipynb"
    write_notebook(notebook.lab.notebooks / other, [LOAD, TALK])
    notebook.page.evaluate(
        "(path) => window.jupyterapp.commands.execute('docmanager:open', { path, options: { mode: 'split-right' } })",
        other,
    )
    notebook.page.wait_for_function("window.jupyterapp.shell.currentWidget.context.path === 'other.ipynb'")
    notebook.ready()
    for cell in range(2):
        notebook.run(cell)
    expect(notebook.page.locator(".bc-voice")).to_have_count(2)
    first, second = (notebook.page.locator(".jp-NotebookPanel").nth(at).locator(".bc-voice") for at in range(2))
    expect(first).to_have_attribute("data-state", "listening")

    second.get_by_role("button", name="Microphone").click()
    expect(second).to_have_attribute("data-state", "listening")
    expect(second.locator(".bc-mic")).to_have_attribute("aria-pressed", "true")
    expect(first.get_by_role("status")).to_contain_text("In use in another tab or widget.")
    notebook.wait_tracks(1)

    first.get_by_role("button", name="Use it here").click()
    expect(first.locator(".bc-mic")).to_have_attribute("aria-pressed", "true")
    expect(second.get_by_role("status")).to_contain_text("In use in another tab or widget.")
    notebook.wait_tracks(1)

    first.get_by_role("button", name="Microphone").click()
    expect(second.get_by_role("status")).to_contain_text("Press the microphone to talk")
    notebook.wait_tracks(0)


def test_nobody_is_asked_to_speak_into_a_microphone_that_sends_nothing(
    open_notebook: Opener, microphone: Microphone
) -> None:
    _, voice = talking(open_notebook)
    status = voice.root.get_by_role("status")
    expect(status).to_contain_text("Speak now.")
    voice.root.get_by_role("button", name="Mute", exact=True).click()
    expect(status).to_have_text("Muted Press Unmute to talk.")
    voice.root.get_by_role("button", name="Unmute").click()
    expect(status).to_contain_text("Speak now.")

    voice.root.get_by_text("Settings").click()
    voice.root.get_by_label("Push to talk").check()
    expect(status).to_contain_text("Hold the button")
    hold = voice.root.get_by_role("button", name="Hold to talk")
    hold.dispatch_event("pointerdown", {"pointerId": 1, "isPrimary": True})
    expect(status).to_contain_text("Speak now.")


def test_silence_mutes_the_microphone_and_says_so(open_notebook: Opener, microphone: Microphone) -> None:
    notebook = open_notebook([LOAD, "%talk --mute-after 3"])
    for cell in range(2):
        assert "Error" not in notebook.run(cell)
    voice = Voice(notebook)
    voice.microphone.click()
    voice.wait_state("listening")
    voice.wait_sentence("Muted after three seconds of silence.")
    voice.root.get_by_role("button", name="Unmute").click()
    voice.wait_sentence("Speak now.")
    voice.wait_sentence("Muted after three seconds of silence.")


def test_the_end_of_a_conversation_closes_the_microphone(open_notebook: Opener, microphone: Microphone) -> None:
    agent = "from backchannel import BidiAgent, LocalModel\nagent = BidiAgent(LocalModel(), tools=[])"
    notebook = open_notebook([LOAD, agent, "%talk agent", "await agent.stop()"])
    for cell in range(3):
        notebook.run(cell)
    voice = Voice(notebook)
    voice.microphone.click()
    voice.wait_state("listening")
    notebook.wait_tracks(1)
    notebook.run(3)
    voice.wait_state("off")
    voice.wait_pressed(False)
    notebook.wait_tracks(0, RELEASED_MS)
