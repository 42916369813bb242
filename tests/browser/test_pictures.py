"""How it looks, also where there is little room; BACKCHANNEL_SCREENSHOTS names a folder that keeps the pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_widgets_fit_and_can_be_read(open_notebook: Opener, tmp_path: Path, theme: str) -> None:
    folder = Path(os.environ.get("BACKCHANNEL_SCREENSHOTS") or tmp_path)
    name = theme.rsplit(" ", 1)[-1].lower()
    notebook = open_notebook([LOAD, research(10), TALK])
    notebook.theme(theme)
    notebook.page.evaluate("window.jupyterapp.shell.collapseLeft()")
    for cell in range(3):
        notebook.run(cell)
    voice, board = Voice(notebook), Board(notebook, 1)
    voice.say("research solar power")
    board.wait_value(30)
    voice.say("how far is it")
    voice.wait_caption("assistant", "percent")
    board.wait_value(60)
    voice.root.scroll_into_view_if_needed()
    notebook.screenshot(folder / f"conversation-{name}.png")
    board.wait_status("done")
    notebook.screenshot(folder / f"done-{name}.png")
    notebook.page.set_viewport_size({"width": 300, "height": 800})
    for widget in (voice.root, board.root):
        widget.scroll_into_view_if_needed()
        assert widget.evaluate(OVERFLOWS) == []
    notebook.screenshot(folder / f"narrow-{name}.png")
    for widget in (voice.root, board.root):
        colours = widget.evaluate(
            "(root) => [getComputedStyle(root).color, getComputedStyle(document.body).backgroundColor]"
        )
        assert colours[0] != colours[1]
