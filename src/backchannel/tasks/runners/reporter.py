"""The reporter: progress and log lines of a body, gathered and sent a few times a second."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ..reporting import LOG_LINES

__all__ = ["Report", "Reporter"]

INTERVAL_S = 0.05
"""Least time from one report to the next, seconds."""

Step: TypeAlias = tuple[float | None, float | None, str]

_log = logging.getLogger(__name__)


class Report(NamedTuple):
    """What there is to tell at once.

    Attributes:
        progress: Done, total and message, the newest; None where nothing new was said.
        lines: New lines of the log, the newest.
    """

    progress: Step | None
    lines: tuple[str, ...]


class Reporter:
    """Sends the first report at once and the newest state at most every ``interval_s`` seconds.

    An `Outlet`. Its thread exists while there is something to tell.

    Args:
        send: Called with one report at a time, from the reporter's thread or from `close`.
    """

    def __init__(self, send: Callable[[Report], object], interval_s: float = INTERVAL_S) -> None:
        self._send = send
        self._interval_s = interval_s
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._progress: Step | None = None
        self._lines: deque[str] = deque(maxlen=LOG_LINES)
        self._busy = False
        self._closed = False

    def progress(self, done: float | None, total: float | None, message: str) -> None:
        with self._changed:
            self._progress = (done, total, message)
            self._wake()

    def log(self, line: str) -> None:
        with self._changed:
            self._lines.append(line)
            self._wake()

    def close(self) -> None:
        """Send what is left; what comes later is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._flush()

    def _wake(self) -> None:
        if self._closed or self._busy:
            return
        self._busy = True
        try:
            threading.Thread(target=self._work, name="backchannel-reporter", daemon=True).start()
        except RuntimeError:  # no thread to be had: the next report or `close` sends it
            self._busy = False

    def _work(self) -> None:
        while True:
            self._flush()
            with self._changed:
                self._changed.wait_for(lambda: self._closed, self._interval_s)
                if self._closed or (self._progress is None and not self._lines):
                    self._busy = False
                    return

    def _flush(self) -> None:
        # One at a time, taken and sent together: an older report never overtakes a newer one.
        with self._sending:
            with self._changed:
                report = Report(self._progress, tuple(self._lines))
                self._progress = None
                self._lines.clear()
            if report.progress is None and not report.lines:
                return
            try:
                self._send(report)
            except Exception:  # noqa: BLE001 - progress that cannot be told must not end the body
                _log.debug("a report could not be sent", exc_info=True)
