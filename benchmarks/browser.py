"""BrowserHop: from the microphone in a real JupyterLab to the agent, while the agent speaks and cells are busy."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import backchannel

from .figures import Figure, Target, UnavailableError, percentile

if TYPE_CHECKING:
    from tests.browser.pages import NotebookPage
    from tests.support.chrome import Chrome
    from tests.support.lab import Lab

__all__ = ["BrowserHop"]

# Notes when a chunk comes from the audio thread, and what leaves on the kernel's websocket; milliseconds of the epoch.
HOOK = """
(() => {
  if (window.__hop) return;
  const now = () => performance.timeOrigin + performance.now();
  const hop = (window.__hop = { sent: [], underruns: 0 });
  let captured = 0;
  const own = Object.getOwnPropertyDescriptor(MessagePort.prototype, "onmessage");
  Object.defineProperty(MessagePort.prototype, "onmessage", {
    ...own,
    set(handler) {
      own.set.call(this, handler && function (event) {
        if (event.data?.pcm !== undefined && event.data.level !== undefined) captured = now();
        return handler.call(this, event);
      });
    },
  });
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) {
      const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer);
      const text = String.fromCharCode(...bytes.subarray(0, 4000));
      if (text.includes('"k":"mic"')) {
        const last = [...bytes.subarray(-16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
        hop.sent.push([last, captured]);
      }
      const gaps = text.match(/"k":"played".*?"underruns":(\\d+)/);
      if (gaps) hop.underruns = Number(gaps[1]);
    }
    return send.call(this, data);
  };
})();
"""
TAKE_PAGE = """
() => {
  let ahead = -Infinity;
  for (const end = performance.now() + 20; performance.now() < end; ) {
    ahead = Math.max(ahead, Date.now() - (performance.timeOrigin + performance.now()));
  }
  const { sent, underruns } = window.__hop;
  window.__hop.sent = [];
  return { sent, underruns, ahead, origin: performance.timeOrigin };
}
"""
SETUP = """
import asyncio, json, os, time
os.environ["BACKCHANNEL_PAGE_INFO"] = {info!r}
from backchannel import BidiAgent
from benchmarks.duplex import DuplexModel
model = DuplexModel()
agent = BidiAgent(model)
"""
TAKE = "print(json.dumps(model.take()))"
CELLS = {
    "idle": "",
    "time.sleep": "time.sleep({seconds})",
    "await": "await asyncio.sleep({seconds})",
    "a pure-Python loop": """
n, end = 0, time.monotonic() + {seconds}
while n % 1000 or time.monotonic() < end:
    n += 1
