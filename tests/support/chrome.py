"""Chrome: a real Chromium without a screen, whose microphone hears what a test says."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backchannel.audio.pcm import write_wav

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

__all__ = ["RATE", "Chrome", "Microphone", "chromium"]

RATE = 16000
FINDER = Path(__file__).parents[2] / "scripts" / "browser.py"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)


def chromium() -> str | None:
    """The path of a Chromium; None where there is none."""
    found: str | None = runpy.run_path(str(FINDER))["find"]()
    return found


class Microphone:
    """What the browser's fake device plays: a file that is read anew whenever a page opens the microphone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.script([])

    def script(self, lines: Sequence[tuple[float, bytes]]) -> NDArray[np.int16]:
        """Say each of ``lines``, (seconds after the microphone is opened, samples at 16 kHz), then be silent."""
        end = max((int(at * RATE) + len(said) // 2 for at, said in lines), default=0)
        samples = np.zeros(end + RATE, dtype=np.int16)
        for at, said in lines:
            first = int(at * RATE)
            samples[first : first + len(said) // 2] += np.frombuffer(said, dtype="<i2")
        self.path.write_bytes(write_wav(samples, RATE))
        return samples


class Chrome:
    """Starts browsers and closes them; ``browser`` has a microphone."""

    def __init__(self, folder: Path) -> None:
        self.microphone = Microphone(folder / "microphone.wav")
        self.browser: Browser
        self._driver: Playwright

    def __enter__(self) -> Chrome:
        from playwright.sync_api import sync_playwright

        self._driver = sync_playwright().start()
        try:
            # Without an end the file would begin again.
            said = f"--use-file-for-fake-audio-capture={self.microphone.path}%noloop"
            self.browser = self.launch("--use-fake-device-for-media-stream", said)
        except BaseException:
            self._driver.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.browser.close()
        self._driver.stop()

    def launch(self, *flags: str) -> Browser:
        """Start another browser; without flags it has no microphone."""
        return self._driver.chromium.launch(executable_path=chromium(), args=[*FLAGS, *flags])
