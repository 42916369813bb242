"""How it looks, also where there is little room; BACKCHANNEL_SCREENSHOTS names a folder that keeps the pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backchannel.models.local.speech import FliteSpeech
from tests.support.chrome import Microphone

from .cells import LOAD, TALK, research
from .conftest import Opener
from .pages import Board, Voice

pytestmark = pytest.mark.browser

OVERFLOWS = """
(root) => [root, ...root.querySelectorAll("*")]
  .filter((part) => part.checkVisibility() && getComputedStyle(part).overflowX === "visible")
  .filter((part) => part.getBoundingClientRect().right > root.getBoundingClientRect().right + 1)
  .map((part) => part.className)
"""

READABLE = 4.5
# Of the widget's text on the notebook's background, as WCAG counts it.
CONTRAST = """
(root) => {
  const luminance = (colour) => {
    const linear = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const [red, green, blue] = colour.match(/[\\d.]+/g).map((value) => linear(Number(value) / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const cell = root.closest(".jp-Notebook");
  const [one, two] = [getComputedStyle(root).color, getComputedStyle(cell).backgroundColor].map(luminance);
  return (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
}
"""


def test_the_widgets_fit_and_can_be_read(
    open_notebook: Opener, microphone: Microphone, user: FliteSpeech, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("BACKCHANNEL_SCREENSHOTS") or tmp_path)
    notebook = open_notebook([LOAD, research(15), TALK], name="conversation.ipynb")
    notebook.page.evaluate("window.jupyterapp.shell.collapseLeft()")
    for cell in range(3):
        notebook.run(cell)
    voice, board = Voice(notebook), Board(notebook, 1)
    widgets = (voice.root, board.root)
    voice.listen(microphone, [(0.5, user.speak("research solar power")), (6.0, user.speak("how far is it"))])
    voice.wait_caption("assistant", "percent")
    for theme in ("Light", "Dark"):
        notebook.theme(f"JupyterLab {theme}")
        voice.root.evaluate("(root) => root.scrollIntoView({ block: 'end' })")
        notebook.screenshot(folder / f"conversation-{theme.lower()}.png")
        for widget in widgets:
            assert widget.evaluate(CONTRAST) > READABLE
    board.wait_status("done")
    notebook.page.set_viewport_size({"width": 300, "height": 800})
    for widget in widgets:
        widget.scroll_into_view_if_needed()
        assert widget.evaluate(OVERFLOWS) == []
    notebook.screenshot(folder / "conversation-narrow.png")