""",
}
LIMITS = {"idle": 8.0, "time.sleep": 8.0, "await": 8.0, "a pure-Python loop": 30.0}
FLUSHED_IN = ("time.sleep", "a pure-Python loop")


@dataclass(frozen=True, slots=True)
class BrowserHop:
    """Each run opens a notebook for each size of chunk, and stays ``seconds`` in each kind of cell."""

    seconds: float = 8.0
    chunks_ms: tuple[int, ...] = (20, 40)

    def measure(self, runs: int) -> list[Figure]:
        hops: dict[tuple[int, str], list[float]] = defaultdict(list)
        flushes: dict[str, list[float]] = defaultdict(list)
        underruns: list[float] = []
        middles: dict[tuple[int, str], list[float]] = defaultdict(list)
        lost: dict[tuple[int, str], int] = defaultdict(int)
        with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="backchannel-") as folder:
            lab, chrome = _open(stack, Path(folder))
            for run in range(runs):
                gaps, lasted = 0, 0.0
                for chunk_ms in self.chunks_ms:
                    with _Visit(lab, chrome, chunk_ms, self.seconds, f"run-{run}-{chunk_ms}.ipynb") as visit:
                        for cell in CELLS:
                            delays, missing = visit.hop(cell)
                            hops[chunk_ms, cell].append(percentile(delays, 95))
                            middles[chunk_ms, cell].append(median(delays))
                            lost[chunk_ms, cell] += missing
                            lasted += self.seconds
                        gaps += visit.underruns
                        if chunk_ms == self.chunks_ms[0]:
                            for cell in FLUSHED_IN:
                                flushes[cell].append(percentile(visit.flush(cell), 95))
                underruns.append(gaps / lasted * 60)
        figures = [
            Figure(
                f"microphone to agent, full duplex, {chunk_ms} ms chunks, {cell}, P95",
                "ms",
                values,
                target=Target(LIMITS[cell]),
                note=f"median {median(middles[chunk_ms, cell]):.1f} ms, {lost[chunk_ms, cell]} chunks lost",
            )
            for (chunk_ms, cell), values in hops.items()
        ]
        figures += [
            Figure(f"barge-in in the kernel to silence in the page, {cell}, P95", "ms", values, target=Target(15.0))
            for cell, values in flushes.items()
        ]
        return [*figures, Figure("gaps in the voice", "a minute", underruns, target=Target(0.0))]


class _Visit:
    """One notebook, whose agent hears and speaks for as long as it is open."""

    def __init__(self, lab: Lab, chrome: Chrome, chunk_ms: int, seconds: float, name: str) -> None:
        from tests.browser.pages import NotebookPage, Voice, write_notebook

        self._lab, self._seconds, self._underruns = lab, seconds, 0
        constraints = {"echoCancellation": False, "noiseSuppression": False, "autoGainControl": False}
        info = json.dumps({"chunk_ms": chunk_ms, "constraints": constraints})
        cells = [cell.format(seconds=seconds) for cell in CELLS.values()]
        source = ["%load_ext backchannel", SETUP.format(info=info), "%talk agent", TAKE, "model.interrupting = True"]
        write_notebook(lab.notebooks / name, [*source, *cells])
        self._first = len(source)
        self._context = chrome.browser.new_context(permissions=["microphone"])
        self._context.add_init_script(HOOK)
        self._page: NotebookPage = NotebookPage(lab, self._context, name)
        for cell in range(3):
            self._page.run(cell)
        chrome.microphone.script([(0.0, _noise(len(CELLS) * 3 * seconds + 60))])
        voice = Voice(self._page)
        voice.microphone.click()
        voice.wait_state("speaking", "listening")
        self._stay("idle")
        self._take()

    def __enter__(self) -> _Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()
        self._lab.end_kernels()

    @property
    def underruns(self) -> int:
        """Gaps so far, interruptions apart."""
        return self._underruns

    def hop(self, cell: str) -> tuple[list[float], int]:
        """Return the milliseconds of each chunk while a cell runs, and how many chunks never came."""
        self._stay(cell)
        kernel, page = self._take()
        self._underruns = page["underruns"]
        arrived = dict(kernel["arrivals"])
        sent = page["sent"]
        delays = [arrived[name] * 1000 - at - page["ahead"] for name, at in sent if name in arrived]
        if len(delays) < 0.5 * len(sent) or not delays:
            raise RuntimeError(f"{cell}: of {len(sent)} chunks that the page sent only {len(delays)} came to the agent")
        # What was on its way when the lists were taken is not lost.
        came = [at for at, (name, _) in enumerate(sent) if name in arrived]
        return delays, came[-1] - came[0] + 1 - len(came)

    def flush(self, cell: str) -> list[float]:
        """Return the milliseconds from each barge-in to the page's report that the voice is silent."""
        before = len(self._page.recorded("flushed"))
        self._page.run(4)
        self._stay(cell)
        kernel, page = self._take()
        silences = [
            page["origin"] + item["detail"]["dropped"] + page["ahead"]
            for item in self._page.recorded("flushed")[before:]
        ]
        asked = [at * 1000 for at in kernel["interruptions"]]
        found: list[float] = []
        for at, following in zip(asked, [*asked[1:], math.inf], strict=True):
            silent = min((time for time in silences if at <= time < following), default=None)
            if silent is not None:
                found.append(silent - at)
        if len(found) < len(asked) - 1 or not found:
            raise RuntimeError(f"{cell}: only {len(found)} of {len(asked)} interruptions silenced the page")
        return found

    def _stay(self, cell: str) -> None:
        if CELLS[cell]:
            self._page.run(self._first + list(CELLS).index(cell))
        else:
            self._page.page.wait_for_timeout(self._seconds * 1000)

    def _take(self) -> tuple[dict[str, Any], dict[str, Any]]:
        page: dict[str, Any] = self._page.page.evaluate(TAKE_PAGE)
        return json.loads(self._page.run(3)), page


def _noise(seconds: float) -> bytes:
    import numpy as np

    samples = np.random.default_rng(1).integers(-1500, 1500, int(seconds * 16000), dtype=np.int16)
    return samples.tobytes()


def _open(stack: ExitStack, folder: Path) -> tuple[Lab, Chrome]:
    try:
        from tests.support.chrome import Chrome, chromium
        from tests.support.lab import Lab
    except ImportError as error:
        raise UnavailableError(f"the browser needs a checkout with the group 'test' installed ({error})") from error
    from backchannel.notebook.doctor import checks

    missing = [check.sentence for check in checks() if not check.ok]
    if chromium() is None:
        missing.append("There is no Chromium: run scripts/browser.py, or name one in BACKCHANNEL_CHROMIUM.")
    if missing:
        raise UnavailableError(" ".join(missing))
    root, source = Path(__file__).parents[1], Path(backchannel.__file__).parents[1]
    path = os.pathsep.join(filter(None, (str(root), str(source), os.environ.get("PYTHONPATH"))))
    for name in ("lab", "chrome"):
        (folder / name).mkdir()
    lab = stack.enter_context(Lab(folder / "lab", {"PYTHONPATH": path}))
    return lab, stack.enter_context(Chrome(folder / "chrome"))
