"""Without a microphone one types, and is answered aloud."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from backchannel.models.local.speech import FliteSpeech
from tests.support.chrome import Chrome

from .cells import LOAD, TALK, research
from .conftest import Opener
from .hearing import THERE, likeness
from .pages import Board, NotebookPage, Voice

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


FACT = "The sun is a star."


def test_a_typed_request_is_answered_aloud_though_the_browser_refuses_the_microphone(open_notebook: Opener) -> None:
    notebook = open_notebook([LOAD, research(1, FACT), TALK], permissions=())
    _converse(notebook, "The browser refused the microphone.")


@pytest.fixture
def deaf(chrome: Chrome) -> Iterator[Browser]:
    browser = chrome.launch("--use-fake-ui-for-media-stream")
    yield browser
    browser.close()


def test_a_typed_request_is_answered_aloud_without_a_microphone(deaf: Browser, open_notebook: Opener) -> None:
    notebook = open_notebook([LOAD, research(1, FACT), TALK], browser=deaf)
    _converse(notebook, "No microphone was found.")


def _converse(notebook: NotebookPage, sentence: str) -> None:
    """Try the microphone in vain, as a sentence says; then type a request and have it answered."""
    for cell in range(3):
        notebook.run(cell)
    voice, board = Voice(notebook), Board(notebook, 1)
    voice.microphone.click()
    voice.wait_sentence(sentence)
    voice.wait_pressed(False)
    voice.say("research solar power")
    assert voice.wait_caption("user", "research") == "research solar power"
    board.wait_status("done")
    voice.wait_heard(voice.wait_caption("assistant", FACT))
    recording, rate = voice.played()
    assert likeness(recording, rate, FliteSpeech().speak(FACT)) > THERE
