"""Channel: numbered operations to several pages over a line that may lose them. Pure; time is an argument, in seconds.

A page applies each operation once and in order; it acknowledges the last one, also after a Welcome. What is not
acknowledged is sent again; what is no longer kept is replaced by a Welcome with the whole snapshot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .wire import Ops, Welcome

__all__ = ["Channel"]


@dataclass(slots=True)
class _Page:
    """``acked`` is None until the page has acknowledged its Welcome, which had number ``welcome``."""

    lab: bool
    seen: float
    sent: float
    welcome: int
    acked: int | None = None
    expects_welcome: bool = False


class Channel:
    """One sender, many pages.

    Args:
        snapshot: The state before the first operation.
        apply: Returns the state after an operation.
    """

    RESEND_S = 0.25
    FORGET_S = 10.0
    MAX_KEPT = 400
    MAX_PAGES = 16

    def __init__(
        self,
        snapshot: Mapping[str, Any],
        apply: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        self.snapshot: dict[str, Any] = dict(snapshot)
        self.seq = 0
        self._apply = apply
        self._kept: deque[dict[str, Any]] = deque(maxlen=self.MAX_KEPT)
        self._sent = 0
        self._pages: dict[str, _Page] = {}

    @property
    def pages(self) -> list[str]:
        """The pages that are not forgotten."""
        return list(self._pages)

    @property
    def lab(self) -> bool:
        """Whether one of the pages runs our JupyterLab extension."""
        return any(page.lab for page in self._pages.values())

    def post(self, op: Mapping[str, Any]) -> None:
        """Apply an operation here and let every page apply it; `due` sends it."""
        self.snapshot = self._apply(self.snapshot, op)
        self._kept.append(dict(op))
        self.seq += 1

    def hello(self, client: str, now: float, *, lab: bool = False) -> None:
        """A page shows the widget, for the first time or again: it will be welcomed."""
        self._pages.pop(client, None)
        while len(self._pages) >= self.MAX_PAGES:
            del self._pages[min(self._pages, key=lambda name: self._pages[name].seen)]
        self._pages[client] = _Page(lab=lab, seen=now, sent=now, welcome=self.seq, expects_welcome=True)

    def seen(self, client: str, now: float) -> None:
        """Note a sign of life; a page that is not known is welcomed."""
        page = self._pages.get(client)
        if page is None:
            self.hello(client, now)
        else:
            page.seen = now

    def ack(self, client: str, seq: int, now: float) -> None:
        """A page has applied all operations up to ``seq``. Numbers from the future are ignored."""
        page = self._pages.get(client)
        if page is None:
            self.hello(client, now)
            return
        page.seen = now
        if seq > self.seq:
            return
        if page.acked is not None:
            page.acked = max(page.acked, seq)
        elif seq >= page.welcome and not page.expects_welcome:
            page.acked = seq

    def due(self, now: float) -> list[Ops | Welcome]:
        """Return what is to be sent now, in this order."""
        messages: list[Ops | Welcome] = []
        for name, page in list(self._pages.items()):
            if self._outstanding(page) and now >= page.seen + self.FORGET_S:
                del self._pages[name]
        if self._sent < self.seq:
            first = max(self._sent + 1, self._oldest)
            messages.append(Ops("", first, self._from(first)))
            self._sent = self.seq
            for page in self._pages.values():
                if page.acked is None or page.acked + 1 >= first:
                    page.sent = now
        for name, page in self._pages.items():
            late = self._outstanding(page) and now >= page.sent + self.RESEND_S
            if page.expects_welcome or (late and (page.acked is None or page.acked + 1 < self._oldest)):
                messages.append(Welcome(name, self.seq, 0, self.snapshot))
                page.welcome, page.acked, page.expects_welcome = self.seq, None, False
                page.sent = now
            elif late and page.acked is not None:
                messages.append(Ops(name, page.acked + 1, self._from(page.acked + 1)))
                page.sent = now
        return messages

    def next_due(self) -> float | None:
        """When `due` has something to say; None while every page has everything."""
        if self._sent < self.seq or any(page.expects_welcome for page in self._pages.values()):
            return 0.0
        times = [
            min(page.sent + self.RESEND_S, page.seen + self.FORGET_S)
            for page in self._pages.values()
            if self._outstanding(page)
        ]
        return min(times, default=None)

    @property
    def _oldest(self) -> int:
        return self.seq - len(self._kept) + 1

    def _from(self, seq: int) -> list[dict[str, Any]]:
        return list(self._kept)[seq - self._oldest :]

    def _outstanding(self, page: _Page) -> bool:
        return page.acked is None or page.acked < self.seq
