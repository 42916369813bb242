"""The voice, the bars and the buttons do not wait for a cell."""

from __future__ import annotations

import pytest

from backchannel.models.local.speech import FliteSpeech
from tests.support.chrome import Microphone

from .cells import COMPUTE, LOAD, SLEEP, TALK, research
from .conftest import Opener
from .hearing import THERE, likeness, sentences
from .pages import Board, Voice

pytestmark = pytest.mark.browser

BUSY = 3


@pytest.mark.parametrize("code", [SLEEP, COMPUTE], ids=["sleeping", "computing"])
def test_a_conversation_goes_on_while_a_cell_is_busy(
    open_notebook: Opener, microphone: Microphone, user: FliteSpeech, code: str
) -> None:
    notebook = open_notebook([LOAD, research(60), TALK, code])
    for cell in range(BUSY):
        notebook.run(cell)
    voice, board = Voice(notebook), Board(notebook, 1)
    notebook.start(BUSY)
    notebook.wait_output(BUSY, "busy")

    voice.listen(microphone, [(0.5, user.speak("research solar power"))])
    assert "solar power" in voice.wait_caption("user", "research").lower()
    started = voice.wait_caption("assistant", "started")
    board.wait_status("running")
    board.wait_value(5)
    voice.wait_heard(started)
    recording, rate = voice.played()
    assert likeness(recording, rate, FliteSpeech().speak(sentences(started)[0])) > THERE
    board.row().get_by_role("button", name="Cancel").click()
    board.wait_status("cancelled")
    assert notebook.busy(BUSY)

    notebook.interrupt_kernel()
    notebook.wait_idle(BUSY)
    assert "KeyboardInterrupt" in notebook.output(BUSY)
    before = len(voice.captions("assistant"))
    voice.say("research volcanoes")
    voice.wait_caption("assistant", "started", after=before)
    board.wait_status("running", 1)
