"""Channel: numbered operations to several pages over a line that may lose them. Pure; time is an argument, in seconds.

A page applies each operation once and in order; it acknowledges the last one, also after a Welcome. What is not
acknowledged is sent again; what is no longer kept is replaced by a Welcome with the whole snapshot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .pages import Page, Pages
from .wire import Ops, Welcome

__all__ = ["Channel"]


@dataclass(slots=True)
class _Page(Page):
    """``welcome`` is the number of its Welcome, which counts as acknowledged from there on only."""

    welcome: int = 0
    expects_welcome: bool = True


class Channel:
    """One sender, many pages.

    Args:
        snapshot: The state before the first operation.
        apply: Returns the state after an operation.
    """

    RESEND_S = 0.25
    MAX_KEPT = 400

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
        self._pages: Pages[_Page] = Pages()

    @property
    def pages(self) -> list[str]:
        """The pages that are not forgotten."""
        return self._pages.names

    @property
    def lab(self) -> bool:
        """Whether one of the pages runs our JupyterLab extension."""
        return self._pages.lab

    @property
    def keeps(self) -> bool:
        """Whether one of the pages applies `wire.Output` to the notebook itself."""
        return self._pages.keeps

    def post(self, op: Mapping[str, Any]) -> None:
        """Apply an operation here and let every page apply it; `due` sends it."""
        self.snapshot = self._apply(self.snapshot, op)
        self._kept.append(dict(op))
        self.seq += 1

    def hello(self, client: str, now: float, *, lab: bool = False, keeps: bool = False) -> None:
        """A page shows the widget, for the first time or again: it will be welcomed."""
        self._pages.add(client, _Page(lab, keeps, since=now, sent=now, welcome=self.seq))

    def seen(self, client: str, now: float) -> None:
        """Note a sign of life; a page that is not known, or was forgotten, is welcomed."""
        self._page(client, now)

    def ack(self, client: str, seq: int, now: float) -> None:
        """A page has applied all operations up to ``seq``. Numbers from the future are ignored."""
        page = self._page(client, now)
        if page is None or seq > self.seq:
            return
        if page.acked >= 0:
            page.acked = max(page.acked, seq)
        elif seq >= page.welcome and not page.expects_welcome:
            page.acked = seq

    def due(self, now: float) -> list[Ops | Welcome]:
        """Return what is to be sent now, in this order."""
        messages: list[Ops | Welcome] = []
        self._pages.forget_silent(now, self._sent)
        if self._sent < self.seq:
            first = max(self._sent + 1, self._oldest)
            messages.append(Ops("", first, self._from(first)))
            self._pages.sending(now, self._sent)
            for _, page in self._pages:
                if page.acked < 0 or page.acked + 1 >= first:
                    page.sent = now
            self._sent = self.seq
        for name, page in self._pages:
            late = page.acked < self.seq and now >= page.sent + self.RESEND_S
            if page.expects_welcome or (late and (page.acked < 0 or page.acked + 1 < self._oldest)):
                messages.append(Welcome(name, self.seq, 0, self.snapshot))
                page.welcome, page.acked, page.expects_welcome = self.seq, -1, False
                page.sent = now
            elif late:
                messages.append(Ops(name, page.acked + 1, self._from(page.acked + 1)))
                page.sent = now
        return messages

    def next_due(self) -> float | None:
        """When `due` has something to say; None while every page has everything."""
        if self._sent < self.seq or any(page.expects_welcome for _, page in self._pages):
            return 0.0
        times = [
            min(page.sent + self.RESEND_S, page.since + Pages.FORGET_S)
            for _, page in self._pages
            if page.acked < self.seq
        ]
        return min(times, default=None)

    @property
    def _oldest(self) -> int:
        return self.seq - len(self._kept) + 1

    def _from(self, seq: int) -> list[dict[str, Any]]:
        return list(self._kept)[seq - self._oldest :]

    def _page(self, client: str, now: float) -> _Page | None:
        """Return a page that gives a sign of life; None for one that first has to be welcomed."""
        page = self._pages.get(client)
        if page is None:
            self.hello(client, now)
            return None
        if page.forgotten:
            self.hello(client, now, lab=page.lab, keeps=page.keeps)
            return None
        page.since = now
        return page
