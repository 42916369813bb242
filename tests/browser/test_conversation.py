"""The first conversation, spoken into the shipped notebook, and what the file shows of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backchannel.models.local.speech import FliteSpeech
from tests.support.chrome import RATE, Microphone
from tests.support.lab import Lab

from .cells import LOAD, TALK, research
from .conftest import Opener
from .hearing import NOT_THERE, THERE, first_heard, likeness, sentences
from .pages import Board, Voice

pytestmark = pytest.mark.browser

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01-first-conversation.ipynb"
LOADING, TOOL, TALKING = 1, 3, 5
RUN_S = 20.0
SAVED_S = 2.0
LEAD_S = 0.4
SILENT_MS = 100


def test_the_shipped_notebook_can_be_talked_to(
    open_notebook: Opener, microphone: Microphone, user: FliteSpeech, lab: Lab
) -> None:
    notebook = open_notebook(NOTEBOOK)
    for cell in (LOADING, TOOL, TALKING):
        assert "Error" not in notebook.run(cell)
    voice, board = Voice(notebook), Board(notebook, TOOL)
    voice.listen(microphone, [(0.5, user.speak("research solar power")), (8.0, user.speak("how far is it"))])

    assert "solar power" in voice.wait_caption("user", "research").lower()
    started = voice.wait_caption("assistant", "started")
    board.wait_status("running")
    assert "per cent" in voice.wait_caption("assistant", "per cent", "percent").replace("percent", "per cent")
    assert "how far is it" in voice.captions("user")[-1].lower()

    board.wait_value(60)
    value = board.value()
    saved = _share(notebook.save(), TOOL)
    assert value - 100 * (SAVED_S + 1.0) / RUN_S <= saved <= board.value()

    told = voice.wait_caption("assistant", "square meter")
    board.wait_status("done")
    bars = [item["detail"] for item in notebook.recorded("bar")]
    assert len({bar["node"] for bar in bars}) == 1
    values = [bar["value"] for bar in bars]
    assert values == sorted(values)
    assert len(set(values)) > 20
    assert values[-1] == 100

    voice.wait_heard(told)
    recording, rate = voice.played()
    model = FliteSpeech()
    order = []
    for text in (started, told):
        said = model.speak(sentences(text)[0])
        assert likeness(recording, rate, said) > THERE, text
        order.append(first_heard(recording, rate, said))
    assert order == sorted(order)

    html, text = _bundle(notebook.save(), TOOL)
    assert "square meter of desert" in html
    assert "square meter of desert" in text
    assert "done" in text
    assert started in _bundle(notebook.saved(), TALKING)[0]

    notebook.page.close()
    lab.end_kernels()
    again = open_notebook(notebook.notebook)
    again.page.wait_for_function("!document.querySelector('.jp-Notebook').textContent.includes('Loading widget')")
    for cell, part in ((TOOL, "square meter of desert"), (TALKING, started)):
        assert again.cell(cell).locator(".jp-OutputArea").get_by_text(part).filter(visible=True).count() == 1
    assert again.page.get_by_text("Error displaying widget").filter(visible=True).count() == 0


def test_the_voice_falls_silent_when_it_is_interrupted(
    open_notebook: Opener, microphone: Microphone, user: FliteSpeech
) -> None:
    notebook = open_notebook([LOAD, research(), TALK])
    for cell in range(3):
        notebook.run(cell)
    voice = Voice(notebook)
    voice.listen(microphone, [(0.5, user.speak("what can you do")), (5.0, user.speak("research wind energy"))])
    answer = voice.wait_caption("assistant", "you can", "i can")
    notebook.page.wait_for_function(
        "window.__recorded.some((item) => item.name === 'flushed' && item.detail.unheard > 0)"
    )
    flushed = [item["detail"] for item in notebook.recorded("flushed") if item["detail"]["unheard"] > 0]
    assert len(flushed) == 1
    assert flushed[0]["unheard"] <= 0.4 * 16000
    assert flushed[0]["dropped"] - flushed[0]["received"] < 100

    started = voice.wait_caption("assistant", "started")
    voice.wait_heard(started)
    recording, rate = voice.played()
    model = FliteSpeech()
    said = np.frombuffer(model.speak(answer), dtype="<i2")
    length = len(said) // 4
    assert likeness(recording, rate, said[:length].tobytes()) > THERE
    assert likeness(recording, rate, said[-length:].tobytes()) < NOT_THERE
    assert likeness(recording, rate, model.speak(sentences(started)[0])) > THERE


def test_a_muted_microphone_is_not_heard(open_notebook: Opener, microphone: Microphone, user: FliteSpeech) -> None:
    notebook = open_notebook([LOAD, research(), TALK])
    for cell in range(3):
        notebook.run(cell)
    voice = Voice(notebook)
    said = user.speak("research solar power")
    second_s = 1.5 + len(said) / 2 / RATE + 2.0
    voice.listen(microphone, [(1.5, said), (second_s, user.speak("what can you do"))])
    opened = notebook.now()
    voice.root.get_by_role("button", name="Mute", exact=True).click()
    unmute = voice.root.get_by_role("button", name="Unmute")
    unmute.wait_for()
    notebook.wait_until(opened + 1000 * (second_s - 1.0))
    unmute.click()
    voice.wait_caption("user", "what can you do")
    assert len(voice.captions("user")) == 1


def _bundle(saved: dict[str, object], cell: int) -> tuple[str, str]:
    """The HTML and the text of a cell's first rich output, from the file."""
    cells = saved["cells"]
    assert isinstance(cells, list)
    data = next(item["data"] for item in cells[cell]["outputs"] if "text/html" in item.get("data", {}))
    return "".join(data["text/html"]), "".join(data["text/plain"])


def _share(saved: dict[str, object], cell: int) -> float:
    """Per cent that the first bar in a saved output shows."""
    html = _bundle(saved, cell)[0]
    return 100 * float(html.split('<progress value="')[1].split('"')[0])
