"""NotebookPage: a notebook in a real JupyterLab, as a person uses it; Voice and Board: our widgets in it."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tests.support.chrome import Microphone
from tests.support.lab import Lab

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Error, Locator, Page

PATIENCE_MS = 40_000

# Records our widgets' events, the tracks of opened microphones, and each value of a bar with the node that shows it.
RECORDER = """
(() => {
  if (window.__recorded) return;
  window.__recorded = [];
  window.__tracks = [];
  const devices = navigator.mediaDevices;
  const ask = devices?.getUserMedia.bind(devices);
  if (ask) {
    devices.getUserMedia = async (constraints) => {
      const stream = await ask(constraints);
      window.__tracks.push(...stream.getTracks());
      return stream;
    };
  }
  const record = (name, detail) => window.__recorded.push({ name, at: performance.now(), detail });
  for (const name of ["state", "caption", "flushed", "live"]) {
    document.addEventListener(`backchannel:${name}`, (event) => record(name, event.detail));
  }
  const numbers = new WeakMap();
  let last = 0;
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      if (!numbers.has(target)) numbers.set(target, ++last);
      const value = target.getAttribute("aria-valuenow");
      const row = target.closest(".bc-row");
      if (row && value !== null) {
        record("bar", { node: numbers.get(target), value: Number(value), task: row.dataset.task });
      }
    }
  }).observe(document, { subtree: true, attributes: true, attributeFilter: ["aria-valuenow"] });
})();
"""
PANEL = "window.jupyterapp.shell.currentWidget"
TAP = """
(root) => {
  const tap = root.__backchannelTap;
  if (!tap) return null;
  const length = tap.blocks.reduce((sum, block) => sum + block.samples.length, 0);
  const all = new Int16Array(length);
  let at = 0;
  for (const { samples } of tap.blocks) for (const sample of samples) all[at++] = Math.round(sample * 32767);
  const bytes = new Uint8Array(all.buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return { rate: tap.rate, frame: tap.blocks[0]?.frame ?? 0, data: btoa(text) };
}
"""


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    """Write a notebook of code cells."""
    made: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{at}",
            "metadata": {},
            "outputs": [],
            "source": source,
        }
        for at, source in enumerate(cells)
    ]
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    path.write_text(json.dumps({"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))


class NotebookPage:
    """One tab with one notebook. Cells are named by their index in the notebook.

    Attributes:
        errors: Exceptions that nobody caught in the page.
        console: What the page wrote to the browser's console.
    """

    def __init__(self, lab: Lab, context: BrowserContext, notebook: str) -> None:
        self.lab = lab
        self.notebook = notebook
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.errors: list[str] = []
        self.console: list[str] = []
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", self._failed)
        self.page.add_init_script(RECORDER)
        self.page.goto(lab.open_url(notebook))
        self.ready()

    def _failed(self, error: Error) -> None:
        # Notebook 7.6 throws at its start, with no extension at all.
        if "/static/notebook/" not in (error.stack or ""):
            self.errors.append(str(error))

    def ready(self) -> None:
        """Wait until the notebook is shown and its kernel answers."""
        self.page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext !== undefined")
        self.page.evaluate(
            f"""async () => {{
                await {PANEL}.context.ready;
                await {PANEL}.sessionContext.ready;
                await {PANEL}.sessionContext.session.kernel.info;
            }}"""
        )

    def reload(self) -> None:
        """Reload the tab."""
        self.page.reload()
        self.ready()

    def start(self, cell: int) -> None:
        """Begin to run a cell."""
        self.page.evaluate(
            f"""(index) => {{
                {PANEL}.content.activeCellIndex = index;
                void window.jupyterapp.commands.execute("notebook:run-cell");
            }}""",
            cell,
        )

    def run(self, cell: int) -> str:
        """Run a cell to its end; returns what it printed, its results and its error."""
        self.page.evaluate(
            f"""async (index) => {{
                {PANEL}.content.activeCellIndex = index;
                await window.jupyterapp.commands.execute("notebook:run-cell");
            }}""",
            cell,
        )
        self.wait_idle(cell)
        return self.output(cell)

    def edit(self, cell: int, source: str) -> None:
        """Replace a cell's source."""
        self.page.evaluate(
            f"([index, source]) => {PANEL}.content.widgets[index].model.sharedModel.setSource(source)", [cell, source]
        )

    def busy(self, cell: int) -> bool:
        """Whether the cell runs."""
        return bool(
            self.page.evaluate(f"(index) => {PANEL}.content.widgets[index].model.executionState === 'running'", cell)
        )

    def wait_idle(self, cell: int) -> None:
        """Wait until the cell does not run."""
        self.page.wait_for_function(
            f"(index) => {PANEL}.content.widgets[index].model.executionState === 'idle'", arg=cell
        )

    def wait_output(self, cell: int, text: str) -> None:
        """Wait until a cell has printed this."""
        self.page.wait_for_function(
            f"([index, text]) => JSON.stringify({PANEL}.content.widgets[index].model.outputs.toJSON()).includes(text)",
            arg=[cell, text],
        )

    def output(self, cell: int) -> str:
        """What a cell has printed, its results and its error."""
        parts: list[str] = []
        for item in self.page.evaluate(f"(index) => {PANEL}.content.widgets[index].model.outputs.toJSON()", cell):
            if item["output_type"] == "stream":
                parts.append("".join(item["text"]))
            elif item["output_type"] == "error":
                parts.append(f"{item['ename']}: {item['evalue']}")
            else:
                parts.append("".join(item["data"].get("text/plain", "")))
        return "\n".join(parts)

    def cell(self, index: int) -> Locator:
        """The cell's element."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def command(self, name: str, **arguments: Any) -> None:
        """Execute one of JupyterLab's commands, and do not wait for its end."""
        self.page.evaluate("([name, args]) => void window.jupyterapp.commands.execute(name, args)", [name, arguments])

    def select(self, cell: int) -> None:
        """Make a cell the active one."""
        self.page.evaluate(f"(index) => {{ {PANEL}.content.activeCellIndex = index; }}", cell)

    def wait_tracks(self, live: int, within_ms: float = PATIENCE_MS) -> None:
        """Wait until the page has this many open microphones."""
        self.page.wait_for_function(
            "(live) => window.__tracks.filter((track) => track.readyState === 'live').length === live",
            arg=live,
            timeout=within_ms,
        )

    def save(self) -> dict[str, Any]:
        """Save, and return what is in the file."""
        self.page.evaluate(f"() => {PANEL}.context.save()")
        return self.saved()

    def saved(self) -> dict[str, Any]:
        """What is in the file."""
        content: dict[str, Any] = json.loads((self.lab.notebooks / self.notebook).read_text())
        return content

    def wait_saved(self, cell: int, *texts: str) -> list[dict[str, Any]]:
        """Save until the cell's outputs in the file have all these texts, for three seconds at most; returns them."""
        give_up = self.now() + 3000
        while True:
            outputs: list[dict[str, Any]] = self.save()["cells"][cell]["outputs"]
            saved = "".join("".join(output.get("data", {}).get("text/html", "")) for output in outputs)
            if all(text in saved for text in texts):
                return outputs
            assert self.now() < give_up, f"{texts} are not in {saved}"

    def shut_down_kernel(self) -> None:
        """End the kernel and start no other."""
        self.page.evaluate(f"() => {PANEL}.sessionContext.shutdown()")

    def restart_kernel(self) -> None:
        """Restart the kernel; returns when the new one answers."""
        self.page.evaluate(f"() => {PANEL}.sessionContext.restartKernel()")

    def interrupt_kernel(self) -> None:
        """Interrupt the cell that runs."""
        self.page.evaluate(f"() => {PANEL}.sessionContext.session.kernel.interrupt()")

    def recorded(self, name: str) -> list[dict[str, Any]]:
        """Our widgets' events of this name so far: {"at": ms, "detail": ...}."""
        found: list[dict[str, Any]] = self.page.evaluate(
            "(name) => window.__recorded.filter((item) => item.name === name)", name
        )
        return found

    def wait_recorded(self, name: str, field: str) -> dict[str, Any]:
        """Wait for an event of our widgets that has something in a field of its detail; returns the detail."""
        found = self.page.wait_for_function(
            """([name, field]) =>
                window.__recorded.find((item) => item.name === name && item.detail[field])?.detail""",
            arg=[name, field],
        )
        detail: dict[str, Any] = found.json_value()
        return detail

    def now(self) -> float:
        """The page's clock, on which events are recorded; ms."""
        return float(self.page.evaluate("performance.now()"))

    def wait_until(self, at: float) -> None:
        """Wait for a time of the page's clock; for what the microphone says by the clock."""
        self.page.wait_for_function("(at) => performance.now() >= at", arg=at)

    def describe(self) -> str:
        """What the page shows, for the report of a test that failed."""
        if self.page.is_closed():
            return f"{self.notebook}: closed"
        events = [str(item) for name in ("state", "flushed") for item in self.recorded(name)[-20:]]
        log = self.lab.log.read_text(errors="replace").splitlines()[-20:]
        return "\n".join(
            (self.notebook, self.page.locator(".jp-Notebook").inner_text(), *events, *self.console[-20:], *log)
        )

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)

    def theme(self, name: str) -> None:
        """Change JupyterLab's theme, "JupyterLab Dark" or "JupyterLab Light"."""
        self.page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
        self.page.wait_for_function("(name) => document.body.dataset.jpThemeName === name", arg=name)
        self.page.wait_for_function("!document.getElementById('jupyterlab-splash')")


