"""Pages: who shows a widget, and who of them has gone silent. Pure; time is an argument, in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Page", "Pages"]


@dataclass(slots=True)
class Page:
    """One page, and how far it is.

    Attributes:
        lab: It runs our JupyterLab extension.
        keeps: It applies `wire.Output` to the notebook itself.
        since: Its last sign of life or, if it had everything then, the first send after that.
        sent: When something was sent to it last.
        acked: The number up to which it has everything; -1 until it has acknowledged its Welcome.
        forgotten: It has been silent for too long; what it said of itself is kept for its return.
    """

    lab: bool
    keeps: bool
    since: float
    sent: float
    acked: int = -1
    forgotten: bool = False


P = TypeVar("P", bound=Page)


class Pages(Generic[P]):
    """The pages of one widget, by name. Iterating gives those that are not forgotten."""

    FORGET_S = 10.0
    MOST = 16

    def __init__(self) -> None:
        self._pages: dict[str, P] = {}

    def __iter__(self) -> Iterator[tuple[str, P]]:
        return iter([(name, page) for name, page in self._pages.items() if not page.forgotten])

    @property
    def names(self) -> list[str]:
        """The pages that are not forgotten."""
        return [name for name, _ in self]

    @property
    def lab(self) -> bool:
        """Whether one of them runs our JupyterLab extension."""
        return any(page.lab for _, page in self)

    @property
    def keeps(self) -> bool:
        """Whether one of them applies `wire.Output` to the notebook itself."""
        return any(page.keeps for _, page in self)

    def add(self, name: str, page: P) -> P:
        """Take a page that says hello, for the first time or again; of too many, the one silent longest goes."""
        self._pages.pop(name, None)
        while len(self._pages) >= self.MOST:
            del self._pages[min(self._pages, key=lambda each: self._pages[each].since)]
        self._pages[name] = page
        return page

    def get(self, name: str) -> P | None:
        """A page, also one that is forgotten; None if it never said hello."""
        return self._pages.get(name)

    def forget_silent(self, now: float, sent: int) -> None:
        """Forget the pages that lack some of what was sent, up to this number, and are silent for ``FORGET_S``."""
        for _, page in self:
            page.forgotten = page.acked < sent and now >= page.since + self.FORGET_S

    def sending(self, now: float, sent: int) -> None:
        """More than ``sent`` goes out: the silence of the pages that had everything up to there counts from now on."""
        for _, page in self:
            if page.acked >= sent:
                page.since = now
