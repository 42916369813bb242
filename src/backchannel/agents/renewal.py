"""When a connection is to be made anew: ahead of its limit or for new tools, if it can be at a turn's end. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RETRY_DELAYS_S", "Renewal"]

RETRY_DELAYS_S = (0.25, 0.5, 1.0, 2.0, 4.0)
"""How long to wait before each further try to connect, seconds; after the last one it has failed."""


@dataclass(slots=True)
class Renewal:
    """Watches one connection's time and the tools it was given.

    Attributes:
        limit_s: How long a connection lives, seconds; None for ever.
    """

    limit_s: float | None = None
    _soon: float | None = None
    _last: float | None = None
    _not_before: float = 0.0
    _new_tools: bool = False

    def connected(self, now: float) -> None:
        """A connection was made."""
        if self.limit_s is None:
            return
        margin = min(self.limit_s / 8, 600.0)
        self._soon = now + self.limit_s - margin
        self._last = now + self.limit_s - margin / 4

    def put_off(self, now: float, seconds: float) -> None:
        """It could not be done now; try again after ``seconds``."""
        self._not_before = now + seconds

    def tools_taken(self) -> None:
        """The connection that is being made is given the tools of now."""
        self._new_tools = False

    def tools_changed(self) -> None:
        """The connection does not know the tools of now."""
        self._new_tools = True

    def due(self, now: float, *, free: bool) -> str | None:
        """Return why the connection is to be made anew now, or None.

        Args:
            now: Seconds on the clock of `connected`.
            free: Whether nobody speaks, is about to, or waits for a tool.
        """
        if now < self._not_before:
            return None
        if self._last is not None and now >= self._last:
            return f"the connection is near its limit of {self.limit_s:g} s"
        if not free:
            return None
        if self._new_tools:
            return "the tools have changed"
        if self._soon is not None and now >= self._soon:
            return f"the connection is near its limit of {self.limit_s:g} s"
        return None

    def wake_at(self, now: float) -> float | None:
        """Return when to ask again though nothing happens, or None."""
        times = (self._soon, self._last, self._not_before)
        return min((at for at in times if at is not None and at > now), default=None)
