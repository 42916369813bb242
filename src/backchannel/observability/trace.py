"""The trace of one session as it is written: numbered spans, the time, and the signals that wait to be taken."""

from __future__ import annotations

import json
import math
from typing import Any

from .redaction import redact
from .signals import AddEvent, Attribute, Attributes, EndSpan, Record, Signal, StartSpan, label

__all__ = ["Trace"]

CONTENT = 4096
"""Characters of captured content in one attribute."""


class Trace:
    """Collects signals. Time never goes back in it; what is not a time is taken for no time passed.

    Args:
        now: Seconds on the session's clock.
        common: Attributes of every measurement.
        captures_content: Whether texts, arguments and results are kept.
    """

    def __init__(self, now: float, common: Attributes, captures_content: bool) -> None:
        self.now = now if math.isfinite(now) else 0.0
        self.captures_content = captures_content
        self._common = common
        self._signals: list[Signal] = []
        self._spans = 0

    def tick(self, now: float) -> None:
        """Say that it is ``now``."""
        if math.isfinite(now) and now > self.now:
            self.now = now

    def take(self) -> list[Signal]:
        """Return the signals since the last time."""
        signals, self._signals = self._signals, []
        return signals

    def start(
        self,
        name: str,
        parent: int | None,
        attributes: Attributes,
        *,
        at: float | None = None,
        remote: bool = False,
        link: int | None = None,
    ) -> int:
        """Begin a span, now or ``at`` a time that has passed, and return its number."""
        self._spans += 1
        moment = self.now if at is None else at
        self._signals.append(StartSpan(self._spans, name, moment, parent, remote, attributes, link))
        return self._spans

    def end(self, span: int, attributes: Attributes, *, at: float | None = None, error: str | None = None) -> None:
        """End a span."""
        self._signals.append(EndSpan(span, self.now if at is None else at, attributes, error))

    def event(self, span: int, name: str, attributes: Attributes | None = None) -> None:
        """Note a moment within a span."""
        self._signals.append(AddEvent(span, name, self.now, attributes or {}))

    def record(self, metric: str, value: float, attributes: Attributes | None = None) -> None:
        """Measure something that is not negative."""
        self._signals.append(Record(metric, max(value, 0.0), {**self._common, **(attributes or {})}))

    def content(self, name: str, value: object) -> dict[str, Attribute]:
        """Return the attribute that holds ``value``, without secrets; none unless content is captured."""
        if not self.captures_content:
            return {}
        plain: Any = redact(value)
        try:
            text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
        except (ValueError, RecursionError):
            text = f"[{type(value).__name__} that is not JSON]"
        return {name: label(text, CONTENT)}