class Voice:
    """The voice widget of a page."""

    def __init__(self, notebook: NotebookPage) -> None:
        self._notebook = notebook
        self._page = notebook.page
        self.root = self._page.locator(".bc-voice")
        self.microphone = self.root.get_by_role("button", name="Microphone")
        self.text = self.root.get_by_role("textbox", name="Type instead of talking")

    def wait_state(self, *states: str) -> None:
        """Wait until the widget is in one of these states."""
        self._page.wait_for_function(
            "(states) => states.includes(document.querySelector('.bc-voice')?.dataset.state)", arg=list(states)
        )

    def wait_pressed(self, pressed: bool) -> None:
        """Wait until the microphone button is down, or up."""
        self._page.wait_for_function(
            "(pressed) => document.querySelector('.bc-voice .bc-mic')?.getAttribute('aria-pressed') === pressed",
            arg=str(pressed).lower(),
        )

    def wait_sentence(self, part: str) -> None:
        """Wait until what the widget says about its state has this in it."""
        self._page.wait_for_function(
            "(part) => document.querySelector('.bc-voice [role=status]')?.textContent.includes(part)", arg=part
        )

    def captions(self, role: str = "") -> list[str]:
        """The lines of the conversation, all or those of "user", "assistant" or "note"."""
        found: list[str] = self.root.locator(f".bc-caption{'.bc-' + role if role else ''} .bc-words").all_inner_texts()
        return found

    def wait_caption(self, role: str, *parts: str, after: int = 0) -> str:
        """Wait for a final caption with one of these parts, in any letters, after the first ``after`` of its role."""
        found = self._page.wait_for_function(
            """([role, parts, after]) => [...document.querySelectorAll(`.bc-voice .bc-caption.bc-${role}`)]
                .slice(after)
                .filter((line) => !line.classList.contains("bc-partial"))
                .map((line) => line.querySelector(".bc-words").textContent)
                .find((text) => parts.some((part) => text.toLowerCase().includes(part)))""",
            arg=[role, [part.lower() for part in parts], after],
        )
        return str(found.json_value())

    def wait_heard(self, text: str) -> None:
        """Wait until an answer has been played to its end."""
        self._page.wait_for_function(
            """(text) => [...document.querySelectorAll(".bc-voice .bc-assistant:not(.bc-partial):not(.bc-unheard)")]
                .some((line) => line.querySelector(".bc-words").textContent === text)""",
            arg=text,
        )

    def listen(self, device: Microphone, lines: Sequence[tuple[float, bytes]]) -> None:
        """Press the microphone; once the model hears, the device says each line, (seconds from now, samples)."""
        device.script([])
        self.microphone.click()
        self.wait_state("listening")
        self.microphone.click()
        self.wait_state("off")
        device.script(lines)
        self.microphone.click()
        self.wait_state("listening")

    def say(self, text: str) -> None:
        """Type a line and send it."""
        self.text.fill(text)
        self.text.press("Enter")

    def played(self) -> tuple[NDArray[np.int16], int]:
        """What the speaker was given so far (see `Session.tap`), and its rate in Hz."""
        tap = self.root.evaluate(TAP)
        if tap is None:
            return np.zeros(0, dtype=np.int16), 0
        return np.frombuffer(base64.b64decode(tap["data"]), dtype="<i2"), int(tap["rate"])


class Board:
    """The board under a cell."""

    def __init__(self, notebook: NotebookPage, cell: int) -> None:
        self._page = notebook.page
        self.root = notebook.cell(cell).locator(".bc-board")

    def row(self, index: int = 0) -> Locator:
        return self.root.locator(".bc-row").nth(index)

    def wait_status(self, status: str, index: int = 0) -> Locator:
        """Wait until a row has this status."""
        row = self.root.locator(f".bc-row:nth-child({index + 1})[data-status={status}]")
        row.wait_for()
        return row

    def value(self, index: int = 0) -> int:
        """Per cent of a row's bar; -1 where it shows none."""
        return int(self.row(index).get_by_role("progressbar").get_attribute("aria-valuenow") or -1)

    def wait_value(self, least: int, index: int = 0) -> None:
        """Wait until a row's bar is at this per cent, or further."""
        self.row(index).get_by_role("progressbar").evaluate(
            """(bar, least) => new Promise((done) => {
                const look = () => Number(bar.getAttribute("aria-valuenow") ?? -1) >= least
                    ? done() : requestAnimationFrame(look);
                look();
            })""",
            least,
        )
