"""A conversation belongs to the notebook: pages come, go and share it."""

from __future__ import annotations

import pytest

from backchannel.models.local.speech import FliteSpeech
from tests.support.chrome import Microphone

from .cells import LOAD, TALK, research
from .conftest import Opener
from .pages import Board, Voice

pytestmark = pytest.mark.browser


def test_a_reloaded_page_finds_the_conversation_and_the_runs(
    open_notebook: Opener, microphone: Microphone, user: FliteSpeech
) -> None:
    notebook = open_notebook([LOAD, research(30), TALK])
    for cell in range(3):
        notebook.run(cell)
    voice, board = Voice(notebook), Board(notebook, 1)
    voice.listen(microphone, [(0.5, user.speak("research solar power"))])
    started = voice.wait_caption("assistant", "started")
    board.wait_status("running")
    said = voice.captions("user")
    notebook.save()

    microphone.script([(3.0, user.speak("how far is it"))])
    notebook.reload()
    board.wait_status("running")
    assert voice.wait_caption("assistant", "started") == started
    assert voice.captions("user")[: len(said)] == said
    value = board.value()
    board.wait_value(value + 3)
    # The browser need not ask again: the microphone is open as before.
    voice.wait_pressed(True)
    assert "per" in voice.wait_caption("assistant", "percent", "per cent")


def test_one_tab_hears_and_speaks_and_another_can_take_it(open_notebook: Opener, microphone: Microphone) -> None:
    first = open_notebook([LOAD, research(), TALK])
    for cell in range(3):
        first.run(cell)
    one = Voice(first)
    one.listen(microphone, [])
    first.save()
    second = open_notebook(first.notebook, context=first.page.context)
    two = Voice(second)
    two.wait_sentence("In use in another tab or widget.")
    two.wait_pressed(False)

    two.root.get_by_role("button", name="Use it here").click()
    two.wait_pressed(True)
    one.wait_sentence("In use in another tab or widget.")
    one.wait_pressed(False)

    two.say("hello")
    answer = two.wait_caption("assistant", "hello")
    two.wait_heard(answer)
    one.wait_heard(answer)
    assert two.played()[0].any()
    assert not one.played()[0].any()
